"""A released optimizer's state goes on here as it would have gone on there."""

import copy

import pytest
import torch

from worldmodel_train.interop import (
    CheckpointError,
    ClipSize,
    export_checkpoint,
    import_checkpoint,
    import_moments,
)
from worldmodel_train.training.layouts.in_place import InPlace
from worldmodel_train.training.optim import OptimConfig, build_optimizer, set_schedules
from worldmodel_train.training.schedules import Constant

KEYS = ("encoder", "predictor")
POSITIONS = ["rope3d_vjepa2", "sincos2d", "sincos3d"]
RATE, DECAY, STEPS = 3e-3, 0.04, 3


def in_their_layout(objective, path, position):
    clip = ClipSize(frames=1 if position == "sincos2d" else 4, height=32, width=32)
    export_checkpoint(objective, path, layout="meta", clip=clip)
    content = torch.load(path, weights_only=True)
    path.unlink()
    return content


def gradients_of(objective, seed):
    """An objective whose weights are the gradients of another's."""
    generator = torch.Generator().manual_seed(seed)
    drawn = copy.deepcopy(objective)
    for parameter in drawn.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator)
    return drawn


class Released:
    """Parameters and AdamW as the released code makes them: four groups, tables not trained."""

    def __init__(self, content):
        self.content = content
        self.parameters = {
            (key, name): torch.nn.Parameter(tensor, requires_grad=not name.endswith("pos_embed"))
            for key in KEYS
            for name, tensor in content[key].items()
        }
        groups = [
            {
                "params": [
                    parameter
                    for (of, name), parameter in self.parameters.items()
                    if of == key and ("bias" not in name and parameter.ndim != 1) == decays
                ],
                "weight_decay": DECAY if decays else 0.0,
            }
            for decays in (True, False)
            for key in KEYS
        ]
        self.adamw = torch.optim.AdamW(groups, lr=RATE, betas=(0.9, 0.999), eps=1e-8)

    def step(self, gradients):
        for (key, name), parameter in self.parameters.items():
            if parameter.requires_grad:
                parameter.grad = gradients[key][name]
        self.adamw.step()

    def save(self, path):
        """After some steps; the targets are as they were."""
        content = {key: {} for key in KEYS}
        for (key, name), parameter in self.parameters.items():
            content[key][name] = parameter.detach().clone()
        torch.save({**self.content, **content, "opt": self.adamw.state_dict()}, path)


@pytest.fixture(params=POSITIONS)
def trained(request, tmp_path, build_objective):
    """A file after some steps, its optimizer, and an objective that it fits."""
    objective, path = build_objective(request.param), tmp_path / "released.pt"
    released = Released(in_their_layout(objective, tmp_path / "a.pt", request.param))
    for seed in range(STEPS):
        drawn = gradients_of(objective, seed)
        released.step(in_their_layout(drawn, tmp_path / "g.pt", request.param))
    released.save(path)
    return path, released, build_objective(request.param, seed=9), request.param


def continued(objective, moments, gradients):
    """The objective after a step of our AdamW from imported moments."""
    optimizer = build_optimizer(objective.parameter_groups(), config := OptimConfig(**SCHEDULES))
    layout = InPlace(objective, objective.ema_pairs(), optimizer)
    for piece in layout.pieces():
        if piece.kind != "weights":
            piece.values.copy_(moments.moments[piece.kind][piece.name].flatten())
    layout.moments.set_step(moments.step)
    drawn = dict(gradients.named_parameters())
    for name, parameter in objective.named_parameters():
        parameter.grad = drawn[name].data if parameter.requires_grad else None
    set_schedules(optimizer, config, 0, 10)
    optimizer.step()
    return objective


SCHEDULES = {
    "lr": Constant(value=RATE),
    "weight_decay": Constant(value=DECAY),
    "ema": Constant(value=0.99),
}


def test_one_more_step_is_the_released_optimizers_next_one(trained, tmp_path):
    path, released, objective, position = trained
    import_checkpoint(path, objective)
    moments = import_moments(path, objective)
    assert moments.step == STEPS
    gradients = gradients_of(objective, 77)
    theirs = in_their_layout(gradients, tmp_path / "g.pt", position)
    ours = in_their_layout(continued(objective, moments, gradients), tmp_path / "o.pt", position)
    released.step(theirs)
    for (key, name), parameter in released.parameters.items():
        # a fused AdamW rounds otherwise; a step without moments would differ by about 3e-3
        torch.testing.assert_close(ours[key][name], parameter.detach(), atol=2e-6, rtol=1e-6)


def test_without_the_moments_the_step_is_another_one(trained, tmp_path):
    path, released, objective, position = trained
    import_checkpoint(path, objective)
    moments = import_moments(path, objective)
    for of_kind in moments.moments.values():
        for tensor in of_kind.values():
            tensor.zero_()
    gradients = gradients_of(objective, 77)
    theirs = in_their_layout(gradients, tmp_path / "g.pt", position)
    ours = in_their_layout(continued(objective, moments, gradients), tmp_path / "o.pt", position)
    released.step(theirs)
    name = next(name for name in ours["encoder"] if name.endswith("blocks.1.mlp.fc1.weight"))
    difference = ours["encoder"][name] - released.parameters["encoder", name]
    assert difference.abs().max() > 1e-3


def test_a_mask_token_that_was_never_stepped_has_no_moments(tmp_path, build_objective):
    objective, path = build_objective(mask_tokens=3), tmp_path / "released.pt"
    released = Released(in_their_layout(objective, tmp_path / "a.pt", "rope3d_vjepa2"))
    gradients = in_their_layout(gradients_of(objective, 0), tmp_path / "g.pt", "rope3d_vjepa2")
    gradients["predictor"]["module.backbone.mask_tokens.1"] = None
    released.step(gradients)
    released.save(path)
    found = import_moments(path, objective).moments["exp_avg"]["predictor.mask_tokens"]
    assert found.any(dim=1).tolist() == [True, False, True]


def edited(path, change):
    content = torch.load(path, weights_only=True)
    change(content["opt"])
    torch.save(content, path)


def forget_a_group(opt):
    opt["param_groups"].pop()


def forget_a_parameter(opt):
    opt["param_groups"][0]["params"].pop()


def step_apart(opt):
    opt["state"][3]["step"] = torch.tensor(99.0)


def mis_shape(opt):
    opt["state"][3]["exp_avg"] = torch.zeros(3)


def forget_moments(opt):
    del opt["state"][3]["exp_avg_sq"]


def poison(opt):
    opt["state"][3]["exp_avg"].fill_(float("nan"))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (forget_a_group, "it has groups of"),
        (forget_a_parameter, "it has groups of"),
        (step_apart, "not as many"),
        (mis_shape, "its weight is"),
        (forget_moments, "exp_avg_sq of .* is NoneType"),
        (poison, "holds NaN"),
        (dict.clear, "no state and param_groups"),
    ],
)
@pytest.mark.parametrize("trained", ["rope3d_vjepa2"], indirect=True)
def test_another_optimizers_state_is_refused(trained, change, words):
    path, _, objective, _ = trained
    edited(path, change)
    with pytest.raises(CheckpointError, match=words):
        import_moments(path, objective)


def test_a_file_without_an_optimizer_says_what_to_do(tmp_path, build_objective):
    export_checkpoint(
        build_objective(), tmp_path / "out.pt", layout="meta", clip=ClipSize(4, 32, 32)
    )
    with pytest.raises(CheckpointError, match="leave out --optimizer"):
        import_moments(tmp_path / "out.pt", build_objective())


def test_another_objective_than_a_jepa_is_refused(tmp_path):
    torch.save({"opt": {}}, tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match="only V-JEPA and I-JEPA"):
        import_moments(tmp_path / "a.pt", torch.nn.Linear(2, 2))

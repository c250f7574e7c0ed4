"""The released optimizers of V-JEPA 2.1 and V-JEPA 2-AC go on here as they would have there."""

import pytest
import torch

from tests.interop import test_motion as motion
from tests.interop import test_optimizer_state as vjepa
from tests.interop import test_vjepa21 as vjepa21
from worldmodel_train.interop import (
    CheckpointError,
    export_motion,
    import_checkpoint,
    import_moments,
    import_motion,
    motion_parts,
)

CAMERA = "module.extrinsics_encoder"


def ac_in_their_layout(objective, path):
    export_motion(path, motion_parts(objective))
    content = torch.load(path, weights_only=True)
    path.unlink()
    return content


def vjepa21_in_their_layout(objective, path):
    vjepa21.export_checkpoint(objective, path, layout="meta", clip=vjepa21.CLIP)
    content = torch.load(path, weights_only=True)
    path.unlink()
    return content


def released_gradients(content):
    """Those of an exported file of gradients; V-JEPA 2-AC's encoder and camera have none."""
    gradients = {key: dict(content[key]) for key in vjepa.KEYS}
    if any(name.startswith(CAMERA) for name in gradients["predictor"]):
        gradients["encoder"] = dict.fromkeys(gradients["encoder"])
        for leaf in ("weight", "bias"):
            gradients["predictor"][f"{CAMERA}.{leaf}"] = None
    return gradients


KINDS = {
    "vjepa21": (vjepa21.build, vjepa21_in_their_layout, import_checkpoint),
    "vjepa2_ac": (
        motion.objective,
        ac_in_their_layout,
        lambda path, objective: import_motion(path, motion_parts(objective)),
    ),
}


@pytest.fixture(params=KINDS)
def kind(request):
    return KINDS[request.param]


def stepped(kind, tmp_path):
    """A file after some steps, its optimizer, and an objective that it fits."""
    build, in_their_layout, _ = kind
    objective, path = build(), tmp_path / "released.pt"
    released = vjepa.Released(in_their_layout(objective, tmp_path / "a.pt"))
    for seed in range(vjepa.STEPS):
        drawn = vjepa.gradients_of(objective, seed)
        released.step(released_gradients(in_their_layout(drawn, tmp_path / "g.pt")))
    released.save(path)
    return path, released, build(seed=9)


def test_one_more_step_is_the_released_optimizers_next_one(kind, tmp_path):
    path, released, objective = stepped(kind, tmp_path)
    _, in_their_layout, load = kind
    load(path, objective)
    moments = import_moments(path, objective)
    assert moments.step == vjepa.STEPS
    gradients = vjepa.gradients_of(objective, 77)
    theirs = released_gradients(in_their_layout(gradients, tmp_path / "g.pt"))
    ours = vjepa.continued(objective, moments, gradients)
    found = in_their_layout(ours, tmp_path / "o.pt")
    released.step(theirs)
    for (key, name), parameter in released.parameters.items():
        # a fused AdamW rounds otherwise; a step without moments would differ by about 3e-3
        torch.testing.assert_close(found[key][name], parameter.detach(), atol=2e-6, rtol=1e-6)


def test_every_weight_that_is_trained_has_its_moments(kind, tmp_path):
    path, _, objective = stepped(kind, tmp_path)
    moments = import_moments(path, objective).moments
    trained = {name: p for name, p in objective.named_parameters() if p.requires_grad}
    for of_kind in moments.values():
        assert of_kind.keys() == trained.keys()
        assert all(of_kind[name].shape == p.shape for name, p in trained.items())
        assert all(tensor.any() for tensor in of_kind.values())


def test_moments_are_named_without_the_frozen_encoder(tmp_path, monkeypatch):
    """It may be of a billion weights, and is loaded with the objective already."""
    path, _, objective = stepped(KINDS["vjepa2_ac"], tmp_path)
    expected = import_moments(path, objective)
    monkeypatch.setattr(objective, "frozen_parts", dict)
    found = import_moments(path, objective)
    assert found.step == expected.step == vjepa.STEPS
    for kind, of_kind in expected.moments.items():
        assert all(torch.equal(found.moments[kind][name], of_kind[name]) for name in of_kind)


def test_an_optimizer_of_the_predictor_alone_is_refused(tmp_path):
    """The released one is given the frozen encoder too, and numbers its parameters."""
    path, _, objective = stepped(KINDS["vjepa2_ac"], tmp_path)
    content = torch.load(path, weights_only=True)
    content["opt"]["param_groups"] = content["opt"]["param_groups"][1::2]
    torch.save(content, path)
    with pytest.raises(CheckpointError, match="it has groups of"):
        import_moments(path, objective)

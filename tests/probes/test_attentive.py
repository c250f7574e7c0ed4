"""A probe learns labels from the tokens of a frozen encoder, in any run that has one."""

import pytest
import torch
from torch.nn import functional

from worldmodel_train.cli.objectives import build_objective, trained_objective
from worldmodel_train.cli.run_spec import pretrain_parts
from worldmodel_train.models.frozen import FrozenPart
from worldmodel_train.models.strict_state import CheckpointError
from worldmodel_train.probes.attentive import Config
from worldmodel_train.recipe import load_recipe, resolved_yaml
from worldmodel_train.training.checkpoints.folder import CheckpointFolder
from worldmodel_train.training.checkpoints.imported import save_imported
from worldmodel_train.training.run import pretrain
from worldmodel_train.types import Clips

TINY = ("method.encoder.size={width: 48, depth: 3, heads: 2}", "method.predictor.width=24",
        "method.predictor.depth=1")  # fmt: skip


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    """A run directory with a tiny encoder as it was drawn."""
    folder = tmp_path_factory.mktemp("encoder")
    recipe = load_recipe("demo", TINY)
    torch.manual_seed(0)
    state = build_objective(recipe).state_dict()
    save_imported(CheckpointFolder(folder), state, resolved_yaml(recipe))
    return folder


@pytest.fixture
def recipe(encoder, tmp_path):
    def load(*overrides):
        small = (f"method.encoder.checkpoint={encoder}", "train.steps=2", "train.global_batch=4",
                 "train.micro_batch=4", "optim.lr.warmup_steps=1", "data.loader.workers=0",
                 "method.depth=1", "method.heads=2", f"run_dir={tmp_path / 'probe'}")  # fmt: skip
        return load_recipe("probe_pen_strokes", (*small, *overrides))

    return load


@pytest.mark.slow
def test_it_trains_from_its_recipe_and_saves_no_encoder(recipe):
    result = pretrain(pretrain_parts(recipe(), "auto"))
    assert result.step == 2
    assert "terms/accuracy" in result.last_metrics.values
    assert "monitors/target_rankme" not in result.last_metrics.values
    probe = trained_objective(result.checkpoint)
    assert {name.partition(".")[0] for name in probe.state_dict()} == {"each"}


def test_gradients_reach_the_probe_and_not_the_encoder(recipe):
    probe = build_objective(recipe())
    clips = torch.randint(256, (2, 8, 96, 96, 3), dtype=torch.uint8)
    probe.logits(clips).logsumexp(-1).sum().backward()
    assert all(p.grad is not None for p in probe.parameters())
    network = probe.seen.encoder.on(torch.device("cpu"))
    assert not any(p.requires_grad or p.grad is not None for p in network.parameters())


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["data.classes=null"], "a probe learns labels: name the classes"),
        (["data.held_out.clip.frames=16"], "clips of one length; use 8"),
        (["method.segments=2"], "clips_per_video: the probe sees 2 clips of each video; use 2"),
    ],
)
def test_data_that_a_probe_cannot_learn_from_is_refused(recipe, overrides, message):
    with pytest.raises(ValueError, match=message):
        recipe(*overrides)


def test_a_part_that_is_not_there_is_named_beside_those_that_are(recipe):
    with pytest.raises(CheckpointError, match="which has context_encoder, target_encoder"):
        build_objective(recipe("method.encoder.part=encoder"))
    with pytest.raises(CheckpointError, match=r"method\.encoder\.checkpoint=.*nowhere is neither"):
        build_objective(recipe("method.encoder.checkpoint=/nowhere"))


def test_a_part_that_is_no_encoder_is_refused(recipe):
    config = recipe().method
    assert isinstance(config, Config)
    with pytest.raises(ValueError, match="is a Linear, not an encoder"):
        config.build(recipe().data.facts(), encoder=FrozenPart(torch.nn.Linear(2, 2), origin="it"))


def test_probes_of_a_grid_learn_as_each_would_alone(recipe):
    """Each has its own rate and decay, and the gradient of its own loss."""
    grid = "method.grid={rates: [1.0, 0.1], decays: [1.0, 2.0]}"
    probes = build_objective(recipe(grid))
    groups = {group.name: group for group in probes.parameter_groups()}
    scales = {name: (group.rate_scale, group.decay_scale) for name, group in groups.items()}
    assert scales["probe_1"] == (1.0, 2.0)
    assert scales["probe_2"] == (0.1, 1.0)
    clips = torch.randint(256, (4, 8, 96, 96, 3), dtype=torch.uint8)
    content = Clips(pixels=clips, samples=(0, 1, 2, 3), labels=torch.tensor([0, 1, 2, 3]))
    probes.training_losses(content).total.backward()
    alone = functional.cross_entropy(probes.logits(clips)[2], content.labels)
    expected = torch.autograd.grad(alone, probes.each[2].classifier.weight)[0]
    torch.testing.assert_close(probes.each[2].classifier.weight.grad, expected)


def test_clips_of_one_video_are_seen_together(recipe):
    probes = build_objective(recipe("method.segments=2", "data.loader.clips_per_video=2"))
    clips = torch.randint(256, (4, 8, 96, 96, 3), dtype=torch.uint8)
    (tokens,) = probes.seen.encoder.on(clips.device)(clips)
    together = torch.cat([tokens[2:3], tokens[3:4]], dim=1)
    torch.testing.assert_close(probes.logits(clips)[0, 1:], probes.each[0](together))
    content = Clips(pixels=clips, samples=(0, 1, 2, 3), labels=torch.tensor([5, 5, 7, 7]))
    expected = functional.cross_entropy(probes.logits(clips)[0], torch.tensor([5, 7]))
    torch.testing.assert_close(probes.training_losses(content).total, expected)


def test_a_probe_sees_the_tokens_of_several_layers_each_under_the_last_norm(recipe):
    """Against what each block gives, as it passes."""
    several = "method.layers=[1, 3]"
    probes = build_objective(recipe(several, "method.segments=2", "data.loader.clips_per_video=2"))
    clips = torch.randint(256, (4, 8, 96, 96, 3), dtype=torch.uint8)
    network = probes.seen.encoder.on(clips.device)
    given = []
    for block in network.blocks:
        block.register_forward_hook(lambda module, inputs, output: given.append(output))
    network(clips)
    normed = [
        functional.layer_norm(given[i], (48,), network.norm.weight, network.norm.bias, 1e-6)
        for i in (0, 2)
    ]
    first, last = (one.reshape(2, 2 * 144, 48) for one in normed)  # both clips of a video
    expected = probes.each[0](torch.cat([last, first], dim=1))  # the order of tokens is no matter
    torch.testing.assert_close(probes.logits(clips)[0], expected)


def test_the_last_layer_alone_is_what_a_probe_sees_by_default(recipe):
    clips = torch.randint(256, (2, 8, 96, 96, 3), dtype=torch.uint8)
    logits = []
    for overrides in ([], ["method.layers=[3]"]):
        torch.manual_seed(0)
        probes = build_objective(recipe(*overrides))
        logits.append(probes.logits(clips))
        (tokens,) = probes.seen.encoder.on(clips.device)(clips)
        assert torch.equal(logits[-1][0], probes.each[0](tokens))
    assert torch.equal(*logits)


def test_layers_that_are_not_there_or_in_disorder_are_refused(recipe):
    with pytest.raises(ValueError, match=r"method\.layers=\[2, 4\], but .* has 3 blocks; use at"):
        build_objective(recipe("method.layers=[2, 4]"))
    with pytest.raises(ValueError, match=r"layers=\[3, 1\]: name each once, from the first on"):
        recipe("method.layers=[3, 1]")

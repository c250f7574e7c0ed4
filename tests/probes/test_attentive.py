"""A probe learns labels from the tokens of a frozen encoder, in any run that has one."""

import pytest
import torch

from worldmodel_train.cli.objectives import build_objective, trained_objective
from worldmodel_train.cli.run_spec import pretrain_parts
from worldmodel_train.models.frozen import FrozenPart
from worldmodel_train.models.strict_state import CheckpointError
from worldmodel_train.probes.attentive import Config
from worldmodel_train.recipe import load_recipe, resolved_yaml
from worldmodel_train.training.checkpoints.folder import CheckpointFolder
from worldmodel_train.training.checkpoints.imported import save_imported
from worldmodel_train.training.run import pretrain

TINY = ("method.encoder.size={width: 48, depth: 1, heads: 2}", "method.predictor.width=24",
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
    assert {name.partition(".")[0] for name in probe.state_dict()} == {"pooler", "classifier"}


def test_gradients_reach_the_probe_and_not_the_encoder(recipe):
    probe = build_objective(recipe())
    clips = torch.randint(256, (2, 8, 96, 96, 3), dtype=torch.uint8)
    probe.logits(clips).logsumexp(-1).sum().backward()
    assert all(p.grad is not None for p in probe.parameters())
    network = probe.encoder.on(torch.device("cpu"))
    assert not any(p.requires_grad or p.grad is not None for p in network.parameters())


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["data.classes=null"], "a probe learns labels: name the classes"),
        (["data.held_out.clip.frames=16"], "clips of one length; use 8"),
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

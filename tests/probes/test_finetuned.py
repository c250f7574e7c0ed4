"""An encoder of another run is trained with a head, and saved with it."""

import pytest
import torch
from torch.nn import functional

from worldmodel_train.cli.objectives import build_objective, load_part, trained_objective
from worldmodel_train.cli.run_spec import pretrain_parts
from worldmodel_train.evaluation.task import Subject
from worldmodel_train.protocols import Classifier
from worldmodel_train.recipe import load_recipe, resolved_yaml
from worldmodel_train.training.checkpoints.folder import CheckpointFolder
from worldmodel_train.training.checkpoints.imported import save_imported
from worldmodel_train.training.run import pretrain
from worldmodel_train.types import Clips

TINY = ("method.encoder.size={width: 24, depth: 2, heads: 2}", "method.predictor.width=24",
        "method.predictor.depth=1")  # fmt: skip


def save_encoder(folder, seed=0):
    """A run directory with a tiny V-JEPA as this seed draws it."""
    recipe = load_recipe("demo", TINY)
    torch.manual_seed(seed)
    state = build_objective(recipe).state_dict()
    save_imported(CheckpointFolder(folder), state, resolved_yaml(recipe))
    return folder


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return save_encoder(tmp_path_factory.mktemp("encoder"))


@pytest.fixture
def recipe(encoder, tmp_path):
    def load(*overrides):
        small = (f"method.encoder.checkpoint={encoder}", "train.steps=4", "train.global_batch=4",
                 "train.micro_batch=4", "optim.lr.warmup_steps=1", "data.loader.workers=0",
                 "log.every_steps=1", f"run_dir={tmp_path / 'run'}")  # fmt: skip
        return load_recipe("finetune_pen_strokes", (*small, *overrides))

    return load


def held(recipe):
    return load_part(recipe.method.encoder, key="method.encoder").on(torch.device("cpu"))


def test_it_begins_as_the_encoder_it_names(recipe):
    model, source = build_objective(recipe()), held(recipe())
    assert isinstance(model, Classifier)
    clips = torch.randint(256, (2, 8, 96, 96, 3), dtype=torch.uint8)
    (tokens,) = source(clips)
    torch.testing.assert_close(model.logits(clips), model.head(tokens))
    torch.testing.assert_close(model.probabilities(clips).sum(-1), torch.ones(1, 2))


def test_from_scratch_it_has_the_same_size_and_weights_of_the_seed(recipe):
    torch.manual_seed(1)
    drawn, source = build_objective(recipe("method.weights=drawn")), held(recipe())
    torch.manual_seed(2)
    other = build_objective(recipe("method.weights=drawn"))
    weights = [dict(model.named_parameters()) for model in (drawn.encoder, other.encoder, source)]
    assert weights[0].keys() == weights[2].keys()
    name = "blocks.1.mlp.fc1.weight"
    assert len({float(one[name].detach().sum()) for one in weights}) == 3
    assert drawn.encoder.position == source.position


def test_all_of_it_learns_from_the_labels(recipe):
    model = build_objective(recipe())
    clips = torch.randint(256, (3, 8, 96, 96, 3), dtype=torch.uint8)
    content = Clips(pixels=clips, samples=(0, 1, 2), labels=torch.tensor([3, 0, 7]))
    losses = model.training_losses(content)
    expected = functional.cross_entropy(model.logits(clips), content.labels)
    torch.testing.assert_close(losses.total, expected)
    losses.total.backward()
    assert [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_a_clip_may_have_several_labels(recipe):
    model = build_objective(recipe("data.labels=many", "evaluation=null"))
    clips = torch.randint(256, (2, 8, 96, 96, 3), dtype=torch.uint8)
    labels = torch.rand(2, 12) > 0.5
    content = Clips(pixels=clips, samples=(0, 1), labels=labels)
    expected = functional.binary_cross_entropy_with_logits(model.logits(clips), labels.float())
    torch.testing.assert_close(model.training_losses(content).total, expected)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["data.classes=null"], "a probe learns labels: name the classes"),
        (["data.held_out.clip.frames=16"], "clips of one length; use 8"),
    ],
)
def test_data_that_it_cannot_learn_from_is_refused(recipe, overrides, message):
    with pytest.raises(ValueError, match=message):
        recipe(*overrides)


@pytest.mark.parametrize("name", ["finetune_pen_strokes", "probe_pen_strokes"])
def test_clips_that_are_no_whole_tokens_of_the_encoder_are_refused(encoder, name):
    overrides = (f"method.encoder.checkpoint={encoder}", "data.augment.size=90")
    message = r"data\.augment\.size: 90 is not a multiple of target_encoder of .*patch=16"
    with pytest.raises(ValueError, match=message):
        build_objective(load_recipe(name, overrides))


@pytest.mark.slow
def test_its_recipe_trains_it_and_its_task_measures_it(recipe, tmp_path):
    loaded = recipe("train.steps=2", "train.global_batch=8", "train.micro_batch=8")
    result = pretrain(pretrain_parts(loaded, "auto"))
    assert "terms/accuracy" in result.last_metrics.values
    trained = trained_objective(result.checkpoint)
    moved = trained.encoder.blocks[0].mlp.fc1.weight - held(loaded).blocks[0].mlp.fc1.weight
    assert moved.abs().max() > 0
    (task,) = loaded.evaluation
    subject = Subject(
        method="probes/finetuned", trained=trained, untrained=build_objective(loaded),
        preparation=None, data=loaded.data, run_dir=tmp_path,
    )  # fmt: skip
    found = task.run(subject)
    assert found.measured_on.startswith("60 held-out videos of 12 classes")
    said = found.model_dump_json()
    assert "frozen" not in said
    assert "lucky" not in said  # there was nothing to choose from

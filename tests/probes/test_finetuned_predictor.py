"""A predictor of another run learns labels, and the encoder below it stays as it is."""

import pytest
import torch
from torch.nn import functional

from worldmodel_train.cli.objectives import build_objective, load_part, trained_objective
from worldmodel_train.cli.run_spec import pretrain_parts
from worldmodel_train.evaluation.task import Subject
from worldmodel_train.models.look_predictor import LookPredictor
from worldmodel_train.recipe import load_recipe, resolved_yaml
from worldmodel_train.training.checkpoints.folder import CheckpointFolder
from worldmodel_train.training.checkpoints.imported import save_imported
from worldmodel_train.training.run import pretrain
from worldmodel_train.types import Clips

TINY = ("method.encoder.size={width: 24, depth: 2, heads: 2}", "method.predictor.width=24",
        "method.predictor.depth=1")  # fmt: skip


def save_run(folder, recipe, *overrides):
    """A run directory with a tiny model as seed 0 draws it."""
    loaded = load_recipe(recipe, (*TINY, *overrides))
    torch.manual_seed(0)
    save_imported(
        CheckpointFolder(folder), build_objective(loaded).state_dict(), resolved_yaml(loaded)
    )
    return folder


@pytest.fixture(scope="module")
def world_model(tmp_path_factory):
    return save_run(tmp_path_factory.mktemp("iwm"), "image_world_model_films")


@pytest.fixture
def recipe(world_model, tmp_path):
    def load(*overrides):
        small = (f"method.encoder.checkpoint={world_model}",
                 f"method.predictor.checkpoint={world_model}", "train.steps=3",
                 "train.global_batch=4", "train.micro_batch=4", "optim.lr.warmup_steps=1",
                 "data.loader.workers=0", "log.every_steps=1",
                 f"run_dir={tmp_path / 'run'}")  # fmt: skip
        return load_recipe("finetune_iwm_predictor", (*small, *overrides))

    return load


def held(config):
    return load_part(config, key="").on(torch.device("cpu"))


def clips(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(256, (3, 8, 32, 32, 3), dtype=torch.uint8, generator=generator)


def content():
    return Clips(pixels=clips(), samples=(0, 1, 2), labels=torch.tensor([3, 0, 1]))


def test_it_begins_as_the_predictor_it_names_and_in_a_look_that_does_not_change(recipe):
    loaded = recipe()
    model = build_objective(loaded)
    world = held(loaded.method.encoder.model_copy(update={"part": "."}))
    with torch.no_grad():
        # the world model foresees from its student, which is its teacher before any step
        foreseen = world.foresee(clips()[:1], torch.zeros(1, 13)).unflatten(1, (-1, 24))
        torch.testing.assert_close(model.head(foreseen), model.logits(clips()[:1]))


def test_predictor_and_head_learn_and_the_encoder_has_no_gradient(recipe):
    loaded = recipe()
    model = build_objective(loaded)
    losses = model.training_losses(content())
    expected = functional.cross_entropy(model.logits(clips()), content().labels)
    torch.testing.assert_close(losses.total, expected)
    losses.total.backward()
    assert [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []
    assert not any(name.startswith("encoder") for name, _ in model.named_parameters())
    encoder = model.frozen_parts()["encoder"].on(torch.device("cpu"))
    assert [p for p in encoder.parameters() if p.requires_grad or p.grad is not None] == []


def test_drawn_anew_it_has_the_same_size_and_weights_of_the_seed(recipe):
    drawn = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        drawn.append(build_objective(recipe("method.weights=drawn")).predictor)
    taken = build_objective(recipe()).predictor
    weights = [dict(one.named_parameters()) for one in (*drawn, taken)]
    assert weights[0].keys() == weights[2].keys()
    name = "blocks.0.mlp.fc1.weight"
    assert len({float(one[name].detach().sum()) for one in weights}) == 3


def test_without_a_predictor_it_is_a_linear_probe_of_the_encoders_tokens(recipe):
    loaded = recipe("method.predictor=null")
    model = build_objective(loaded)
    (tokens,) = held(loaded.method.encoder)(clips())
    torch.testing.assert_close(model.logits(clips()), model.head(tokens))
    assert {name.split(".")[0] for name, _ in model.named_parameters()} == {"head"}


@pytest.mark.parametrize(
    ("part", "message"),
    [("encoder", "is a VisionTransformer, not a predictor that is told of looks")],
)
def test_a_part_that_is_no_such_predictor_is_refused(recipe, part, message):
    with pytest.raises(ValueError, match=message):
        build_objective(recipe(f"method.predictor.part={part}"))


def test_a_predictor_of_other_latents_is_refused(recipe, tmp_path):
    wider = "method.encoder.size={width: 48, depth: 1, heads: 2}"
    other = save_run(tmp_path / "wider", "image_world_model_films", wider)
    with pytest.raises(ValueError, match=r"predicts latents of 48 channels, .* have 24"):
        build_objective(recipe(f"method.predictor.checkpoint={other}"))


@pytest.mark.parametrize("several", ["times=2", "crops=3"])
def test_a_film_is_not_counted_several_times(recipe, several):
    with pytest.raises(ValueError, match="a film is seen once and whole"):
        recipe(f"evaluation.0.{several}")


@pytest.mark.slow
def test_its_recipe_trains_it_and_its_task_measures_it(recipe, tmp_path):
    loaded = recipe("evaluation.0.max_films=12")
    result = pretrain(pretrain_parts(loaded, "auto"))
    trained = trained_objective(result.checkpoint)
    assert isinstance(trained.predictor, LookPredictor)
    before = held(loaded.method.predictor).state_dict()
    moved = trained.predictor.proj.weight - before["proj.weight"]
    assert moved.abs().max() > 0
    (task,) = loaded.evaluation
    subject = Subject(
        method="probes/finetuned_predictor", trained=trained, untrained=build_objective(loaded),
        preparation=None, data=loaded.data, run_dir=tmp_path,
    )  # fmt: skip
    assert task.run(subject).measured_on.startswith("12 held-out videos of ")

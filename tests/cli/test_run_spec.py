import torch

from worldmodel_train.cli.objectives import build_objective
from worldmodel_train.cli.run_spec import pretrain_parts
from worldmodel_train.facts import DataFacts
from worldmodel_train.jepa import vjepa
from worldmodel_train.probes.online import ProbedRows
from worldmodel_train.protocols import Objective
from worldmodel_train.recipe import load_recipe
from worldmodel_train.types import Clips

told: list[DataFacts] = []


class Told(vjepa.Config):
    """A method that remembers what it is told of its data."""

    def build(self, data: DataFacts | None = None) -> Objective:
        told.append(data)
        return super().build(data)


def test_a_method_is_told_what_its_data_is():
    recipe = load_recipe("demo")
    method = Told.model_validate(vjepa.Config.tiny().model_dump())
    build_objective(recipe.model_copy(update={"method": method}))
    assert told == [recipe.data.open_facts()]


def test_a_recipe_with_an_online_probe_has_one_of_its_classes():
    spec = pretrain_parts(load_recipe("lejepa_films"), "never")
    assert spec.online_probe is not None
    labels = torch.tensor([0, 1])
    rows = ProbedRows(latents=torch.eye(2), pixels=torch.eye(2), labels=labels)
    spec.online_probe.take(rows)
    assert spec.online_probe.state()["latents.sums"].tolist() == [[1, 0], [0, 1]]
    assert pretrain_parts(load_recipe("demo"), "never").online_probe is None


def test_a_method_that_prepares_nothing_is_given_clips_as_they_are_read():
    recipe = load_recipe("video_diffusion_tiny", ["data.loader.workers=0", "train.micro_batch=2",
                                                  "train.global_batch=2"])  # fmt: skip
    loader = pretrain_parts(recipe, "never").build_loader(rank=0, world_size=1, first_step=0)
    batch = next(iter(loader))
    assert isinstance(batch.content, Clips)
    assert batch.content.num_samples == 2

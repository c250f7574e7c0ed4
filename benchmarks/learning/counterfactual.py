"""What Causal-JEPA says would happen to ball B if ball A were not there.

    python -m benchmarks.learning.counterfactual states --seed 0
    python -m benchmarks.learning.counterfactual runs/causal_jepa_balls

The model is given the slots of some frames without A's, and where B's slots go by it is set beside
what is simulated without A. A linear map, fitted on other films, reads places from slots. `states`
trains a predictor on true places, radii and colours, mapped by a fixed random matrix: what the
method can do where nothing is lost by seeing. A run is measured on the slots of its encoder.

Errors are mean distances in sides of the picture over the predicted frames and all scenes, with the
standard error over scenes. Beside the model without A stand: the model that still has A; a straight
way at the last speed; the same mirrored at the border, the true law but for others; and the
predictor before training. `seen` reads the slots of what happens without A: what reading costs.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
import typer
from jaxtyping import Float, Int
from rich.console import Console
from rich.table import Table
from torch import Tensor

from benchmarks.learning.collisions import Collisions, draw_collisions, places_of, straight_on
from benchmarks.learning.slot_worlds import (
    PlaceReader,
    SeenWorld,
    SlotWorld,
    random_scenes,
)
from benchmarks.learning.state_slots import StateTraining, learn_states
from worldmodel_train.cli.objectives import trained_objective, untrained_objective
from worldmodel_train.envs.ball_physics import Laws
from worldmodel_train.envs.balls import Scene, without
from worldmodel_train.evaluation.machine import describe_machine
from worldmodel_train.jepa.causal_jepa import CausalJepa
from worldmodel_train.recipe import load_stored_recipe
from worldmodel_train.training.checkpoints.files import RECIPE
from worldmodel_train.training.checkpoints.folder import find_checkpoint

SCENE = Scene(things=3, shapes=1, radius=(0.09, 0.15), gravity=0.0, bounce=1.0)
LAWS = Laws(fps=8.0)
_READ_FILMS = 300  # that the linear map is fitted on


@dataclass(frozen=True, kw_only=True)
class Models:
    """A predictor, and the same as it was drawn."""

    trained: CausalJepa
    untrained: CausalJepa
    world: SlotWorld

    @property
    def seen(self) -> int:
        """Frames."""
        return self.trained.config.history

    @property
    def frames(self) -> int:
        """And those that are predicted."""
        return self.trained.config.frames


Rows = Mapping[str, Float[Tensor, "n"]]
"""The distance from what would be without A, scene by scene."""


@torch.no_grad()
def counterfactual(models: Models, cases: Collisions, reader: PlaceReader) -> Rows:
    """All rows."""
    seen, world = models.seen, models.world
    slots = world.slots(cases.beginnings, LAWS, models.frames, seen)[:, :seen]
    others, b_of_others = without_slot(slots, cases.a, cases.b)
    gone = torch.arange(SCENE.things) == cases.a[:, None]
    really = world.slots(without(cases.beginnings, gone.numpy()), LAWS, models.frames, seen)
    path = cases.of_b(cases.with_a)
    radius = torch.from_numpy(cases.beginnings.radius).float()[torch.arange(len(path)), cases.b]
    said = {
        "A removed": reader(of_slot(following(models.trained, others), b_of_others)),
        "A kept": reader(of_slot(following(models.trained, slots), cases.b)),
        "untrained, A removed": reader(of_slot(following(models.untrained, others), b_of_others)),
        "straight on": straight_on(path, seen),
        "straight on, mirrored": straight_on(path, seen, radius),
        "seen": reader(of_slot(really[:, seen:], cases.b)),
    }
    truth = cases.of_b(cases.without_a)[:, seen:]
    return {name: distance(places, truth) for name, places in said.items()} | {
        "(A kept, from what happens with A)": distance(said["A kept"], path[:, seen:]),
        "(straight on, from what happens with A)": distance(said["straight on"], path[:, seen:]),
    }


def following(model: CausalJepa, slots: Float[Tensor, "n h s d"]) -> Float[Tensor, "n _ s d"]:
    """What the model says comes after these."""
    nothing = slots.new_empty(len(slots), model.config.frames - 1, 0)
    return model.following(slots, nothing, slots.new_empty(*slots.shape[:2], 0))


def without_slot(
    slots: Float[Tensor, "n h s d"], gone: Int[Tensor, "n"], kept: Int[Tensor, "n"]
) -> tuple[Float[Tensor, "n h _ d"], Int[Tensor, "n"]]:
    """The slots but for one of each film, and the number that another one then has."""
    left = torch.arange(slots.shape[2]) != gone[:, None]
    index = left.nonzero()[:, 1].view(len(slots), 1, -1, 1)
    index = index.expand(-1, slots.shape[1], -1, slots.shape[3])
    return slots.gather(2, index), kept - (kept > gone).int()


def of_slot(slots: Float[Tensor, "n t s d"], number: Int[Tensor, "n"]) -> Float[Tensor, "n t d"]:
    """That slot of each film."""
    return slots[torch.arange(len(slots)), :, number.long()]


def distance(places: Float[Tensor, "n t 2"], truth: Float[Tensor, "n t 2"]) -> Float[Tensor, "n"]:
    """The mean over frames."""
    return (places - truth).norm(dim=-1).mean(dim=1)


def fitted_reader(models: Models) -> PlaceReader:
    """On films of their own, of which nothing else is measured."""
    states = random_scenes(SCENE, _READ_FILMS, 10)
    slots = models.world.slots(states, LAWS, models.frames, models.seen)
    return PlaceReader.fitted(slots, places_of(states, LAWS, models.frames))


def of_run(run: Path) -> Models:
    """The models of a run, on the slots of its encoder."""
    checkpoint = find_checkpoint(run, "run")
    trained = trained_objective(checkpoint)
    untrained = untrained_objective(load_stored_recipe(checkpoint / RECIPE))
    if not isinstance(trained, CausalJepa) or not isinstance(untrained, CausalJepa):
        raise SystemExit(f"{run} is a run of {type(trained).__name__}; name one of Causal-JEPA")
    return Models(
        trained=trained.eval(), untrained=untrained.eval(), world=SeenWorld(trained.slots)
    )


def main(what: str, seed: int = 0, steps: int = 2500, masked: int = 1, scenes: int = 300) -> None:
    """Prints the table; `what` is `states` or a run of Causal-JEPA."""
    began = time.process_time()
    if what == "states":
        models = Models(**learn_states(StateTraining(seed=seed, steps=steps, masked=masked)))
    else:
        models = of_run(Path(what))
    cases = draw_collisions(
        SCENE, LAWS, count=scenes, seen=models.seen, frames=models.frames, seed=11
    )
    rows = counterfactual(models, cases, fitted_reader(models))
    table = Table("B's place without A", "distance", "+-", title=f"{what}: {scenes} scenes")
    for name, each in rows.items():
        table.add_row(name, f"{each.mean():.3f}", f"{each.std() / len(each) ** 0.5:.3f}")
    Console().print(table)
    Console().print(f"{time.process_time() - began:.0f} s of CPU", highlight=False)
    Console().print(describe_machine(torch.device("cpu")), highlight=False)


if __name__ == "__main__":
    typer.run(main)

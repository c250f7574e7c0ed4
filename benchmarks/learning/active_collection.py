"""`python -m benchmarks.learning.active_collection`: is it worth it to choose what is learned from?

Two rooms, in which every episode begins in one corner: a disc that drifts seldom finds the door. At
equal numbers of episodes, LeWorldModel learns from those that come, or from those on which an
ensemble disagreed most among several candidates (`wmt data collect --chosen-by`). Choosing costs
steps of the world, so a third one keeps as many episodes as were acted out for the second. What is
measured is where the model takes a disc to be after even actions, from places drawn evenly over
both rooms.
"""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any, NamedTuple

import numpy as np
import torch
import typer
from jaxtyping import Float, UInt8
from numpy import ndarray
from sklearn.linear_model import RidgeCV
from torch import Tensor

from benchmarks.learning.walked_model import Training, learn_world
from worldmodel_train.collection.disagreement import Choice, Disagreement, FrameLatents
from worldmodel_train.collection.ensemble import FITTING, Fitting, fitted
from worldmodel_train.collection.episode_files import episode_in
from worldmodel_train.collection.policies import walk
from worldmodel_train.collection.workers import Actor
from worldmodel_train.collection.world import View
from worldmodel_train.data.trajectories.episode import Episode
from worldmodel_train.envs.disc_rooms import Layout, draw, draw_free, move
from worldmodel_train.evaluation.machine import describe_machine
from worldmodel_train.jepa.leworldmodel import LeWorldModel
from worldmodel_train.types import Trajectories

LAYOUT = Layout()
AFTER = (1, 8)
"""Actions after which a prediction is looked at."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a result depends on."""

    seed: int = 0
    sizes: tuple[int, ...] = (25, 50, 100, 200)
    """Episodes that are learned from. The first so many are never chosen; from one size to the next
    an ensemble chooses that was fitted to all before."""
    candidates: int = 4
    """Episodes acted out for each that is chosen."""
    longest: int = 50
    """Actions of each."""
    start: tuple[float, float] = (0.1, 0.1)
    """Where every episode begins."""
    picture: int = 32
    """Pixels of a side."""
    steps: int = 300
    """Of AdamW, at each size anew from the same first weights."""
    tested: int = 1000
    """Places from which predictions are made."""
    fitting: Fitting = FITTING
    """Of the ensemble."""


class Learned(NamedTuple):
    """A model, and what it came of."""

    model: LeWorldModel
    kept: Sequence[Episode]
    simulated: int
    """Episodes that were acted out."""


def curves(settings: Settings) -> dict[str, list[dict[str, Any]]]:
    """By way of collecting, what there is to say at each size."""
    first, later = begun(settings), settings.sizes[1:]
    as_many = [first.simulated + settings.candidates * (size - first.simulated) for size in later]
    ways: Mapping[str, Iterator[Learned]] = {
        "random": random(first, settings, later),
        "chosen": chosen(first, settings, later),
        "random, as many simulated": random(first, settings, as_many),
    }
    return {
        name: [described(learned, settings) for learned in (first, *learnt)]
        for name, learnt in ways.items()
    }


def begun(settings: Settings) -> Learned:
    """A model of the first episodes, from which all ways go on."""
    size = settings.sizes[0]
    kept = acted(actor_of(settings), range(size))
    return Learned(trained(kept, settings), kept, size)


def random(first: Learned, settings: Settings, sizes: Sequence[int]) -> Iterator[Learned]:
    """Models of the first so many episodes, whatever these are."""
    kept = list(first.kept)
    for size in sizes:
        kept = kept + acted(actor_of(settings), range(len(kept), size))
        yield Learned(trained(kept, settings), kept, size)


def chosen(first: Learned, settings: Settings, sizes: Sequence[int]) -> Iterator[Learned]:
    """Models of as many, each of whose new ones the model before chose with its ensemble."""
    model, kept, simulated = first
    for size in sizes:
        latents = FrameLatents(model=model, action_width=2)
        ensemble = fitted(latents.transitions(kept), settings.fitting)
        judge = Disagreement(latents=latents, ensemble=ensemble)
        choice = Choice(candidates=settings.candidates, judge_of=lambda judge=judge: judge)
        new = acted(replace(actor_of(settings), choice=choice), range(len(kept), size))
        kept, simulated = [*kept, *new], simulated + settings.candidates * len(new)
        model = trained(kept, settings)
        yield Learned(model, kept, simulated)


def actor_of(settings: Settings) -> Actor:
    """Random actions that last, from the corner."""
    return Actor(
        env="envs/two_rooms",
        view=View(see="pixels", size=settings.picture),
        policy=walk,
        seed=settings.seed,
        longest=settings.longest,
        options={"goal_radius": 0.0, "start": settings.start},
    )


def acted(actor: Actor, numbers: range) -> list[Episode]:
    """The episodes of these numbers, as a folder would have them."""
    return [episode_in(actor.npz(number), number) for number in numbers]


def trained(kept: Sequence[Episode], settings: Settings) -> LeWorldModel:
    """A model of these episodes, in evaluation mode."""
    seen = [episode.observations for episode in kept if episode.observations is not None]
    walks = Trajectories(
        observations=torch.from_numpy(np.stack(seen)),
        actions=torch.from_numpy(np.stack([episode.actions for episode in kept])),
    )
    return learn_world(settings.picture, walks, Training(seed=settings.seed, steps=settings.steps))


def described(learned: Learned, settings: Settings) -> dict[str, Any]:
    """What was kept, what it cost, and how wrong the model is."""
    places = [episode.states for episode in learned.kept if episode.states is not None]
    beyond = np.stack(places)[..., 0] > 0.5
    return {
        "kept": len(learned.kept),
        "simulated_steps": learned.simulated * settings.longest,
        "reach_the_other_room": float(beyond.any(axis=1).mean()),
        "seen_in_the_other_room": float(beyond.mean()),
        "error": errors(learned.model, settings),
    }


@torch.no_grad()
def errors(model: LeWorldModel, settings: Settings) -> dict[str, dict[str, float]]:
    """Mean distance from where discs are to where the model takes them to be, in sides of the room.

    A ridge regression reads places off latents. It is fitted to other places, drawn evenly: a
    measuring rod that knows both rooms, whatever the model was shown.
    """
    generator = np.random.default_rng([settings.seed, 3])
    known, starts = (draw_free(generator, LAYOUT, settings.tested) for _ in range(2))
    actions = generator.uniform(-1, 1, (settings.tested, max(AFTER), 2))
    nothing = torch.empty(len(starts), 0, 2)
    seen = model.latent(model.encode(_pictures(known, settings), nothing)).double().numpy()
    rod = RidgeCV(alphas=(1e-4, 1e-2, 1.0, 100.0)).fit(seen, known)
    belief = model.encode(_pictures(starts, settings), nothing)
    rolled = model.rollout(belief, torch.from_numpy(actions).float()[:, None])[:, 0]
    found, states = dict[str, dict[str, float]](), starts
    for number in range(max(AFTER)):
        states = move(states, actions[:, number], LAYOUT)
        if number + 1 in AFTER:
            read = rod.predict(rolled[:, number].double().numpy())
            found[f"after_{number + 1}"] = _by_room(starts, states, read)
    return found


def summary(seeds: Sequence[Mapping[str, Sequence[Mapping[str, Any]]]]) -> dict[str, Any]:
    """Mean and standard deviation over seeds of all numbers."""
    return {
        name: [
            _spread([found[name][place] for found in seeds]) for place in range(len(seeds[0][name]))
        ]
        for name in seeds[0]
    }


def main(
    seeds: Annotated[list[int] | None, typer.Option("--seed")] = None,
    steps: int = Settings.steps,
    candidates: int = Settings.candidates,
) -> None:
    """Prints settings and numbers as JSON."""
    settings = Settings(steps=steps, candidates=candidates)
    began = time.perf_counter()
    found = {seed: curves(replace(settings, seed=seed)) for seed in seeds or [0, 1, 2]}
    report = {
        "machine": str(describe_machine(torch.device("cpu"))),
        "settings": asdict(settings) | {"seed": list(found)},
        "seconds": time.perf_counter() - began,
        "over_seeds": summary(list(found.values())),
        "by_seed": found,
    }
    typer.echo(json.dumps(report, indent=2))


def _by_room(
    starts: Float[ndarray, "b 2"], ends: Float[ndarray, "b 2"], read: Float[ndarray, "b 2"]
) -> dict[str, float]:
    """Of all, and of those that began in either room; and of a model that says nothing moves."""
    distance, beyond = np.hypot(*(read - ends).T), starts[:, 0] > 0.5
    return {
        "all": float(distance.mean()),
        "first_room": float(distance[~beyond].mean()),
        "other_room": float(distance[beyond].mean()),
        "had_it_stayed": float(np.hypot(*(starts - ends).T).mean()),
    }


def _spread(found: Sequence[Any]) -> dict[str, Any] | list[float]:
    """`[mean, standard deviation]` in the place of each number."""
    if isinstance(found[0], Mapping):
        return {name: _spread([one[name] for one in found]) for name in found[0]}
    return [float(np.mean(found)), float(np.std(found))]


def _pictures(states: Float[ndarray, "b 2"], settings: Settings) -> UInt8[Tensor, "b 1 h w c"]:
    return torch.from_numpy(draw(states, LAYOUT, settings.picture))[:, None]


if __name__ == "__main__":
    typer.run(main)

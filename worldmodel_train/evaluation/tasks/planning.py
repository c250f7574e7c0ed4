"""Goals reached by planning with a model, from pictures alone."""

import copy
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, TypeAlias

from pydantic import Field, model_validator

from worldmodel_train.config import StrictConfig
from worldmodel_train.data.trajectories.config import TrajectoriesConfig
from worldmodel_train.evaluation.planning import temporal_distance
from worldmodel_train.evaluation.task import Offer, Subject
from worldmodel_train.evaluation.task_result import TRAINED, UNTRAINED, TaskResult
from worldmodel_train.planners import (
    categorical_cem,
    cem,
    gradient,
    icem,
    mppi,
    random_shooting,
)
from worldmodel_train.protocols import LatentDynamics, RendersFrames, asks_for_states

if TYPE_CHECKING:
    from worldmodel_train.envs.goals import GoalWorld
    from worldmodel_train.evaluation.planning.closed_loop import Attempts, Goals
    from worldmodel_train.evaluation.planning.contest import Contest, Mind
    from worldmodel_train.planners.energies import Apart, Distance

PICTURES = "evaluation/planning"
"""Folder of the moving pictures, below the run directory."""
TRUE_WORLD = "true world"

Env: TypeAlias = Literal[
    "envs/two_rooms",
    "Reacher-v5",
    "gym_pusht/PushT-v0",
    "Pendulum-v1",
    "MiniGrid-Empty-8x8-v0",
    "MiniGrid-FourRooms-v0",
]
_OF_CHOICES = "MiniGrid-"

PlannerConfig = Annotated[
    cem.Config
    | icem.Config
    | mppi.Config
    | gradient.Config
    | random_shooting.Config
    | categorical_cem.Config,
    Field(discriminator="name"),
]


class Config(StrictConfig):
    """How many goals a planner reaches with the model, and others without it."""

    needs: ClassVar[type] = LatentDynamics
    needs_held_out: ClassVar[bool] = False

    env: Env = "envs/two_rooms"
    """The world, by the name that `wmt data collect` has for it; others than ours need the extra
    `envs`, and Push-T needs gym-pusht."""
    options: Mapping[str, Any] = Field(default_factory=dict[str, Any])
    """What the world's maker takes: as `--world` said when the episodes were collected. Where these
    began, and when they ended, is nothing to goals, which are drawn anywhere."""
    planner: PlannerConfig = icem.Config(
        horizon=12, candidates=256, elites=5, iterations=3, first_spread=1.5
    )
    """What searches for actions: in MiniGrid, whose actions are choices, `categorical_cem`. By
    default few elites of wide, slow noise: a way around a wall is found before it is made better.
    """
    distance: Literal["l1", "l2", "cosine", "learned"] = "l2"
    """Of a plan's latents to the goal's; `learned`: actions between them, as a small network says
    that learns it from the run's episodes, for each model by itself."""
    learned: temporal_distance.Config = temporal_distance.Config()
    """How that is learned."""
    counted: Literal["end", "nearest"] = "nearest"
    """Whether a plan counts by its end, or by where it is nearest to the goal. Who plans again and
    again by the end alone never has to set out."""
    way: float = Field(default=0.03, ge=0)
    """Weight of the mean distance along a plan, beside what is counted."""
    goals: int = Field(default=50, ge=2)
    """Pairs of a start and a goal, the same for all that try."""
    budget: int = Field(default=40, ge=1)
    """Actions after which a goal counts as not reached. With `data.frameskip` an action is so many
    of the world's, one after another; goals are looked for after the last of them."""
    replan_every: int = Field(default=4, ge=1)
    """Actions of a plan that are done before the next search."""
    memory: int = Field(default=3, ge=1)
    """Pictures of the past that a model may look at."""
    variations: bool = True
    """Whether the trained model also tries worlds that are otherwise, where there are such."""
    films: int = Field(default=4, ge=0)
    """Attempts of the trained model that are shown: so many successes, and so many failures."""
    decoder: Path | None = None
    """A run of `renderers/frame_decoder` on this very run, which paints what the trained model
    imagines of its plans. Without one the nearest of all pictures that were seen stands for it."""
    precision: Literal["bf16", "fp32"] = "fp32"
    """Of the model's encoder and rollouts, by autocast; energies are fp32."""
    compile: bool = False
    """Whether the model's step is compiled: some 10 to 60 s for each model before its first action,
    which no action's time contains."""
    seed: int = Field(default=0, ge=0)
    """Of starts, goals and all that is drawn in searching."""

    @model_validator(mode="after")
    def _planner_searches_such_actions(self) -> "Config":
        chooses = isinstance(self.planner, categorical_cem.Config)
        if chooses != self.env.startswith(_OF_CHOICES):
            kind, fits = (
                ("numbers", "another planner, such as cem")
                if chooses
                else ("one of several", "planner: {name: categorical_cem}")
            )
            raise ValueError(
                f"planner.name={self.planner.name}: an action of {self.env} is {kind}; use {fits}"
            )
        return self

    def misfits(self, offer: Offer) -> Iterator[str]:
        """Data without pictures of a world that is acted in, and plans that are too short."""
        if not isinstance(offer.data, TrajectoriesConfig):
            yield "plans in the world that episodes are of, and the recipe reads none; leave it out"
        elif offer.data.frameskip > 1 and self.env.startswith(_OF_CHOICES):
            yield (
                f"data.frameskip={offer.data.frameskip} makes several choices of {self.env} one "
                "action, and the planner makes one; use 1"
            )
        if asks_for_states(offer.objective):
            yield "plans from pictures alone, and the method asks for states too; leave it out"
        if self.replan_every > self.planner.horizon:
            yield (
                f"replan_every={self.replan_every} actions of a plan are done, and a plan has "
                f"planner.horizon={self.planner.horizon}; use at most that"
            )

    def run(self, subject: Subject) -> TaskResult:
        """What the trained model, the untrained one and rules reach, and moving pictures of it."""
        from worldmodel_train.evaluation.planning.films_of_attempts import attempt_galleries
        from worldmodel_train.evaluation.planning.first_plans import Search
        from worldmodel_train.evaluation.planning.pictures_of_plans import plan_galleries
        from worldmodel_train.evaluation.planning.planning_result import (
            RANDOM_ACTIONS,
            Trial,
            planning_result,
        )

        world, contest = self._world(subject), self._contest(subject)
        self._refuse_taken_names(subject, world)
        goals = contest.goals(world, self.goals)
        # before minutes of planning, in case that it is of another run
        decoder = self._decoder(subject, world, goals)
        minds = self._minds(subject)
        if self.compile:
            for mind in minds.values():
                contest.first_searches(mind, world, goals)
        pilots = {name: contest.model(mind, world, goals) for name, mind in minds.items()}
        attempts = contest.attempts(
            world,
            goals,
            {
                **pilots,
                TRUE_WORLD: contest.true_world(world, goals),
                **contest.rules(world, goals),
                RANDOM_ACTIONS: contest.random(world),
            },
            where=self.env,
        )
        trial = Trial(
            world=self.env,
            planner=self.planner.name,
            budget=self.budget,
            attempts=attempts,
            kinds=world.kinds(goals.starts, goals.goals),
            varied=self._varied(world, contest, minds[TRAINED]),
        )
        galleries = attempt_galleries(
            world, goals, attempts[TRAINED], subject.run_dir, PICTURES, most=self.films
        )
        search = Search(
            build=self.planner.build,
            distance=_on_the_cpu(minds[TRAINED].distance),
            distance_called=self.distance,
            seed=self.seed,
        )
        plans = plan_galleries(
            pilots[TRAINED], attempts[TRAINED], search, subject.run_dir, PICTURES, decoder=decoder
        )
        return planning_result(trial).model_copy(update={"galleries": (*galleries, *plans)})

    def _refuse_taken_names(self, subject: Subject, world: "GoalWorld") -> None:
        from worldmodel_train.evaluation.planning.planning_result import RANDOM_ACTIONS

        for name in subject.beside:
            if name in {TRAINED, UNTRAINED, TRUE_WORLD, RANDOM_ACTIONS, *world.rules()}:
                raise ValueError(f"a run beside is called {name}, as a row is; rename its folder")

    def _decoder(
        self, subject: Subject, world: "GoalWorld", goals: "Goals"
    ) -> RendersFrames | None:
        from worldmodel_train.evaluation.planning.decoder import opened_decoder

        if self.decoder is None:
            return None
        size = world.pictures(goals.goals[:1]).shape[1:3]
        return opened_decoder(subject, self.decoder, size=size)

    def _minds(self, subject: Subject) -> "dict[str, Mind]":
        """Models as they are searched, and their distances, by name; the trained one first."""
        from worldmodel_train.evaluation.planning.contest import Mind
        from worldmodel_train.planners.quick_models import InBf16, compiled

        found = {TRAINED: subject.trained, UNTRAINED: subject.untrained, **subject.beside}
        minds = dict[str, Mind]()
        for name, model in found.items():
            if not isinstance(model, LatentDynamics):
                raise ValueError(
                    f"{name} has no world model with actions, so nothing to plan with; leave it out"
                )
            quick = compiled(model) if self.compile else model
            rounded = InBf16(quick) if self.precision == "bf16" else quick
            minds[name] = Mind(model=rounded, distance=self._distance(model, subject))
        return minds

    def _distance(self, model: LatentDynamics[Any], subject: Subject) -> "Distance | Apart":
        """By its name, or what is learned of the model's latents."""
        if self.distance != "learned":
            return self.distance
        assert isinstance(subject.data, TrajectoriesConfig), "the recipe was checked"
        return temporal_distance.learned_distance(model, subject.data, self.learned, seed=self.seed)

    def _varied(
        self, world: "GoalWorld", contest: "Contest", trained: "Mind"
    ) -> "Mapping[str, Mapping[str, Attempts]]":
        """What the trained model and rules reach in worlds that it has not seen."""
        from worldmodel_train.envs.goals import Varied

        if not (self.variations and isinstance(world, Varied)):
            return {}
        tried = dict[str, "Mapping[str, Attempts]"]()
        for what, other in world.variations().items():
            goals = contest.goals(other, self.goals)
            pilots = {
                TRAINED: contest.model(trained, other, goals),
                **contest.rules(other, goals),
            }
            tried[what] = contest.attempts(other, goals, pilots, where=what)
        return tried

    def _world(self, subject: Subject) -> "GoalWorld":
        """The world, drawn as large as the pictures that the model has learned from."""
        from worldmodel_train.evaluation.planning.goal_worlds import goal_world

        data = subject.data
        assert isinstance(data, TrajectoriesConfig), "the recipe was checked"
        episodes = data.open_facts().episodes
        assert episodes is not None, "they are episodes"
        shape = episodes.observation
        if len(shape) != 3 or shape[0] != shape[1]:
            raise ValueError(
                f"planning: {self.env} is drawn in square pictures, and observations of the "
                f"episodes have the shape {shape}; collect them with --see pixels"
            )
        world = goal_world(self.env, size=shape[0], options=self.options, frameskip=data.frameskip)
        if world.action_width() != episodes.action_width:
            raise ValueError(
                f"planning: {self.env} has actions of {world.action_width()} numbers, and the "
                f"episodes of {episodes.action_width}; use planning.env of these episodes"
            )
        return world

    def _contest(self, subject: Subject) -> "Contest":
        from functools import partial

        from worldmodel_train.evaluation.planning.contest import Contest
        from worldmodel_train.planners.energies import nearness

        assert isinstance(subject.data, TrajectoriesConfig), "the recipe was checked"
        return Contest(
            planner=self.planner,
            near=partial(nearness, counted=self.counted, way=self.way),
            memory=self.memory,
            scale=subject.data.actions,
            budget=self.budget,
            replan_every=self.replan_every,
            seed=self.seed,
            showing=subject.showing,
        )


def _on_the_cpu(distance: "Distance | Apart") -> "Distance | Apart":
    """The same where plans are drawn: a copy, if it is a network."""
    from torch import nn

    return copy.deepcopy(distance).cpu() if isinstance(distance, nn.Module) else distance

"""Goals reached by planning with a model, from pictures alone."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from worldmodel_train.config import StrictConfig
from worldmodel_train.data.trajectories.config import ActionScale, TrajectoriesConfig
from worldmodel_train.evaluation.task import Offer, Subject
from worldmodel_train.evaluation.task_result import TRAINED, UNTRAINED, TaskResult
from worldmodel_train.planners import cem, gradient, icem, mppi, random_shooting
from worldmodel_train.protocols import LatentDynamics

if TYPE_CHECKING:
    from worldmodel_train.envs.goals import GoalWorld
    from worldmodel_train.evaluation.planning.closed_loop import Goals, Pilot
    from worldmodel_train.planners.energies import Distance, GoalEnergy

PICTURES = "evaluation/planning"
"""Folder of the moving pictures, below the run directory."""
TRUE_WORLD, RANDOM = "true world", "random actions"

PlannerConfig = Annotated[
    cem.Config | icem.Config | mppi.Config | gradient.Config | random_shooting.Config,
    Field(discriminator="name"),
]


class Config(StrictConfig):
    """How many goals a planner reaches with the model, and others without it."""

    needs: ClassVar[type] = LatentDynamics
    needs_held_out: ClassVar[bool] = False

    env: Literal["envs/two_rooms", "Reacher-v5"] = "envs/two_rooms"
    """The world, by the name that `wmt data collect` has for it; others than ours need the extra
    `envs`."""
    options: Mapping[str, Any] = Field(default_factory=dict[str, Any])
    """What the world's maker takes: as `--world` said when the episodes were collected."""
    planner: PlannerConfig = icem.Config(
        horizon=12, candidates=256, elites=5, iterations=3, first_spread=1.5
    )
    """What searches for actions. By default few elites of wide, slow noise: a way around a wall is
    found before it is made better."""
    distance: Literal["l1", "l2", "cosine"] = "l2"
    """Of a plan's latents to the goal's."""
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
    films: int = Field(default=4, ge=0)
    """Attempts of the trained model that are shown: so many successes, and so many failures."""
    seed: int = Field(default=0, ge=0)
    """Of starts, goals and all that is drawn in searching."""

    def misfits(self, offer: Offer) -> Iterator[str]:
        """Data without pictures of a world that is acted in, and plans that are too short."""
        if not isinstance(offer.data, TrajectoriesConfig):
            yield "plans in the world that episodes are of, and the recipe reads none; leave it out"
        if self.replan_every > self.planner.horizon:
            yield (
                f"replan_every={self.replan_every} actions of a plan are done, and a plan has "
                f"planner.horizon={self.planner.horizon}; use at most that"
            )

    def run(self, subject: Subject) -> TaskResult:
        """What the trained model, the untrained one and rules reach, and moving pictures of it."""
        from worldmodel_train.evaluation.planning.closed_loop import attempt
        from worldmodel_train.evaluation.planning.films_of_attempts import attempt_galleries
        from worldmodel_train.evaluation.planning.first_plans import Search
        from worldmodel_train.evaluation.planning.pictures_of_plans import plan_galleries
        from worldmodel_train.evaluation.planning.pilots import ModelPilot
        from worldmodel_train.evaluation.planning.planning_result import Trial, planning_result

        for name, model in subject.beside.items():
            if not isinstance(model, LatentDynamics):
                raise ValueError(f"{name} has no world model with actions, so nothing to plan with")
        world = self._world(subject)
        goals = self._goals(world)
        pilots = self._pilots(subject, world, goals)
        attempts = {
            who: attempt(world, goals, pilot, budget=self.budget, replan_every=self.replan_every)
            for who, pilot in pilots.items()
        }
        trial = Trial(
            world=self.env,
            planner=self.planner.name,
            budget=self.budget,
            attempts=attempts,
            kinds=world.kinds(goals.starts, goals.goals),
        )
        galleries = attempt_galleries(
            world, goals, attempts[TRAINED], subject.run_dir, PICTURES, most=self.films
        )
        trained = pilots[TRAINED]
        assert isinstance(trained, ModelPilot), "it plans with its model"
        search = Search(build=self.planner.build, distance=self.distance, seed=self.seed)
        plans = plan_galleries(trained, attempts[TRAINED], search, subject.run_dir, PICTURES)
        return planning_result(trial).model_copy(update={"galleries": (*galleries, *plans)})

    def _world(self, subject: Subject) -> "GoalWorld":
        """The world, drawn as large as the pictures that the model has learned from."""
        from worldmodel_train.evaluation.planning.goal_worlds import goal_world

        data = subject.data
        assert isinstance(data, TrajectoriesConfig), "the recipe was checked"
        episodes = data.open_facts().episodes
        assert episodes is not None, "they are episodes"
        height, width = episodes.observation[:2]
        if height != width:
            raise ValueError(f"planning: {self.env} is square, the episodes are {height}x{width}")
        world = goal_world(self.env, size=height, options=self.options, frameskip=data.frameskip)
        if world.action_width() != episodes.action_width:
            raise ValueError(
                f"planning: {self.env} has actions of {world.action_width()} numbers, and the "
                f"episodes of {episodes.action_width}; use planning.env of these episodes"
            )
        return world

    def _goals(self, world: "GoalWorld") -> "Goals":
        import numpy as np

        from worldmodel_train.evaluation.planning.closed_loop import Goals

        starts, goals = world.draw_pairs(np.random.default_rng(self.seed), self.goals)
        return Goals(starts=starts, goals=goals)

    def _energy(self, distance: "Distance") -> "GoalEnergy":
        from functools import partial

        from worldmodel_train.planners.energies import nearness

        return partial(nearness, distance=distance, counted=self.counted, way=self.way)

    def _pilots(
        self, subject: Subject, world: "GoalWorld", goals: "Goals"
    ) -> Mapping[str, "Pilot"]:
        """Everybody who tries, by what the report calls them."""
        import numpy as np
        import torch

        from worldmodel_train.data.trajectories.scaling import normalised
        from worldmodel_train.evaluation.frozen import device_of
        from worldmodel_train.evaluation.planning.pilots import (
            ModelPilot,
            RandomPilot,
            RulePilot,
            TruePilot,
        )
        from worldmodel_train.planners.bounds import Bounds
        from worldmodel_train.planners.replanning import Replanning

        assert isinstance(subject.data, TrajectoriesConfig), "the recipe was checked"
        scale = subject.data.actions

        def search(device: torch.device, scale: ActionScale | None = None) -> Replanning:
            high = torch.ones(world.action_width(), device=device)
            low, high = (
                each if scale is None else normalised(each, scale) for each in (-high, high)
            )
            return Replanning(self.planner.build(Bounds(low=low, high=high)), seed=self.seed)

        def of_model(model: object) -> ModelPilot:
            assert isinstance(model, LatentDynamics), "the recipe was checked, and who is beside"
            return ModelPilot(
                model=model,
                search=search(device_of(model), scale),
                world=world,
                goals=goals.goals,
                energy=self._energy(self.distance),
                memory=self.memory,
                scale=scale,
            )

        cpu = torch.device("cpu")
        rng = np.random.default_rng([self.seed, 1])
        return {
            TRAINED: of_model(subject.trained),
            UNTRAINED: of_model(subject.untrained),
            **{name: of_model(model) for name, model in subject.beside.items()},
            TRUE_WORLD: TruePilot(
                search=search(cpu),
                world=world,
                goals=goals.goals,
                energy=self._energy("l2"),
            ),
            **{
                name: RulePilot(rule=rule, goals=goals.goals)
                for name, rule in world.rules().items()
            },
            RANDOM: RandomPilot(width=world.action_width(), generator=rng),
        }

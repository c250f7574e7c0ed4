"""Goals reached by planning with a model, from pictures alone."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from worldmodel_train.config import StrictConfig
from worldmodel_train.data.trajectories.config import TrajectoriesConfig
from worldmodel_train.evaluation.task import Offer, Subject
from worldmodel_train.evaluation.task_result import TRAINED, UNTRAINED, TaskResult
from worldmodel_train.planners import cem, gradient, icem, mppi, random_shooting
from worldmodel_train.protocols import LatentDynamics

if TYPE_CHECKING:
    from worldmodel_train.envs.goals import GoalWorld
    from worldmodel_train.evaluation.planning.closed_loop import Goals, Pilot

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

    env: Literal["envs/two_rooms"] = "envs/two_rooms"
    """The world."""
    planner: PlannerConfig = cem.Config()
    """What searches for actions."""
    distance: Literal["l1", "l2", "cosine"] = "l2"
    """Of the last latent of a plan to the goal's."""
    way: float = Field(default=0.0, ge=0)
    """Weight of the mean distance along a plan, beside that of its end."""
    goals: int = Field(default=50, ge=2)
    """Pairs of a start and a goal, the same for all that try."""
    budget: int = Field(default=40, ge=1)
    """Actions after which a goal counts as not reached."""
    replan_every: int = Field(default=4, ge=1)
    """Actions of a plan that are done before the next search."""
    memory: int = Field(default=3, ge=1)
    """Pictures of the past that a model may look at."""
    films: int = Field(default=4, ge=0)
    """Attempts of the trained model that are shown: so many successes, and so many failures."""
    seed: int = Field(default=0, ge=0)
    """Of starts, goals and all that is drawn in searching."""

    def misfits(self, offer: Offer) -> Iterator[str]:
        """Data without pictures of a world that is acted in, and actions in other units."""
        if not isinstance(offer.data, TrajectoriesConfig):
            yield "plans in the world that episodes are of, and the recipe reads none; leave it out"
        elif offer.data.actions is not None or offer.data.frameskip != 1:
            yield (
                "plans actions as the world takes them, from -1 to 1: use data.actions=null and "
                "data.frameskip=1"
            )
        if self.replan_every > self.planner.horizon:
            yield (
                f"replan_every={self.replan_every} actions of a plan are done, and a plan has "
                f"planner.horizon={self.planner.horizon}; use at most that"
            )

    def run(self, subject: Subject) -> TaskResult:
        """What the trained model, the untrained one and rules reach, and moving pictures of it."""
        from worldmodel_train.evaluation.planning.closed_loop import attempt
        from worldmodel_train.evaluation.planning.films_of_attempts import attempt_galleries
        from worldmodel_train.evaluation.planning.planning_result import Trial, planning_result

        world = self._world(subject)
        goals = self._goals(world)
        attempts = {
            who: attempt(world, goals, pilot, budget=self.budget, replan_every=self.replan_every)
            for who, pilot in self._pilots(subject, world, goals).items()
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
        return planning_result(trial).model_copy(update={"galleries": tuple(galleries)})

    def _world(self, subject: Subject) -> "GoalWorld":
        """The world, drawn as large as the pictures that the model has learned from."""
        from worldmodel_train.envs.two_room_goals import TwoRoomGoals

        assert isinstance(subject.data, TrajectoriesConfig), "the recipe was checked"
        episodes = subject.data.open_facts().episodes
        assert episodes is not None, "they are episodes"
        height, width = episodes.observation[:2]
        if height != width:
            raise ValueError(f"planning: {self.env} is square, the episodes are {height}x{width}")
        return TwoRoomGoals(size=height)

    def _goals(self, world: "GoalWorld") -> "Goals":
        import numpy as np

        from worldmodel_train.evaluation.planning.closed_loop import Goals

        starts, goals = world.draw_pairs(np.random.default_rng(self.seed), self.goals)
        return Goals(starts=starts, goals=goals)

    def _pilots(
        self, subject: Subject, world: "GoalWorld", goals: "Goals"
    ) -> Mapping[str, "Pilot"]:
        """Everybody who tries, by what the report calls them."""
        import numpy as np
        import torch

        from worldmodel_train.evaluation.frozen import device_of
        from worldmodel_train.evaluation.planning.pilots import (
            ModelPilot,
            RandomPilot,
            RulePilot,
            TruePilot,
        )
        from worldmodel_train.planners.bounds import Bounds
        from worldmodel_train.planners.replanning import Replanning

        def search(device: torch.device) -> Replanning:
            high = torch.ones(world.action_width(), device=device)
            planner = self.planner.build(Bounds(low=-high, high=high))
            return Replanning(planner, seed=self.seed)

        def of_model(model: object) -> ModelPilot:
            assert isinstance(model, LatentDynamics), "the recipe was checked"
            return ModelPilot(
                model=model,
                search=search(device_of(model)),
                world=world,
                goals=goals.goals,
                distance=self.distance,
                way=self.way,
                memory=self.memory,
            )

        cpu = torch.device("cpu")
        rng = np.random.default_rng([self.seed, 1])
        return {
            TRAINED: of_model(subject.trained),
            UNTRAINED: of_model(subject.untrained),
            TRUE_WORLD: TruePilot(search=search(cpu), world=world, goals=goals.goals, way=self.way),
            **{
                name: RulePilot(rule=rule, goals=goals.goals)
                for name, rule in world.rules().items()
            },
            RANDOM: RandomPilot(width=world.action_width(), generator=rng),
        }

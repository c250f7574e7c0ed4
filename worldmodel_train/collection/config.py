"""What a recipe says about episodes that its run acts out itself."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from worldmodel_train.config import StrictConfig
from worldmodel_train.data.source_config import ShardsConfig
from worldmodel_train.facts import DataFacts, EpisodeFacts, Misfit

if TYPE_CHECKING:
    # torch, which is not needed to read a recipe; whole names can be looked up where they are used
    import worldmodel_train.collection.collector
    import worldmodel_train.collection.world
    import worldmodel_train.types


class CollectedConfig(StrictConfig):
    """Windows of episodes that the method acts out while it trains.

    They lie in the run's directory, in `episodes/`. A step sees those that are there when its batch
    is asked for, while the step before it is still to come; so what it learns from hangs on the
    seed and its number alone.
    """

    gives: ClassVar[Literal["trajectories"]] = "trajectories"
    """What a batch holds."""

    name: Literal["data/collected"]
    """The kind of data."""
    env: str = Field(pattern=r"^[\w./-]+$")
    """The world: a gymnasium id such as `Pendulum-v1`, or one of ours such as `envs/two_rooms`."""
    steps: int = Field(ge=2)
    """Observations of a window; between them lie `steps` - 1 actions."""
    random_episodes: int = Field(ge=1)
    """Episodes of random actions before the first step."""
    every_steps: int = Field(ge=1)
    """Optimizer steps from one episode of the policy to the next."""
    longest: int = Field(ge=1, default=1000)
    """Actions after which an episode is cut where its world has not ended it."""

    @property
    def sources(self) -> tuple[ShardsConfig, ...]:
        """None: what is learned from is acted out."""
        return ()

    @property
    def classes(self) -> None:
        """Episodes have no labels."""

    @property
    def held_out(self) -> None:
        """All episodes are trained on."""

    def facts(self) -> DataFacts:
        """What a method may know before the world is opened."""
        return DataFacts(sources=(), kind="trajectories")

    def open_facts(self) -> DataFacts:
        """The same with the shapes of the world; raises ValueError where there is no such world."""
        world = self.open_world()
        episodes = EpisodeFacts(
            steps=self.steps,
            observation=world.observation,
            action_width=world.action_width,
            discrete_actions=False,
            state_width=None,
            has_rewards=True,
            has_ends=True,
        )
        return replace(self.facts(), episodes=episodes)

    def open_world(self) -> "worldmodel_train.collection.world.World":
        """The world; raises ValueError where there is none, or none that a policy can act in."""
        from worldmodel_train.collection.open_world import open_world
        from worldmodel_train.envs.environments import WorldError

        try:
            world = open_world(self.env)
        except WorldError as error:
            raise ValueError(f"data.env={error}") from None
        if world.has_choices:
            raise ValueError(
                f"data.env={self.env} has actions {world.env.action_space}; use a world whose "
                "actions are a vector of numbers within bounds"
            )
        return world

    def misfits(self, micro_batch: int) -> Iterator[Misfit]:
        """Any number of windows goes."""
        del micro_batch
        yield from ()

    def check(self) -> None:
        """Raises ValueError where there is no such world, or none that a policy can act in."""
        self.open_facts()

    def held_out_content(self, limit: int) -> "worldmodel_train.types.Trajectories":
        """None are held out: recipes that ask for them are refused."""
        raise AssertionError(f"{limit} held-out windows of data/collected")

    def episodes(self, after_steps: int) -> int:
        """How many episodes there are after so many optimizer steps."""
        return self.random_episodes + after_steps // self.every_steps

    def visible(self, step: int) -> int:
        """How many episodes the optimizer step with index `step` draws from."""
        # its batch is asked for before the step before it ends
        return self.episodes(max(step - 1, 0))

    def collector(
        self, run_dir: Path, *, seed: int
    ) -> "worldmodel_train.collection.collector.Collector":
        """What acts for a run in `run_dir`."""
        from worldmodel_train.collection.collector import Collector

        return Collector(self, run_dir / "episodes", seed=seed)

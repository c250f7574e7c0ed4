"""Acts one episode out."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from worldmodel_train.collection.world import World
from worldmodel_train.data.random_streams import Stream, key
from worldmodel_train.data.trajectories.episode import Episode
from worldmodel_train.protocols import Policy


@dataclass(frozen=True, kw_only=True)
class EpisodeSeed:
    """What decides all that is drawn in an episode."""

    seed: int
    """The run's."""
    number: int
    """The episode's in the run."""

    @property
    def of_world(self) -> int:
        """For the world's own randomness, as `gymnasium` takes it."""
        return key(Stream.WORLD, self.seed, self.number) & 0x7FFFFFFF

    def of_actions(self, device: torch.device) -> torch.Generator:
        """For what the policy draws."""
        drawn = key(Stream.ACTION, self.seed, self.number) & 0x7FFFFFFFFFFFFFFF
        return torch.Generator(device).manual_seed(drawn)


@dataclass(frozen=True)
class RandomPolicy:
    """Acts evenly between the bounds."""

    width: int

    def act(
        self, observation: Tensor, memory: None, *, generator: torch.Generator
    ) -> tuple[Float[Tensor, "b a"], None]:
        """Actions that hang on nothing."""
        shape = (len(observation), self.width)
        drawn = torch.rand(shape, generator=generator, device=observation.device)
        return 2 * drawn - 1, None


@torch.no_grad()
def act_out(
    world: World, policy: Policy, seed: EpisodeSeed, *, longest: int, device: torch.device
) -> Episode:
    """An episode of the policy; nothing but `seed` decides what is drawn.

    Raises:
        ValueError: The policy gives an action that is no number.
    """
    generator, memory = seed.of_actions(device), None
    observations, actions, rewards, ended = [world.reset(seed.of_world)], [], [], False
    for _ in range(longest):
        seen = torch.from_numpy(observations[-1])[None].to(device)
        drawn, memory = policy.act(seen, memory, generator=generator)
        action = drawn[0].float().clamp(-1, 1).cpu().numpy()
        if not np.isfinite(action).all():
            raise ValueError(
                f"the policy's action {len(actions)} in episode {seed.number} is {action}; lower "
                "optim.lr or set optim.clip_grad_norm"
            )
        moment = world.step(action)
        observations.append(moment.observation)
        actions.append(action)
        rewards.append(moment.reward)
        ended = moment.ended
        if moment.ended or moment.cut:
            break
    ends = np.zeros(len(actions), np.bool_)
    ends[-1] = ended
    return Episode(
        observations=np.stack(observations),
        actions=np.stack(actions),
        rewards=np.array(rewards, np.float32),
        ends=ends,
    )

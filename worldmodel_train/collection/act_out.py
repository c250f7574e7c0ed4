"""Acts one episode out."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float32

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
    states = [world.state]
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
        states.append(world.state)
        actions.append(world.kept(action))
        rewards.append(moment.reward)
        ended = moment.ended
        if moment.ended or moment.cut:
            break
    ends = np.zeros(len(actions), np.bool_)
    ends[-1] = ended
    return Episode(
        observations=np.stack(observations),
        actions=np.stack(actions),
        states=_stacked(states),
        rewards=np.array(rewards, np.float32),
        ends=ends,
    )


def _stacked(
    states: Sequence[Float32[np.ndarray, "s"] | None],
) -> Float32[np.ndarray, "T s"] | None:
    known = [state for state in states if state is not None]
    return np.stack(known) if len(known) == len(states) else None

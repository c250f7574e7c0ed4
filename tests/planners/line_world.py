"""A `LatentDynamics` whose belief is its latent: an action, held for some steps, moves that far."""

import torch
from einops import rearrange, repeat


class LineWorld:
    """Counts the calls of its model, as `tests.planners.lqr` does."""

    def __init__(self, held=1):
        self.held = held
        self.calls = []

    def encode(self, observations, actions):
        return observations[:, -1].flatten(1).float()

    def latent(self, belief):
        return belief

    def intervene(self, belief, latent):
        return latent

    def step(self, belief, action):
        self.calls.append(len(belief))
        return belief + self.held * action

    def rollout(self, belief, actions):
        candidates = actions.shape[1]
        now, latents = repeat(belief, "b d -> (b s) d", s=candidates), []
        for action in rearrange(actions, "b s h a -> h (b s) a"):
            now = self.step(now, action)
            latents.append(now)
        return rearrange(torch.stack(latents), "h (b s) d -> b s h d", s=candidates)

"""Linear dynamics and quadratic costs, whose best actions are known in closed form."""

import torch
from einops import rearrange, repeat

A = torch.tensor([[1.0, 0.2], [0.0, 1.0]], dtype=torch.float64)
B = torch.tensor([[0.0], [0.2]], dtype=torch.float64)
STATE_COST = torch.diag(torch.tensor([1.0, 0.1], dtype=torch.float64))
ACTION_COST = 0.02


class Lqr:
    """A `LatentDynamics` whose belief is its state; it counts the calls of its model."""

    def __init__(self):
        self.calls = []

    def encode(self, observations, actions):
        return observations[:, -1].flatten(1).double()

    def latent(self, belief):
        return belief

    def intervene(self, belief, latent):
        return latent

    def step(self, belief, action):
        self.calls.append(len(belief))
        return belief @ A.T + action @ B.T

    def rollout(self, belief, actions):
        candidates = actions.shape[1]
        state = repeat(belief, "b d -> (b s) d", s=candidates)
        states = []
        for action in rearrange(actions, "b s h a -> h (b s) a"):
            state = self.step(state, action)
            states.append(state)
        return rearrange(torch.stack(states), "h (b s) d -> b s h d", s=candidates)


def energy(latents, actions):
    state_cost = ((latents @ STATE_COST) * latents).sum(dim=(-1, -2))
    return state_cost + ACTION_COST * actions.square().sum(dim=(-1, -2))


def optimum(state, horizon):
    """The least energy from each state, by Riccati's recursion backwards from the last state."""
    value = STATE_COST
    for _ in range(horizon):
        gain = torch.linalg.solve(ACTION_COST + B.T @ value @ B, B.T @ value @ A)
        value = STATE_COST + A.T @ value @ (A - B @ gain)
    return ((state @ (value - STATE_COST)) * state).sum(dim=-1)

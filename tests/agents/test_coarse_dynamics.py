import torch

from worldmodel_train.agents.coarse_dynamics import CoarseDynamics
from worldmodel_train.agents.regression import Regression, regress
from worldmodel_train.protocols import LatentDynamics


def test_it_is_a_model_whose_rollout_is_its_steps():
    torch.manual_seed(0)
    coarse = CoarseDynamics(latents=3, actions=2, width=16)
    assert isinstance(coarse, LatentDynamics)
    belief, actions = torch.randn(2, 3), torch.randn(2, 4, 3, 2)
    rolled, now = coarse.rollout(belief, actions), belief
    for step in range(3):
        now = coarse.step(now, actions[:, 1, step])
        torch.testing.assert_close(rolled[:, 1, step], now)


def test_it_learns_where_a_held_action_leads():
    torch.manual_seed(0)
    latents, actions = torch.randn(400, 2), 2 * torch.rand(400, 2) - 1
    coarse = CoarseDynamics(latents=2, actions=2, width=32)
    regress(
        coarse,
        (latents, actions),
        latents + 4 * actions,
        Regression(steps=200, batch=64, rate=1e-2),
        torch.Generator().manual_seed(0),
    )
    with torch.no_grad():
        ends = coarse(torch.zeros(2, 2), torch.tensor([[0.5, -0.5], [-0.25, 0.0]]))
    torch.testing.assert_close(ends, torch.tensor([[2.0, -2.0], [-1.0, 0.0]]), atol=0.3, rtol=0)

"""What planners rely on, for every method that predicts where actions lead."""

import pytest
import torch

from tests.contracts.methods import METHODS, build, content_for
from worldmodel_train.protocols import LatentDynamics

DYNAMICS = {
    name: config for name, config in METHODS.items() if isinstance(build(config), LatentDynamics)
}


@pytest.fixture(params=DYNAMICS.values(), ids=DYNAMICS.keys())
def config(request):
    return request.param


@pytest.fixture
def model(objective):
    """One whose gates, which may begin closed, are open."""
    with torch.no_grad():
        for parameter in objective.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return objective.eval()


@pytest.fixture
def believe(config, model):
    """The belief after two observations of some windows."""
    content = content_for(config, model)

    def believed(rows):
        states = {} if content.states is None else {"states": content.states[rows, :2] / 4}
        with torch.no_grad():
            return model.encode(
                content.observations[rows, :2], content.actions[rows, :1] / 4, **states
            )

    return believed


def plans(config, rows, candidates=3, horizon=3):
    generator = torch.Generator().manual_seed(3)
    return torch.rand(rows, candidates, horizon, config.actions, generator=generator) / 4


def test_methods_that_predict_pictures_from_actions_are_found():
    assert DYNAMICS.keys() >= {
        "jepa/leworldmodel", "jepa/vjepa2_ac", "jepa/pldm", "jepa/dino_wm",
    }  # fmt: skip


def test_a_rollout_is_its_steps(config, model, believe):
    belief, actions = believe(slice(0, 2)), plans(config, 2)
    assert len(belief) == 2
    rolled = model.rollout(belief, actions)
    assert rolled.shape[:3] == (2, 3, 3)
    now = belief
    for step in range(2):
        now = model.step(now, actions[:, 1, step])
        torch.testing.assert_close(
            model.rollout(now, actions[:, 1:2, step + 1 :])[:, 0], rolled[:, 1, step + 1 :]
        )


def test_another_latent_of_now_is_all_that_an_intervention_changes(config, model, believe):
    belief, actions = believe(slice(0, 2)), plans(config, 2)
    latent = model.latent(belief)
    before = model.rollout(belief, actions)
    torch.testing.assert_close(
        model.rollout(model.intervene(belief, latent), actions), before, rtol=0, atol=0
    )
    changed = model.intervene(belief, 2 * latent)
    torch.testing.assert_close(model.latent(changed), 2 * latent, rtol=0, atol=0)
    assert (model.rollout(changed, actions)[:, :, 0] != before[:, :, 0]).any(-1).all()


def test_gradients_reach_every_action(config, model, believe):
    actions = plans(config, 2).requires_grad_()
    model.rollout(believe(slice(0, 2)), actions)[:, :, -1].square().sum().backward()
    assert actions.grad.any(dim=-1).all()


def test_an_action_changes_what_comes_after_it_alone(config, model, believe):
    belief, actions = believe(slice(0, 2)), plans(config, 2)
    before = model.rollout(belief, actions)
    actions[:, :, 1] += 0.1
    moved = (model.rollout(belief, actions) != before).flatten(3).any(3)
    assert moved.all(dim=0).all(dim=0).tolist() == [False, True, True]
    assert not moved[:, :, 0].any()


def test_beliefs_and_candidates_do_not_see_each_other(config, model, believe):
    together = model.rollout(believe(slice(0, 3)), plans(config, 3))
    alone = model.rollout(believe(slice(1, 2)), plans(config, 3)[1:2, 2:])
    torch.testing.assert_close(alone, together[1:2, 2:], rtol=1e-4, atol=1e-5)

"""Models that are gone through faster lead to the same plans."""

import pytest
import torch

from worldmodel_train.jepa.leworldmodel import Config
from worldmodel_train.planners import icem
from worldmodel_train.planners.bounds import Bounds
from worldmodel_train.planners.energies import nearness
from worldmodel_train.planners.quick_models import InBf16, compiled
from worldmodel_train.protocols import LatentDynamics

SEARCH = icem.Config(horizon=4, candidates=64, elites=4, iterations=2)
WORLDS = 3


@pytest.fixture
def model():
    """One whose gates are open, so that actions count."""
    torch.manual_seed(0)
    model = Config.tiny().build().eval()
    for parameter in model.predictor.transformer.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return model


@torch.no_grad()
def planned(model):
    """A plan from pictures, its energy by this model, and the latents that it foretells."""
    generator = torch.Generator().manual_seed(0)
    pictures = torch.randint(0, 256, (WORLDS, 3, 16, 16, 3), dtype=torch.uint8, generator=generator)
    belief = model.encode(pictures, torch.zeros(WORLDS, 2, 2))
    goal = model.latent(model.encode(pictures.flip(0)[:, :1], torch.zeros(WORLDS, 0, 2)))
    bounds = Bounds(low=-torch.ones(2), high=torch.ones(2))
    plan = SEARCH.build(bounds).plan(
        model, belief, nearness(goal, "l2"), generator=torch.Generator().manual_seed(1)
    )
    return plan, model.rollout(belief, plan.actions[:, None])


def test_in_bf16_latents_are_near_and_fp32_and_the_plan_found_is_as_good(model):
    rounded = InBf16(model)
    assert isinstance(rounded, LatentDynamics)
    (plan, _), (other, latents) = planned(model), planned(rounded)
    assert latents.dtype == other.energy.dtype == torch.float32
    with torch.no_grad():
        pictures = torch.zeros(WORLDS, 1, 16, 16, 3, dtype=torch.uint8)
        belief = model.encode(pictures, torch.zeros(WORLDS, 0, 2))
        expected = model.rollout(belief, plan.actions[:, None])
        found = rounded.rollout(belief, plan.actions[:, None])
    # bf16 has 8 bits: 0.4 % of a number, and four steps of two maps each follow one another
    torch.testing.assert_close(found, expected, rtol=0.05, atol=0.05)
    assert not torch.equal(found, expected), "nothing was rounded"
    # a search may take another of two plans that are nearly as good
    torch.testing.assert_close(other.energy, plan.energy, rtol=0.05, atol=0.01)


def test_gradients_go_through_what_is_rounded(model):
    belief = model.encode(torch.zeros(2, 1, 16, 16, 3, dtype=torch.uint8), torch.zeros(2, 0, 2))
    actions = torch.zeros(2, 3, 2, 2, requires_grad=True)
    InBf16(model).rollout(belief, actions).sum().backward()
    assert actions.grad is not None
    assert (actions.grad != 0).any()


@pytest.mark.compile
@pytest.mark.timeout(900)
@pytest.mark.filterwarnings("ignore:.torch.jit.script_method:DeprecationWarning")  # in inductor
def test_compiled_the_same_plan_is_found_and_the_model_stays_as_it_was(model):
    before = model.step
    (plan, latents), (other, found) = planned(model), planned(compiled(model))
    # sums are fused, so the last bits of fp32 differ
    torch.testing.assert_close(found, latents, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(other.actions, plan.actions, rtol=1e-4, atol=1e-4)
    assert model.step == before

"""What acting relies on, for every method that says it acts."""

import pytest
import torch

from tests.contracts.methods import METHODS, content_for
from worldmodel_train.protocols import HasPhases, HasPolicies

ACTING = {name: config for name, config in METHODS.items() if getattr(config, "acts", False)}


@pytest.fixture(params=ACTING.values(), ids=ACTING.keys())
def config(request):
    return request.param


@pytest.fixture(params=["exploring", "greedy"])
def policy(request, objective):
    return getattr(objective.eval(), request.param)()


def act(policy, config, seed, times=3):
    generator = torch.Generator().manual_seed(seed)
    observation, memory, actions = torch.linspace(-1, 1, config.observations), None, []
    with torch.no_grad():
        for _ in range(times):
            action, memory = policy.act(observation[None], memory, generator=generator)
            actions.append(action)
    return torch.stack(actions)


def test_it_offers_its_policies(objective):
    assert isinstance(objective, HasPolicies)


def test_actions_are_bounded_and_a_function_of_the_generator(policy, config):
    one, two = act(policy, config, 0), act(policy, config, 0)
    assert one.shape == (3, 1, config.actions)
    assert one.abs().max() <= 1
    assert torch.equal(one, two)


def test_acting_takes_nothing_from_the_global_generator_and_changes_no_weight(
    policy, config, objective
):
    before = {name: tensor.clone() for name, tensor in objective.state_dict().items()}
    state = torch.get_rng_state()
    act(policy, config, 0)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(tensor, before[name]) for name, tensor in objective.state_dict().items())


def test_exploring_differs_from_one_generator_to_the_next(objective, config):
    policy = objective.eval().exploring()
    assert not torch.equal(act(policy, config, 0), act(policy, config, 1))


def test_phases_train_each_group_once_and_only_their_own_parameters_need_it(objective, config):
    if not isinstance(objective, HasPhases):
        return
    groups = {group.name: group.parameters for group in objective.parameter_groups()}
    phases = objective.phases(content_for(config, objective))
    assert sorted(name for phase in phases for name in phase.groups) == sorted(groups)
    for phase in phases:
        phase.losses().total.backward()
        own = [p for name in phase.groups for p in groups[name]]
        assert all(p.grad is not None for p in own)
        objective.zero_grad()

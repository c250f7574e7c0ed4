"""What training relies on, for every method that a recipe can name."""

import pytest
import torch
from torch import Tensor

from tests.contracts.methods import CONFIGS, METHODS, build, content_for, losses_of, train
from worldmodel_train.config.components import component_configs
from worldmodel_train.protocols import HasPictures, Objective
from worldmodel_train.recipe import FAMILIES, objective_class
from worldmodel_train.types import Content

DRAWING = {
    name: config for name, config in METHODS.items() if isinstance(build(config), HasPictures)
}


def test_every_config_in_a_folder_of_methods_is_one():
    configs = {n: one for family in FAMILIES for n, one in component_configs(family).items()}
    for name, config in configs.items():
        missing = {"build", "misfits", "preparation", "cost"} - set(dir(config))
        assert not missing, f"{name} is no method; call its class by another name than Config"


@pytest.fixture(params=CONFIGS.values(), ids=CONFIGS.keys())
def config(request):
    return request.param


@pytest.fixture
def content(config, objective):
    return content_for(config, objective)


def test_methods_of_all_families_are_found():
    assert METHODS.keys() >= {
        "jepa/vjepa", "jepa/ijepa", "renderers/video_diffusion", "renderers/latent_decoder",
    }  # fmt: skip


def test_it_offers_what_training_calls(objective, content):
    assert isinstance(objective, Objective)
    assert isinstance(content, Content)


def test_its_build_says_what_it_returns(config, objective):
    # tasks that do not suit it are refused by that, before anything is built
    assert objective_class(type(config)) is type(objective)


def test_loss_and_terms_are_finite_scalars(objective, content):
    losses = losses_of(objective, content)
    assert torch.isfinite(losses.total)
    assert losses.terms
    assert all(torch.isfinite(term) and not term.requires_grad for term in losses.terms.values())


def test_every_trained_parameter_gets_a_gradient_and_is_in_one_group(objective, content):
    trained = {name: p for name, p in objective.named_parameters() if p.requires_grad}
    with torch.no_grad():
        for parameter in trained.values():  # gates that begin closed hide what is behind them
            parameter.add_(0.02 * torch.randn_like(parameter))
    losses_of(objective, content).total.backward()
    assert [name for name, p in trained.items() if p.grad is None or not p.grad.any()] == []
    grouped = [p for group in objective.parameter_groups() for p in group.parameters]
    assert sorted(map(id, grouped)) == sorted(map(id, trained.values()))


def test_a_step_gives_teachers_and_latents_no_gradient(objective, content):
    losses = losses_of(objective, content)
    losses.total.backward()
    for pair in objective.ema_pairs():
        assert all(p.grad is None and not p.requires_grad for p in pair.teacher.parameters())
    assert not any(latents.requires_grad for latents in losses.latents.values())


def test_teachers_start_as_their_students_and_share_no_memory(objective):
    for pair in objective.ema_pairs():
        student, teacher = pair.student.state_dict(), pair.teacher.state_dict()
        assert student.keys() == teacher.keys()
        for name, weight in student.items():
            assert torch.equal(weight, teacher[name])
            assert weight.data_ptr() != teacher[name].data_ptr()


def test_teachers_stay_put_in_an_optimizer_step(objective, content):
    before = [p.clone() for pair in objective.ema_pairs() for p in pair.teacher.parameters()]
    train(objective, content, steps=1)
    after = [p for pair in objective.ema_pairs() for p in pair.teacher.parameters()]
    assert all(map(torch.equal, before, after))


def test_the_same_seed_gives_the_same_loss_and_another_does_not(config, content):
    totals = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        totals.append(build(config).training_losses(content).total)
    assert torch.equal(totals[0], totals[1])
    assert not torch.equal(totals[0], totals[2])


def test_state_round_trips(config, objective, content):
    train(objective, content, steps=1)
    torch.manual_seed(5)
    other = build(config)
    other.load_state_dict(objective.state_dict())
    expected = losses_of(objective, content).total
    assert torch.equal(losses_of(other, content).total, expected)


def test_one_step_under_bf16_autocast(objective, content):
    full = losses_of(objective, content).total
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = losses_of(objective, content)
    losses.total.backward()
    assert losses.total.dtype == torch.float32
    assert all(latents.dtype == torch.float32 for latents in losses.latents.values())
    torch.testing.assert_close(losses.total, full, rtol=2e-2, atol=0)
    trained = [p for p in objective.parameters() if p.requires_grad]
    assert all(p.grad.dtype == torch.float32 and p.grad.isfinite().all() for p in trained)


def test_ten_steps_on_one_batch_lower_the_loss(objective, content):
    first, last = train(objective, content, steps=10)
    assert last < 0.97 * first


@pytest.mark.parametrize("config", DRAWING.values(), ids=DRAWING.keys())
def test_pictures_are_bytes_with_colours(config):
    torch.manual_seed(0)
    objective = build(config)
    content = content_for(config, objective)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        pictures = objective.pictures(content)
    assert pictures
    for picture in pictures.values():
        assert isinstance(picture, Tensor)
        assert picture.dtype == torch.uint8
        assert picture.shape[2] == 3

import math
from dataclasses import replace

import pytest
import torch

from tests.contracts.methods import losses_of, masked_clips, masked_group
from worldmodel_train.jepa.half_seen import half_seen
from worldmodel_train.jepa.variational_jepa import Config, PriorConfig
from worldmodel_train.losses.gaussian_kl import (
    Gaussian,
    cross_entropy,
    kl_divergence,
    product_of_experts,
)
from worldmodel_train.models.gather import gather_sets
from worldmodel_train.models.gaussian_predictor import as_gaussian
from worldmodel_train.training.ema import Ema
from worldmodel_train.types import Clips, MaskedClips

BETA = 0.01
PLAIN = Config.tiny().model_copy(update={"prior": None, "beta": BETA})
BAYESIAN = PLAIN.model_copy(update={"prior": PriorConfig(gamma=0.1)})


def built(config):
    torch.manual_seed(0)
    return config.build()


@pytest.fixture
def group():
    return masked_group(PLAIN, 3, 1)


def per_number(sums, view):
    return sums.mean() / view.predicted.mean.shape[-1]


def gradients(objective, loss):
    """Whether each part learns from the loss."""
    objective.zero_grad()
    loss.backward(retain_graph=True)
    return {
        name: any(p.grad is not None and bool(p.grad.any()) for p in part.parameters())
        for name, part in objective.named_children()
    }


def test_the_loss_is_the_surprise_and_the_divergence_of_what_is_seen_from_what_is_said(group):
    objective = built(PLAIN)
    losses = losses_of(objective, MaskedClips(groups=(group,)))
    views = objective.views(group)
    surprise = [per_number(cross_entropy(v.seen, v.predicted), v) for v in views]
    forwards = [per_number(kl_divergence(v.seen, v.predicted), v) for v in views]
    backwards = [per_number(kl_divergence(v.predicted, v.seen), v) for v in views]
    expected = torch.stack(surprise).mean() + BETA * torch.stack(forwards).mean()
    torch.testing.assert_close(losses.total, expected)
    torch.testing.assert_close(losses.terms["kl"], torch.stack(forwards).mean().detach())
    assert not torch.allclose(losses.terms["kl"], torch.stack(backwards).mean())


def test_the_divergence_teaches_both_gaussians_and_no_mean_that_is_seen(group):
    objective = built(PLAIN)
    view = objective.views(group)[0]
    divergence = kl_divergence(view.seen, view.predicted).sum()
    said, seen = view.predicted, view.seen
    for tensor in torch.autograd.grad(
        divergence, (said.mean, said.log_variance, seen.log_variance), retain_graph=True
    ):
        assert tensor.any()
    assert not seen.mean.requires_grad
    expected = {"encoder": True, "teacher": False, "spread": True, "predictor": True}
    assert gradients(objective, divergence) == expected
    # of what is seen alone, no encoder: it would come to see what is predicted, everywhere the same
    fixed = Gaussian(said.mean.detach(), said.log_variance.detach())
    learns = gradients(objective, kl_divergence(seen, fixed).sum())
    assert [name for name, does in learns.items() if does] == ["spread"]


def test_surprise_teaches_both_spreads_and_what_is_predicted(group):
    objective = built(PLAIN)
    view = objective.views(group)[0]
    learns = gradients(objective, cross_entropy(view.seen, view.predicted).sum())
    assert learns == {"encoder": True, "teacher": False, "spread": True, "predictor": True}


def test_what_is_seen_is_the_copys_and_changes_with_it_alone(group):
    objective = built(PLAIN)
    before = objective.views(group)[0]
    with torch.no_grad():
        for parameter in objective.encoder.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    after = objective.views(group)[0]
    assert torch.equal(before.seen.mean, after.seen.mean)
    assert not torch.allclose(before.predicted.mean, after.predicted.mean)


def test_the_spread_of_what_is_seen_settles_at_its_share_of_the_predicted():
    """Both terms together, of one number whose prediction is wrong by 1: v_q = share * v_p."""
    said, spread = (torch.zeros(1, requires_grad=True) for _ in range(2))
    optimizer = torch.optim.Adam([said, spread], lr=0.05)
    for _ in range(600):
        seen = Gaussian(torch.ones(1), spread)
        predicted = Gaussian(torch.zeros(1), said)
        loss = cross_entropy(seen, predicted) + 0.25 * kl_divergence(seen, predicted)
        optimizer.zero_grad()
        loss.sum().backward()
        optimizer.step()
    assert (spread - said).exp().item() == pytest.approx(0.25 / 1.25, rel=0.01)
    # the squared error and the spread of what is seen
    assert said.exp().item() == pytest.approx(1.25, rel=0.01)


def test_spreads_begin_where_they_settle(group):
    view = built(PLAIN).views(group)[0]
    assert view.seen.log_variance.mean().item() == pytest.approx(math.log(BETA / 1.01), abs=0.1)
    assert view.predicted.log_variance.mean().item() == pytest.approx(0, abs=0.1)


def test_variances_stay_within_the_bounds_of_the_recipe(group):
    objective = built(PLAIN.model_copy(update={"log_variance": (-2.0, 1.0)}))
    with torch.no_grad():
        objective.predictor.proj.bias.add_(1e4)
        objective.spread.bias.sub_(1e4)
    view = objective.views(group)[0]
    # what bounds add up to is passed by log(1 + exp(-3))
    assert view.predicted.log_variance.max() <= 1 + math.log1p(math.exp(-3)) + 1e-5
    assert view.seen.log_variance.min() >= -2
    assert objective.training_losses(MaskedClips(groups=(group,))).total.isfinite()


def test_bounds_that_leave_no_room_are_refused():
    with pytest.raises(ValueError, match="must be \\[least, most\\] around 0"):
        Config.model_validate(PLAIN.model_dump() | {"log_variance": (1.0, 2.0)})


def test_what_is_predicted_with_a_prior_is_the_product_of_both(group):
    plain, bayesian = built(PLAIN), built(BAYESIAN)
    bayesian.load_state_dict(plain.state_dict(), strict=False)
    with torch.no_grad():
        bayesian.prior.mean.normal_()
        bayesian.prior.log_variance.normal_()
    prior = as_gaussian(bayesian.prior(), BAYESIAN.log_variance)
    pairs = zip(plain.views(group), bayesian.views(group), strict=True)
    for alone, together in pairs:
        expected = product_of_experts(alone.predicted, prior)
        torch.testing.assert_close(together.predicted.mean, expected.mean)
        torch.testing.assert_close(together.predicted.log_variance, expected.log_variance)
        assert (together.predicted.log_variance < alone.predicted.log_variance).all()


def test_a_prior_learns_from_what_is_predicted_and_is_held_to_the_standard_gaussian(group):
    objective = built(BAYESIAN)
    view = objective.views(group)[0]
    assert gradients(objective, cross_entropy(view.seen, view.predicted).sum())["prior"]
    content = MaskedClips(groups=(group,))
    at_rest = losses_of(objective, content).terms["prior_kl"]
    with torch.no_grad():
        objective.prior.mean.fill_(2.0)
    moved = losses_of(objective, content)
    # the mean of 2 of each number adds 2^2 / 2 nats
    assert (moved.terms["prior_kl"] - at_rest).item() == pytest.approx(2.0, rel=1e-4)
    rest = moved.terms["surprise"] + BETA * moved.terms["kl"]
    torch.testing.assert_close(moved.total.detach(), rest + 0.1 * moved.terms["prior_kl"])


def test_energy_is_the_surprise_above_the_least_there_could_be():
    objective = built(BAYESIAN)
    least = Gaussian(torch.zeros(1, 1), torch.full((1, 1), -10 - math.log(2)))
    surprise = -least.log_density(torch.zeros(1, 1)).item()
    assert objective._least_surprise() == pytest.approx(surprise)
    context, target = (
        Clips(pixels=torch.randint(0, 256, (2, 4, 16, 16, 3), dtype=torch.uint8), samples=(0, 1))
        for _ in range(2)
    )
    with torch.no_grad():
        energy = objective.energy(context, target)
        group = half_seen(context, objective.token_grid(context.pixels))
        (predicted,) = objective.gaussians_from(objective.encode_context(group), group)
        seen = gather_sets(objective.encode(target.pixels), group.masks[0].target_index)
    normal = torch.distributions.Normal(predicted.mean, torch.exp(predicted.log_variance / 2))
    expected = -normal.log_prob(seen).flatten(1).mean(dim=1) - surprise
    torch.testing.assert_close(energy, expected)


def test_the_copy_follows_the_encoder_at_its_momentum_and_not_the_spread():
    objective = built(PLAIN)
    (pair,) = objective.ema_pairs()
    before = {name: weight.clone() for name, weight in pair.teacher.named_parameters()}
    with torch.no_grad():
        for parameter in objective.parameters():
            parameter.add_(1.0)
        for parameter in pair.teacher.parameters():
            parameter.sub_(1.0)
    Ema(list(pair.student.parameters()), list(pair.teacher.parameters())).update(0.99)
    for name, weight in pair.teacher.named_parameters():
        torch.testing.assert_close(weight, before[name] + 0.01)
    assert not any("spread" in name for name in before)


def test_it_is_surer_of_clips_that_tell_what_is_hidden():
    """Of clips of one colour each, what is hidden shows; of noise nothing does."""
    surprises = {}
    for name, content in (("noise", masked_clips(PLAIN)), ("colours", of_one_colour())):
        objective = built(PLAIN)
        trained = [p for p in objective.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(trained, lr=3e-3)
        for _ in range(40):
            losses = objective.training_losses(content)
            optimizer.zero_grad()
            losses.total.backward()
            optimizer.step()
        surprises[name] = losses_of(objective, content).terms["surprise"].item()
    # N(0, 1) has 1.42 nats for each number of a normalised latent
    assert surprises["colours"] < 1.0
    assert surprises["colours"] < surprises["noise"] - 0.2


def of_one_colour():
    """The same masks over clips of one colour each."""
    groups = masked_clips(PLAIN).groups
    return MaskedClips(
        groups=tuple(
            replace(one, clips=one.clips[:, :1, :1, :1].expand_as(one.clips).contiguous())
            for one in groups
        )
    )

"""Causal-JEPA predicts whom it does not see, hides others in each step, and learns."""

from pathlib import Path

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from tests.contracts.methods import build
from worldmodel_train.facts import ClipShape, DataFacts, EpisodeFacts, RecipeFacts, SourceFacts
from worldmodel_train.jepa.causal_jepa import CausalJepa, Config, draw_hidden
from worldmodel_train.models.frozen import FrozenPart, PartConfig
from worldmodel_train.models.slot_predictor import SlotPredictorConfig
from worldmodel_train.types import Clips

OF_FILMS = Config.tiny().model_copy(update={"actions": 0, "states": 0, "history": 2, "horizon": 2})


def clips(seed):
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(256, (3, 4, 16, 16, 3), generator=generator, dtype=torch.uint8)
    return Clips(pixels=pixels, samples=(0, 1, 2))


def facts(frames):
    clip = SourceFacts(key=("data",), clip=ClipShape(frames, 16, 16), share=1.0)
    return RecipeFacts(
        data=DataFacts(sources=(clip,)),
        seed=0,
        steps=10,
        micro_batch=3,
        activation_checkpointing="none",
    )


def test_other_slots_are_hidden_in_each_step_and_the_same_when_a_step_is_done_again():
    drawn = []
    for step in (0, 1, 2, 0):
        torch.manual_seed(step)
        drawn.append(draw_hidden(8, 5, 2))
    assert drawn[0].shape == (8, 2)
    assert (drawn[0][:, 0] != drawn[0][:, 1]).all()
    assert not torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[1], drawn[2])
    assert torch.equal(drawn[0], drawn[3])


def test_each_slot_is_hidden_as_often_as_any_other_and_films_hide_others():
    torch.manual_seed(0)
    hidden = torch.zeros(4000, 5).scatter(1, draw_hidden(4000, 5, 2), 1.0)
    # of 4000 draws the share has a standard deviation of 0.008
    torch.testing.assert_close(hidden.mean(dim=0), torch.full((5,), 0.4), atol=0.03, rtol=0)
    assert len(hidden.unique(dim=0)) == 10


def test_without_actions_and_states_it_takes_films_and_learns_from_them():
    torch.manual_seed(0)
    model = build(OF_FILMS)
    losses = model.training_losses(clips(0))
    assert OF_FILMS.takes == "clips"
    assert Config.tiny().takes == "trajectories"
    assert losses.terms.keys() == {"future", "hidden", "copied"}
    losses.total.backward()
    assert all(p.grad is not None for p in model.parameters())


def test_the_future_does_not_reach_what_is_said_of_it():
    torch.manual_seed(0)
    model, before = build(OF_FILMS), clips(0)
    after = before.pixels.clone()
    after[:, 2:] = clips(1).pixels[:, 2:]
    told = []
    for content in (before, Clips(pixels=after, samples=(0, 1, 2))):
        torch.manual_seed(1)
        told.append(model.training_losses(content).latents["predicted"])
    assert torch.equal(*told)


def test_the_energy_of_films_is_of_the_half_that_is_not_seen():
    torch.manual_seed(0)
    model = build(OF_FILMS)
    context, other = clips(0), clips(1)
    energy = model.energy(context, context)
    mixed = Clips(
        pixels=torch.cat((context.pixels[:, :2], other.pixels[:, 2:]), dim=1), samples=(0, 1, 2)
    )
    torch.testing.assert_close(model.energy(mixed, context), energy, rtol=1e-6, atol=0)
    assert (model.energy(context, mixed) != energy).all()


def test_the_error_of_hidden_slots_is_theirs_in_frames_that_are_seen():
    torch.manual_seed(0)
    model = build(OF_FILMS.model_copy(update={"masked": 2, "history": 3, "horizon": 1}))
    slots, nothing = model.slots(clips(0).pixels), torch.empty(3, 4, 0)
    torch.manual_seed(1)
    found = model.losses_of_slots(slots, nothing[:, 1:], nothing).terms["hidden"]
    torch.manual_seed(1)
    hidden = torch.zeros(3, 3, dtype=torch.bool).scatter(1, draw_hidden(3, 3, 2), value=True)
    predicted, _ = model.predictor(slots[:, :3], hidden, nothing[:, 1:], nothing[:, :3])
    errors = (predicted - slots)[:, 1:3].square().mean(dim=(1, 3))
    torch.testing.assert_close(found, errors[hidden].mean())


def test_a_step_waits_for_no_value_on_the_device(monkeypatch):
    """Fake tensors have none to wait for."""
    monkeypatch.setattr(torch.nn.init, "trunc_normal_", lambda weight, **_: weight)
    slots = build(OF_FILMS).slots
    with FakeTensorMode():
        predictor = OF_FILMS.predictor.build(32, frames=4, actions=0, states=0)
        model, nothing = CausalJepa(OF_FILMS, slots, predictor), torch.empty(3, 4, 0)
        losses = model.losses_of_slots(torch.empty(3, 4, 3, 32), nothing[:, 1:], nothing)
    assert losses.total.shape == ()


def test_what_the_target_has_of_the_context_is_not_looked_at():
    """Else slots, which are numbered by the first frame, would be compared with others."""
    torch.manual_seed(0)
    model = build(OF_FILMS)
    context, target = clips(0), clips(1)
    other = torch.cat((clips(2).pixels[:, :2], target.pixels[:, 2:]), dim=1)
    begun_otherwise = Clips(pixels=other, samples=(0, 1, 2))
    torch.testing.assert_close(
        model.energy(context, begun_otherwise), model.energy(context, target), rtol=1e-6, atol=0
    )


def test_energy_shows_no_more_of_a_film_than_training():
    torch.manual_seed(0)
    model = build(OF_FILMS.model_copy(update={"horizon": 6})).eval()
    film = torch.cat((clips(0).pixels, clips(1).pixels), dim=1)
    slots, nothing = model.slots(film[:, 2:]), torch.empty(3, 6, 0)
    predicted = model.following(slots[:, :2], nothing[:, 1:], nothing[:, :2])
    expected = (predicted - slots[:, 2:]).square().mean(dim=(1, 2, 3))
    found = Clips(pixels=film, samples=(0, 1, 2))
    torch.testing.assert_close(model.energy(found, found), expected)


def test_films_of_another_length_are_refused_with_what_would_do():
    ((key, message),) = OF_FILMS.misfits(facts(frames=6))
    assert key == ("data", "clip", "frames")
    assert "use 4" in message
    assert not list(OF_FILMS.misfits(facts(frames=4)))


def test_a_part_that_sees_no_slots_is_refused():
    part = FrozenPart(nn.Linear(2, 2), origin="a map")
    with pytest.raises(ValueError, match="sees no slots"):
        OF_FILMS.build(facts(frames=4).data, encoder=part)


@pytest.mark.parametrize(
    ("update", "said"), [({"masked": 3}, "hides all 3 slots"), ({"history": 5}, "use 7")]
)
def test_what_does_not_suit_slots_or_episodes_is_refused(update, said):
    config = OF_FILMS.model_copy(update={"actions": 2} | update)
    part = build(OF_FILMS).slots.encoder
    episodes = EpisodeFacts(
        steps=4, observation=(16, 16, 3), action_width=2, discrete_actions=False, state_width=None
    )
    with pytest.raises(ValueError, match=said):
        config.build(DataFacts(sources=(), kind="trajectories", episodes=episodes), encoder=part)


@pytest.mark.slow
def test_it_learns_where_slots_go():
    """A slot has a name and a place, and all places of a film change alike."""
    torch.manual_seed(0)
    config = Config(
        encoder=PartConfig(checkpoint=Path("none"), part="encoder"),
        predictor=SlotPredictorConfig(depth=2, heads=2, mlp_ratio=2.0),
        history=3,
    )
    predictor = config.predictor.build(16, frames=4, actions=0, states=0)
    model = CausalJepa(config, build(OF_FILMS).slots, predictor)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    generator = torch.Generator().manual_seed(0)
    for _ in range(300):
        losses = model.losses_of_slots(*drifting(generator))
        optimizer.zero_grad()
        losses.total.backward()
        optimizer.step()
    assert losses.terms["future"] < 0.5 * losses.terms["copied"]
    # whom it does not see drifts as the others do
    assert losses.terms["hidden"] < 0.5 * losses.terms["copied"]


def drifting(generator):
    """Names of 8 numbers, and places of 8 that change by 1 or -1 in each step of a film."""
    names, first = torch.randn(2, 64, 1, 3, 8, generator=generator)
    speed = torch.randint(2, (64, 1, 1, 1), generator=generator) * 2.0 - 1
    places = first + speed * torch.arange(4).view(1, 4, 1, 1)
    slots = torch.cat((names.expand(-1, 4, -1, -1), places), dim=-1)
    return slots, torch.empty(64, 3, 0), torch.empty(64, 4, 0)

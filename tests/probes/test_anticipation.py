"""Probes of the next action see a clip and what a frozen predictor expects after it."""

import pytest
import torch

from worldmodel_train.facts import ClipShape, DataFacts, RecipeFacts, SourceFacts
from worldmodel_train.jepa import vjepa
from worldmodel_train.models.frozen import FrozenPart, PartConfig
from worldmodel_train.probes.anticipation import AheadConfig, Config
from worldmodel_train.probes.attentive import GridConfig
from worldmodel_train.probes.focal_loss import focal_loss
from worldmodel_train.probes.future_tokens import one_tubelet_ahead
from worldmodel_train.protocols import Classifier
from worldmodel_train.types import Clips, TokenGrid

CLASSES = ("verb 0", "verb 1", "noun 0", "noun 1", "noun 2", "action 0 0", "action 1 2")
SHAPE = ClipShape(8, 16, 24)
AREA = 2 * 3
JEPA = PartConfig.model_validate({"checkpoint": "runs/tiny", "part": "."})
GRID = GridConfig(rates=(1.0, 0.5), decays=(1.0, 0.1))
CONFIG = Config(jepa=JEPA, depth=1, heads=3, ahead=AheadConfig(fps=4.0, seconds=1.5), grid=GRID)


def data(**changes):
    source = SourceFacts(key=("data", "sources", 0), clip=SHAPE, share=1.0, fps=4.0)
    return DataFacts(**({"sources": (source,), "classes": CLASSES, "labels": "many"} | changes))


def frozen_jepa():
    torch.manual_seed(0)
    model = vjepa.Config.tiny().build()
    # as drawn, the predictor is next to blind
    for weight in model.predictor.parameters():
        if weight.ndim > 1:
            torch.nn.init.normal_(weight, std=0.3)
    return FrozenPart(model, origin="a tiny V-JEPA")


@pytest.fixture(scope="module")
def jepa():
    return frozen_jepa()


@pytest.fixture
def probes(jepa):
    torch.manual_seed(1)
    return CONFIG.build(data(), jepa=jepa)


def random_clips(count=3):
    generator = torch.Generator().manual_seed(2)
    return torch.randint(256, (count, *SHAPE, 3), dtype=torch.uint8, generator=generator)


def labels_of(*triples):
    labels = torch.zeros(len(triples), len(CLASSES), dtype=torch.bool)
    for row, triple in enumerate(triples):
        labels[row, list(triple)] = True
    return labels


def contents(**changes):
    labels = labels_of((0, 2, 5), (1, 4, 6), (0, 3, 5))
    return Clips(**({"pixels": random_clips(), "samples": (0, 1, 2), "labels": labels} | changes))


def test_they_are_a_classifier_of_all_kinds(probes):
    assert isinstance(probes, Classifier)
    probabilities = probes.probabilities(random_clips())
    assert probabilities.shape == (4, 3, len(CLASSES))
    assert probes.probe_names()[1] == "rate x 1, decay x 0.1"
    assert [group.rate_scale for group in probes.parameter_groups()] == [1.0, 1.0, 0.5, 0.5]


def test_gradients_reach_the_probes_and_nothing_else(probes):
    probes.training_losses(contents()).total.backward()
    assert all(p.grad is not None and p.grad.any() for p in probes.parameters())
    network = probes.future.jepa.on(torch.device("cpu"))
    assert not any(p.requires_grad or p.grad is not None for p in network.parameters())
    assert not any("jepa" in name for name in probes.state_dict())


def test_their_loss_is_the_sum_of_focal_losses(probes):
    content = contents()
    total = probes.training_losses(content).total
    logits = probes.probabilities(content.pixels).logit()
    expected = sum(focal_loss(one, content.labels) for one in logits)
    torch.testing.assert_close(total, expected)


def test_the_future_is_the_predictors_answer_to_the_encoders_tokens(probes):
    """As if the clip were longer and all after its end were hidden but one tubelet."""
    clips = random_clips()
    tokens = probes.future(clips, torch.tensor([3, 3, 3]), furthest=3)
    model = probes.future.jepa.on(clips.device)
    with torch.no_grad():
        (seen,) = model.target_encoder(clips)
        grid = TokenGrid(8, 2, 3)  # clips of 16 frames: four tubelets more
        masks = one_tubelet_ahead(TokenGrid(4, 2, 3), torch.tensor([3, 3, 3]))
        (foreseen,) = model.predictor([seen], [masks], grid, [0])
    assert masks.target_index[0, 0].tolist() == list(range(7 * AREA, 8 * AREA))
    torch.testing.assert_close(tokens, torch.cat((seen, foreseen[:, 0]), dim=1))


def test_how_far_ahead_is_asked_for_clip_by_clip(probes):
    clips = random_clips()[:1].expand(2, -1, -1, -1, -1)
    near, far = probes.future(clips, torch.tensor([0, 3]), furthest=3)
    seen = 4 * AREA
    torch.testing.assert_close(near[:seen], far[:seen])
    assert not torch.allclose(near[seen:], far[seen:], atol=1e-4)
    longer = probes.future(clips, torch.tensor([0, 3]), furthest=9)
    torch.testing.assert_close(longer, torch.stack((near, far)))


def test_the_future_depends_on_the_clip_and_on_no_other(probes):
    clips = random_clips()
    ahead, seen = torch.tensor([2, 2, 2]), 4 * AREA
    before = probes.future(clips, ahead, furthest=3)
    clips[1, 0] = 255 - clips[1, 0]
    after = probes.future(clips, ahead, furthest=3)
    torch.testing.assert_close(before[[0, 2]], after[[0, 2]])
    assert not torch.allclose(before[1, seen:], after[1, seen:], atol=1e-5)


def test_seconds_are_whole_tubelets_as_released():
    ahead = AheadConfig(fps=8.0, seconds=1.0, action_at=5.75)
    assert ahead.tubelets(1.0, 2) == 4
    assert ahead.tubelets(1.24, 2) == 4
    assert ahead.furthest(2) == 23
    starts = torch.tensor([0.0, 0.75, 1.5, 3.0])
    times = starts[:, None] + torch.arange(32) / 8
    assert ahead.until_action(times, 2).tolist() == [7, 4, 1, 0]


def test_in_training_the_moment_is_that_of_the_action(jepa):
    config = CONFIG.model_copy(update={"ahead": AheadConfig(fps=4.0, seconds=0, action_at=4.0)})
    probes = config.build(data(), jepa=jepa)
    times = torch.arange(8).expand(3, -1) / 4
    content = contents(times=times + torch.tensor([[0.0], [1.0], [2.0]]))
    total = probes.training_losses(content).total
    logits = probes.logits(content.pixels, torch.tensor([4, 2, 0]))
    expected = sum(focal_loss(one, content.labels) for one in logits)
    torch.testing.assert_close(total, expected)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": None}, "a probe learns labels: name a file"),
        ({"labels": "one"}, "a label of each kind; use many"),
        ({"clips_per_video": 2}, "one clip at a time; use 1"),
        (
            {"held_out": SourceFacts(key=("data", "held_out"), clip=SHAPE, share=0.0, fps=8.0)},
            r"method\.ahead\.fps=4 of them a second; use as many",
        ),
    ],
)
def test_data_that_do_not_suit_are_refused(changes, message):
    facts = RecipeFacts(
        data=data(**changes), seed=0, steps=10, micro_batch=2, activation_checkpointing="none"
    )
    assert not list(CONFIG.misfits(RecipeFacts(
        data=data(), seed=0, steps=10, micro_batch=2, activation_checkpointing="none"
    )))  # fmt: skip
    ((_, found),) = CONFIG.misfits(facts)
    with pytest.raises(ValueError, match=message):
        raise ValueError(found)


def test_a_part_that_predicts_nothing_is_refused(jepa):
    encoder = jepa.on(torch.device("cpu")).target_encoder
    with pytest.raises(ValueError, match=r"predicts no latents of clips; name a run of jepa/vjepa"):
        CONFIG.build(data(), jepa=FrozenPart(encoder, origin="it"))
    few = CONFIG.model_copy(update={"mask_token": 2})
    with pytest.raises(ValueError, match=r"mask_token=2, but .* has 2 mask tokens; use at most 1"):
        few.build(data(), jepa=jepa)


@pytest.mark.slow
def test_probes_learn_what_clips_tell():
    """Brightness is the verb, the redder side the noun, both the action."""
    torch.manual_seed(3)
    config = CONFIG.model_copy(update={"grid": GridConfig(), "depth": 1})
    probes = config.build(data(), jepa=frozen_jepa())
    content = toy(24)
    optimizer = torch.optim.AdamW(probes.parameters(), lr=2e-3)
    for _ in range(40):
        optimizer.zero_grad()
        probes.training_losses(content).total.backward()
        optimizer.step()
    unseen = toy(30, seed=1)
    (probabilities,) = probes.probabilities(unseen.pixels)
    for kind in (slice(0, 2), slice(2, 5), slice(5, 7)):
        right = probabilities[:, kind].argmax(-1) == unseen.labels[:, kind].long().argmax(-1)
        assert right.float().mean() > 0.85


def toy(count, seed=0):
    """Dark or bright clips; red at the left, at the right or nowhere."""
    generator = torch.Generator().manual_seed(seed)
    verbs = torch.arange(count) % 2
    nouns = torch.arange(count) // 2 % 3
    clips = torch.randint(0, 60, (count, *SHAPE, 3), generator=generator) + 100 * verbs.reshape(
        -1, 1, 1, 1, 1
    )
    clips[nouns == 1, :, :, :12, 0] += 90
    clips[nouns == 2, :, :, 12:, 0] += 90
    rows = [
        (verb, 2 + noun, 5 + verb)
        for verb, noun in zip(verbs.tolist(), nouns.tolist(), strict=True)
    ]
    pixels = clips.to(torch.uint8)
    return Clips(pixels=pixels, samples=tuple(range(count)), labels=labels_of(*rows))

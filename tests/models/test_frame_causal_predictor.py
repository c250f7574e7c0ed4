"""What a frame's tokens see, and where they are told to be."""

import pytest
import torch

from worldmodel_train.models.frame_causal_predictor import FrameCausalPredictorConfig
from worldmodel_train.models.rope import Rope3dVJepa2
from worldmodel_train.types import TokenGrid

GRID = TokenGrid(1, 2, 3)
CONFIG = FrameCausalPredictorConfig(width=32, depth=2, heads=2)


@pytest.fixture
def given():
    generator = torch.Generator().manual_seed(1)
    shapes = ((2, 4, 6, 5), (2, 4, 7), (2, 4, 3))
    return [torch.randn(*shape, generator=generator) for shape in shapes]


def build(config=CONFIG):
    torch.manual_seed(0)
    predictor = config.build(5, actions=7, states=3)
    for parameter in predictor.parameters():  # attention that looks around
        torch.nn.init.normal_(parameter, std=0.3)
    return predictor


@pytest.mark.parametrize("changed", [0, 1, 2], ids=["latents", "actions", "states"])
@pytest.mark.parametrize("frame", [1, 3])
def test_a_frame_is_seen_by_itself_and_later_ones_alone(given, changed, frame):
    predictor = build()
    before = predictor(*given, GRID)
    given[changed][:, frame] += 1.0
    moved = (predictor(*given, GRID) != before).flatten(2).any(dim=2).all(dim=0)
    assert moved.tolist() == [step >= frame for step in range(4)]


def test_all_prefixes_together_are_each_prefix_by_itself(given):
    predictor = build()
    together = predictor(*given, GRID)
    for frames in range(1, 5):
        alone = predictor(*(one[:, :frames] for one in given), GRID)
        torch.testing.assert_close(together[:, :frames], alone)


def test_attention_is_that_of_a_frame_causal_mask(given, monkeypatch):
    """Against PyTorch's attention with the mask itself."""
    predictor = build()
    together = predictor(*given, GRID)

    def masked(queries, keys, values, frame_tokens):
        frame = torch.arange(queries.shape[1]) // frame_tokens
        heads = (part.transpose(1, 2) for part in (queries, keys, values))
        seen = frame <= frame[:, None]
        out = torch.nn.functional.scaled_dot_product_attention(*heads, attn_mask=seen)
        return out.transpose(1, 2)

    monkeypatch.setattr("worldmodel_train.models.attention.frame_causal_attention", masked)
    torch.testing.assert_close(predictor(*given, GRID), together)


@pytest.mark.parametrize("position", [CONFIG.position, Rope3dVJepa2()], ids=lambda p: p.name)
def test_patches_are_turned_by_their_place_and_the_rest_by_the_frame_alone(given, position):
    """Row and column of an action are the first. Heads of 16 channels: 4 an axis, 4 left."""
    predictor = build(CONFIG.model_copy(update={"position": position}))
    groups = []
    predictor.blocks[0].register_forward_pre_hook(lambda _, inputs: groups.extend(inputs[1]))
    predictor(*given, GRID)
    cos = groups[0].rotation.cos.unflatten(1, (4, 8))[0]
    assert groups[0].frame_tokens == 8
    assert torch.equal(cos[:, 0], cos[:, 1])
    assert torch.equal(cos[:, :2, 4:], torch.ones(4, 2, 12))
    assert torch.equal(cos[:, 0, :4], cos[:, 7, :4])
    assert not torch.equal(cos[1, 0, :4], cos[2, 0, :4])
    assert not torch.equal(cos[:, 2, 4:12], cos[:, 7, 4:12])


def test_an_action_is_not_a_state(given):
    predictor = build()
    swapped = [given[0], given[2].repeat(1, 1, 3)[..., :7], given[1][..., :3]]
    assert not torch.allclose(predictor(*given, GRID), predictor(*swapped, GRID))


def test_the_published_predictor_has_three_hundred_million_parameters():
    """305.2 M with a map of the camera's place (7 k), which the released one has and leaves out."""
    with torch.device("meta"):
        predictor = FrameCausalPredictorConfig().build(1408, actions=7, states=7)
    count = sum(parameter.numel() for parameter in predictor.parameters())
    assert count == pytest.approx(305.2e6, abs=5e4)


@pytest.mark.parametrize(("actions", "states"), [(7, 0), (0, 3), (0, 0)])
def test_what_has_no_numbers_has_no_token(given, actions, states):
    latents = given[0]
    predictor = CONFIG.build(5, actions=actions, states=states)
    lengths = []
    predictor.blocks.register_forward_hook(lambda _m, inputs, _o: lengths.append(len(inputs[0])))
    told = torch.ones(2, 4, actions), torch.ones(2, 4, states)
    assert predictor(latents, *told, GRID).shape == latents.shape
    assert lengths == [2 * 4 * (bool(actions) + bool(states) + 6)]
    embeds = {name.partition(".")[0] for name, _ in predictor.named_parameters()}
    assert ("action_embed" in embeds, "state_embed" in embeds) == (bool(actions), bool(states))

import math

import torch
from torch import nn

from worldmodel_train.models.blocks import BlocksConfig
from worldmodel_train.models.class_token_vit import ClassTokenTransformer
from worldmodel_train.models.token_sets import TokenSet
from worldmodel_train.models.vit import EncoderConfig

CONFIG = EncoderConfig(size=BlocksConfig(width=48, depth=2, heads=3), patch=8, tubelet=2)


def model_and_clips():
    torch.manual_seed(0)
    clips = torch.randint(0, 256, (2, 4, 16, 16, 3), dtype=torch.uint8)
    return ClassTokenTransformer(CONFIG), clips


def test_tokens_see_the_class_token_and_it_is_given_to_nobody():
    model, clips = model_and_clips()
    (before,) = model(clips)
    assert before.shape == (2, 8, 48)
    model.class_token.data += torch.randn(1, 48)
    (after,) = model(clips)
    assert not torch.allclose(before, after, atol=1e-3)
    early, last = model.after(clips, {1, 2})
    torch.testing.assert_close(last, after)
    assert early.shape == last.shape


def test_saliency_is_the_class_weight_times_the_latents_of_the_layer_over_the_root_of_the_width():
    model, clips = model_and_clips()
    latents, saliency = model(clips, salient_after=1)
    torch.testing.assert_close(latents, model(clips)[0])
    early = nn.functional.layer_norm(model(clips, layer=1)[0], (48,), eps=1e-6)
    expected = torch.einsum("bnd,d->bn", early, model.class_token[0]) / math.sqrt(48)
    torch.testing.assert_close(saliency[..., 0], expected)
    last, at_the_end = model(clips, salient_after=2)
    assert (last.shape, at_the_end.shape) == ((2, 8, 48), (2, 8, 1))


def test_padding_is_seen_by_nobody():
    model, clips = model_and_clips()
    index, valid = torch.tensor([[1, 4, 4]] * 2), torch.tensor([[True, True, False]] * 2)
    (padded,) = model(clips, [TokenSet(index, valid)])
    (alone,) = model(clips, [TokenSet(index[:, :2])])
    torch.testing.assert_close(padded[:, :2], alone)


def test_beside_a_class_token_that_says_nothing_places_are_what_they_were():
    """At zero it is what its biases make of it, nothing: it only thins attention."""
    model, clips = model_and_clips()
    with torch.no_grad():
        model.class_token.zero_()
    plain = CONFIG.build()
    plain.load_state_dict({k: v for k, v in model.state_dict().items() if k != "class_token"})
    (with_it,), (without,) = model(clips), plain(clips)
    assert nn.functional.cosine_similarity(with_it, without, dim=-1).min() > 0.9

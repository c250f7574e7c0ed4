import torch

from worldmodel_train.models.early_features import early_features
from worldmodel_train.models.token_sets import TokenSet
from worldmodel_train.models.tubelet_pixels import cut_tubelets, join_tubelets
from worldmodel_train.models.vit import EncoderConfig
from worldmodel_train.types import TokenGrid


def drawn(*shape):
    return torch.randint(256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def encoder():
    torch.manual_seed(0)
    return EncoderConfig.model_validate(
        {"size": {"width": 48, "depth": 2, "heads": 3}, "patch": 8, "tubelet": 2}
    ).build()


def test_clips_are_cut_and_put_together_bit_for_bit():
    clips, size = drawn(2, 4, 16, 24, 3), encoder().patch_embed
    tubelets = cut_tubelets(clips, size)
    assert tubelets.shape == (2, 12, 3 * 2 * 8 * 8)
    assert torch.equal(join_tubelets(tubelets, TokenGrid(2, 2, 3), size), clips)


def test_early_features_are_those_of_the_encoder():
    """With all blocks and the last norm they are the encoder's own latents of a set of tokens."""
    clips, network = drawn(2, 4, 16, 24, 3), encoder()
    grid, index = network.token_grid(clips), torch.tensor([[0, 3, 4, 11]])
    tubelets = cut_tubelets(clips, network.patch_embed)[:, index[0]].requires_grad_()
    features = early_features(network, tubelets, index, grid, depth=2)
    (latents,) = network(clips, [TokenSet(index)])
    # the last norm is drawn without scale and shift
    torch.testing.assert_close(features, latents, atol=1e-4, rtol=1e-4)
    features.square().mean().backward()
    assert tubelets.grad.isfinite().all()
    assert not torch.allclose(early_features(network, tubelets, index, grid, depth=0), latents)

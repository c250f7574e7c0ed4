"""A decoder that reads pixels off its latents, and a predictor that is off by what is known."""

import pytest
import torch
from PIL import Image
from torch import nn

from worldmodel_train.data.fixed import FixedClips
from worldmodel_train.evaluation.task import Offer
from worldmodel_train.evaluation.tasks.decoded_prediction import Config
from worldmodel_train.masks import Multiblock3D
from worldmodel_train.models.gather import gather_tokens
from worldmodel_train.models.tubelet_pixels import cut_tubelets, join_tubelets
from worldmodel_train.recipe import load_recipe
from worldmodel_train.renderers.latent_decoder import LatentDecoder
from worldmodel_train.types import LatentPair, TokenGrid


class PixelsAreLatents(nn.Module):
    """Its latents are tubelets; predictions of them are off by `error`, and so are its decodings.

    It is the model, and the decoder of it.
    """

    patch, tubelet = 8, 2

    def __init__(self, predicting: float = 0.0, decoding: float = 0.0) -> None:
        super().__init__()
        self.predicting, self.decoding = predicting, decoding

    def latent_model(self, device):
        return self

    def token_grid(self, clips):
        return TokenGrid.of(*clips.shape[1:4], tubelet=self.tubelet, patch=self.patch)

    def encode(self, clips):
        return self.tubelets(clips)

    def predict(self, group):
        targets = [
            gather_tokens(self.encode(group.clips), masks.target_index[:, 0])[:, None]
            for masks in group.masks
        ]
        return [LatentPair(predicted=t + self.predicting, target=t) for t in targets]

    def tubelets(self, clips):
        return cut_tubelets(clips, self)

    def decode(self, latents, index, grid):
        return latents + self.decoding

    def clips(self, tubelets, grid):
        return join_tubelets(tubelets, grid, self)


@pytest.fixture
def held_out():
    """Clips of three tubelets, neither black nor white, so that errors of 0.1 are not cut off."""
    generator = torch.Generator().manual_seed(0)
    clips = torch.randint(60, 190, (5, 6, 16, 24, 3), dtype=torch.uint8, generator=generator)
    return FixedClips(clips=clips, keys=tuple("aabbc"), labels=(None,) * 5, skipped=())


MASKS = (Multiblock3D(num_blocks=1, spatial_scale=(0.5, 0.5)),)


@pytest.fixture
def models(subject):
    return subject(PixelsAreLatents(predicting=0.1, decoding=0.01), PixelsAreLatents(decoding=0.5))


def test_errors_are_those_of_decoder_and_predictor_together(models):
    whole, similar, future, hidden = Config(batch_size=2, masks=MASKS).run(models).numbers
    assert whole.name == "PSNR, decoded latents"
    assert whole.trained.mean == pytest.approx(40, abs=1e-3)  # 0.01 of 1
    for number in (future, hidden):
        assert number.trained.mean == pytest.approx(19.17, abs=0.01)  # 0.11 of 1
        assert number.baselines["true latents, decoded"].mean == pytest.approx(40, abs=1e-3)
    assert future.baselines.keys() - hidden.baselines.keys() == {"copy of the last frame"}
    for number in (whole, similar):
        assert number.baselines.keys() == {"untrained", "mean picture", "linear decoder"}


def test_a_decoder_without_fault_is_similar_in_structure_and_a_mean_picture_is_not(subject):
    result = Config().run(subject(PixelsAreLatents(), PixelsAreLatents(decoding=0.5)))
    _, similar, _ = result.numbers
    assert similar.name == "SSIM, decoded latents"
    assert similar.trained.mean == pytest.approx(1)
    assert similar.baselines["mean picture"].mean < 0.5


def test_a_still_clip_is_copied_without_fault_and_that_is_said(subject, held_out):
    held_out.clips[:] = held_out.clips[:, :1]
    result = Config().run(subject(PixelsAreLatents(predicting=0.1), PixelsAreLatents(0.3, 0.3)))
    *_, future = result.numbers
    assert future.baselines["copy of the last frame"].mean == float("inf")
    _, verdict = result.verdicts
    assert not verdict.good
    assert verdict.claim.endswith("future: behind the copy of the last frame.")


def test_strips_and_moving_pictures_show_what_was_said(models, held_out):
    strips, moving = Config(picture_clips=2, visible=0.4).run(models).galleries
    assert len(strips.pictures) == len(moving.pictures) == 2
    with Image.open(models.run_dir / strips.pictures[0].file) as strip:
        assert strip.size == (strips.pictures[0].width, strips.pictures[0].height)
        assert strip.size == (3 * (24 + 3) + 3, 4 * (16 + 3) + 3)
        seen, hidden = (strip.getpixel((column + 3 + 2, 3 + 19 + 5)) for column in (0, 27))
    assert seen[:3] == tuple(held_out.clips[0, 0, 5, 2].tolist())
    assert hidden[:3] == (128, 128, 128)
    with Image.open(models.run_dir / moving.pictures[0].file) as gif:
        assert gif.size == (moving.pictures[0].width, moving.pictures[0].height)
        assert (gif.n_frames, gif.info["loop"], gif.info["duration"]) == (6, 0, 120)  # 8 a second


def test_what_leaves_nothing_to_see_or_pads_is_refused(models):
    with pytest.raises(ValueError, match=r"visible=0.1 leaves 0 of the 3 tubelets .* use 0\.5"):
        Config(visible=0.1).run(models)
    with pytest.raises(ValueError, match=r"masks\.0\.truncate=none pads .* use truncate: random"):
        Config(masks=(Multiblock3D(truncate="none"),))


def test_a_first_source_that_streams_is_refused():
    data = load_recipe("demo", ["data.sources.0.shards=pipe:cat a.tar"]).data
    offer = Offer(objective=LatentDecoder, preparation=None, data=data)
    (message,) = Config().misfits(offer)
    assert "demo is a stream; put one with shards on a file system first" in message

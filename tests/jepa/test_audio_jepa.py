"""What only A-JEPA promises, and that it learns from the shipped digits."""

from dataclasses import replace

import pytest
import torch

from worldmodel_train.jepa.audio_jepa import Config
from worldmodel_train.models.log_mel import FixedScale, LogMel
from worldmodel_train.protocols import Encoder, SoundEncoder
from worldmodel_train.recipe import load_recipe
from worldmodel_train.types import Audio, Masks

CONFIG = Config.tiny()
PATCH = 4 * 32  # samples from one row of tokens to the next


@pytest.fixture
def model():
    torch.manual_seed(0)
    return CONFIG.build()


def sound(num=3, rows=8):
    waveform = torch.randn(num, rows * PATCH, generator=torch.Generator().manual_seed(1)) / 10
    heard = torch.full((num,), rows * PATCH)
    return Audio(waveform=waveform, heard=heard, samples=tuple(range(num)))


def masked(audio, masks):
    return replace(CONFIG.preparation()([audio], seed=0, step=0), masks=(masks,))


def first_and_last_rows(num):
    """The first row of tokens as context, rows 3 and 6 as target sets."""
    tokens = torch.arange(32).expand(num, -1)
    targets = torch.stack((tokens[:, 12:16], tokens[:, 24:28]), dim=1)
    return Masks(context_index=tokens[:, :4].contiguous(), target_index=targets)


def test_it_encodes_sound_and_is_not_taken_for_an_encoder_of_clips(model):
    assert isinstance(model, SoundEncoder)
    assert not isinstance(model, Encoder)
    audio = sound()
    assert model.sound_grid(audio) == (1, 8, 4)
    latents = model.encode_sound(audio)
    assert latents.shape == (3, 32, 48)
    torch.testing.assert_close(latents.mean(dim=2), torch.zeros(3, 32), atol=1e-5, rtol=0)


def test_targets_behind_the_end_of_a_recording_do_not_count(model):
    audio, masks = sound(), first_and_last_rows(3)
    whole = model.training_losses(masked(audio, masks)).total
    only_first = replace(masks, target_index=masks.target_index[:, :1])
    expected = model.training_losses(masked(audio, only_first)).total
    short = replace(audio, heard=torch.full((3,), 3 * PATCH + 1))  # row 3 has begun, row 6 not
    found = model.training_losses(masked(short, masks)).total
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=0)
    assert not torch.isclose(found, whole, rtol=1e-3)


def test_recordings_without_any_target_give_no_loss_and_no_nan(model):
    content = masked(
        replace(sound(), heard=torch.ones(3, dtype=torch.long)), first_and_last_rows(3)
    )
    losses = model.training_losses(content)
    losses.total.backward()
    assert losses.total == 0
    assert all(p.grad.isfinite().all() for p in model.predictor.parameters() if p.grad is not None)


def test_what_is_hidden_does_not_reach_the_predictions(model):
    # scaled per clip, every token would know how loud all of it is
    fixed = CONFIG.spectrogram.model_copy(update={"scale": FixedScale(mean=-5.0, std=5.0)})
    log_mel, waveform, masks = LogMel(fixed), sound().waveform, first_and_last_rows(3)
    changed = waveform.clone()
    changed[:, 2 * PATCH :] *= -3  # frames of the first row end well before
    with torch.no_grad():
        expected, found = (model._predict(log_mel(one), [masks])[0] for one in (waveform, changed))
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("data.rate=16000", "use one for both"),
        ("data.seconds=0.5", "use data.seconds=0.512"),
        ("method.encoder.patch=7", "is not a multiple of method.encoder.patch=7"),
        ("method.encoder.tubelet=2", "a spectrogram is one image"),
        # only later steps would fail
        ("method.masks.0.extent=[1.0,1.0]", "leave no more than"),
    ],
)
def test_a_recipe_that_does_not_fit_is_refused_when_it_is_read(override, words):
    with pytest.raises(ValueError, match=words):
        load_recipe("ajepa_digits", [override])


def test_methods_of_clips_do_not_take_sound():
    with pytest.raises(ValueError, match="gives audio, but jepa/vjepa takes clips"):
        load_recipe("demo", ["data={name: data/audio, sources: [{shards: a.tar}], seconds: 1.0}"])

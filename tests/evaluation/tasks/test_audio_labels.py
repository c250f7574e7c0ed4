"""Labels of recordings are read off frozen features, beside what needs no learning."""

from pathlib import Path

import pytest
import torch

from worldmodel_train.data.audio.config import AudioConfig
from worldmodel_train.evaluation.task import Subject
from worldmodel_train.evaluation.tasks.audio_labels import Config
from worldmodel_train.evaluation.tasks.energy import Config as Energy
from worldmodel_train.evaluation.tasks.held_out_loss import Config as HeldOutLoss
from worldmodel_train.jepa import audio_jepa
from worldmodel_train.recipe import load_recipe
from worldmodel_train.types import Audio

CLASSES = ("low", "middle", "high")
MODEL = audio_jepa.Config.tiny()


@pytest.fixture
def subject(monkeypatch):
    """Two models on noisy tones of three pitches, of which no file is read."""

    def middles_of(data, source, limit):
        generator = torch.Generator().manual_seed(len(source.name))
        labels = torch.arange(min(limit, 24)) % 3
        hertz = torch.tensor([200.0, 500.0, 1100.0])[labels, None]
        waveform = torch.sin(2 * torch.pi * hertz * torch.arange(data.samples) / data.rate)
        waveform += 0.1 * torch.randn(waveform.shape, generator=generator)
        heard = torch.full((len(labels),), data.samples)
        return Audio(
            waveform=waveform, heard=heard, labels=labels, samples=tuple(range(len(labels)))
        )

    monkeypatch.setattr(AudioConfig, "middles_of", middles_of)
    data = AudioConfig(
        name="data/audio",
        sources=({"name": "train", "shards": "a.tar"},),
        held_out={"name": "held_out", "shards": "b.tar"},
        rate=4000,
        seconds=0.256,
        classes=CLASSES,
    )
    torch.manual_seed(0)
    return Subject(
        method="jepa/audio_jepa",
        trained=MODEL.build(),
        untrained=MODEL.build(),
        preparation=MODEL.preparation(),
        data=data,
        run_dir=Path(),
    )


def test_tones_are_told_apart_by_spectrograms_and_all_are_beside_each_other(subject):
    result = Config(max_recordings=24, neighbours=3).run(subject)
    number = next(n for n in result.numbers if n.name == "linear, 4x2")
    assert number.baselines.keys() == {
        "untrained", "log-mel, mean", "log-mel, 8 times", "chance",
    }  # fmt: skip
    assert number.baselines["log-mel, mean"].mean == 1.0
    assert number.baselines["chance"].mean == pytest.approx(1 / 3)
    assert "24 recordings to learn from" in result.measured_on


def test_energies_and_losses_are_measured_of_sound_too(subject):
    energies = Energy(max_samples=12, seeds=(0,)).run(subject)
    assert {n.name for n in energies.numbers} >= {"energy AUC, other sample"}
    assert "spectrum of the last moment" in energies.numbers[0].baselines
    losses = HeldOutLoss(max_samples=12, batch_size=6, seeds=(0,)).run(subject)
    assert all(torch.tensor(n.trained.mean).isfinite() for n in losses.numbers)


@pytest.mark.parametrize(
    ("override", "words"),
    [("data.classes=null", "give data.classes"), ("data.held_out=null", "give data.held_out")],
)
def test_recordings_without_labels_are_refused_when_the_recipe_is_read(override, words):
    with pytest.raises(ValueError, match=words):
        load_recipe("ajepa_digits", [override])

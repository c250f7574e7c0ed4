from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.contracts.methods import EPISODES
from worldmodel_train.evaluation.planning.decoder import opened_decoder
from worldmodel_train.evaluation.task import Subject
from worldmodel_train.facts import DataFacts
from worldmodel_train.jepa.leworldmodel import Config as WorldModelConfig
from worldmodel_train.models.frozen import FrozenPart
from worldmodel_train.renderers.frame_decoder import Config

RUN = Path("runs/decoder")


def subject_with(decoder, *, seed=0):
    torch.manual_seed(seed)
    model = WorldModelConfig.tiny().build()
    return Subject(
        method="jepa/leworldmodel",
        trained=model,
        untrained=model,
        preparation=None,
        data=None,
        run_dir=Path("runs/one"),
        other_run=lambda run, key: decoder,
    )


@pytest.fixture
def decoder():
    torch.manual_seed(0)
    part = FrozenPart(WorldModelConfig.tiny().build(), origin="runs/one")
    return Config.tiny().build(DataFacts(sources=(), episodes=EPISODES), world_model=part)


def test_a_decoder_of_the_same_weights_and_size_is_given(decoder):
    assert opened_decoder(subject_with(decoder), RUN, size=(16, 16)) is decoder


def test_other_weights_sizes_and_no_decoders_are_refused(decoder):
    refused = (
        (subject_with(decoder, seed=1), (16, 16), "reads latents of other weights"),
        (subject_with(decoder), (32, 32), r"paints pictures of \(16, 16\) pixels, and .*\(32, 32"),
        (subject_with(torch.nn.Linear(1, 1)), (16, 16), "is a Linear, which paints no latents"),
    )
    for subject, size, message in refused:
        with pytest.raises(ValueError, match=rf"planning\.decoder=runs/decoder {message}"):
            opened_decoder(subject, RUN, size=size)


def test_who_can_open_no_runs_says_so(decoder):
    without = replace(subject_with(decoder), other_run=Subject.other_run)
    with pytest.raises(ValueError, match=r"planning\.decoder=runs/decoder: runs are opened by"):
        opened_decoder(without, RUN, size=(16, 16))

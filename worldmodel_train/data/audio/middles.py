"""The middle of each recording of a source, the same on every call: for measuring."""

import logging
from collections import Counter

import torch

from worldmodel_train.data.audio.config import AudioConfig
from worldmodel_train.data.audio.stretches import Cutter, Heard, stacked, wanted_files
from worldmodel_train.data.decoding.decode_process import DecodeProcess
from worldmodel_train.data.health import counted, shown
from worldmodel_train.data.remedies import remedy
from worldmodel_train.data.shards.resolve import resolve_shards
from worldmodel_train.data.shards.shard_set import ShardSet
from worldmodel_train.data.shards.source import SampleError
from worldmodel_train.data.source_config import ShardsConfig
from worldmodel_train.data.spread import every_so_many
from worldmodel_train.types import Audio

_log = logging.getLogger(__name__)


def middles(config: AudioConfig, source: ShardsConfig, *, limit: int) -> Audio:
    """The middle of each of up to `limit` recordings, spread over the shards; bad ones left out.

    Raises ValueError where the source is a stream, or none can be used.
    """
    if source.streams:
        raise ValueError(
            f"data: source '{source.name}' is a stream; what is measured needs shards on a file "
            "system"
        )
    files = ShardSet(resolve_shards(source))
    waveform = torch.empty(min(limit, len(files)), config.samples)
    rows = waveform.numpy()
    heard: list[Heard] = []
    bad = Counter[str]()
    with DecodeProcess(config.decoder) as decoder:
        cutter = Cutter(config, decoder)
        for number in every_so_many(len(files), limit):
            try:
                sample = files.sample(number, wanted_files(config))
                heard.append(cutter.cut(sample, 0.5, rows[len(heard)]))
            except SampleError as error:
                bad[error.skip.reason] += 1
                _log.warning("skipped %s", shown(error.skip))
    if not heard:
        why = counted(bad) or "it is empty"
        raise ValueError(
            f"data: source '{source.name}' has no recording that can be used ({why}). {remedy(bad)}"
        )
    return stacked(waveform[: len(heard)], heard, range(len(heard)))

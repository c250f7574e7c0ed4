"""Clips per second: of each decoder alone, and of the loader with all that is around it."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from jaxtyping import UInt8

from benchmarks.device import choose_device, describe
from benchmarks.plots import bars
from benchmarks.process_tree import cpu_seconds_of_tree
from benchmarks.results import (
    RESULTS,
    IncorrectError,
    Report,
    ResultTable,
    publish,
    with_quartiles,
)
from benchmarks.timing import Spread
from worldmodel_train.data.clip_reader import ClipReader
from worldmodel_train.data.config import (
    AugmentConfig,
    ClipConfig,
    DataConfig,
    DecoderConfig,
    LoaderConfig,
    SourceConfig,
)
from worldmodel_train.data.decoding.auto_decoder import decord_is_installed, make_decoder
from worldmodel_train.data.loader import LoaderPosition, build_loader
from worldmodel_train.data.shards.indexed_source import IndexedSource
from worldmodel_train.data.shards.resolve import resolve_shards
from worldmodel_train.masks.multiblock3d import Multiblock3D
from worldmodel_train.types import VideoBatch

SEED, PATCH, TUBELET = 0, 16, 2
MASKS = (
    Multiblock3D(num_blocks=8, spatial_scale=(0.15, 0.15)),
    Multiblock3D(num_blocks=2, spatial_scale=(0.5, 0.5)),
)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is loaded, and how often."""

    data: DataConfig
    batch: int
    clips: int
    """In a round; whole batches."""
    rounds: int

    def samples(self, number: int) -> range:
        """Those of a round, in the order of the run."""
        return range(number * self.clips, (number + 1) * self.clips)


@dataclass(frozen=True, kw_only=True)
class Rates:
    """Seconds for each clip, in each round."""

    cpu_s: Sequence[float]
    wall_s: Sequence[float]

    @property
    def per_core(self) -> Spread:
        """Clips per second of CPU time."""
        return Spread.of(self.cpu_s).map(lambda s: 1 / s)

    @property
    def end_to_end(self) -> Spread:
        """Clips per second of wall time."""
        return Spread.of(self.wall_s).map(lambda s: 1 / s)


def loader(  # noqa: PLR0913 - one parameter for each option of the command line
    *,
    shards: Annotated[str, typer.Option(help="Shards, as data.sources has them.")] = (
        "assets:demo/train/*.tar"
    ),
    frames: Annotated[int, typer.Option(min=1)] = 16,
    fps: Annotated[float, typer.Option(help="Frames per second of a clip.")] = 4.0,
    size: Annotated[int, typer.Option(help="Pixels of a clip, a multiple of 16.")] = 128,
    batch: Annotated[int, typer.Option(min=1)] = 8,
    workers: Annotated[int, typer.Option(min=1)] = 1,
    clips: Annotated[int, typer.Option(min=1, help="Clips of a round.")] = 32,
    rounds: Annotated[int, typer.Option(min=1)] = 5,
    results: Annotated[Path, typer.Option(help="Folder for the files.")] = RESULTS,
) -> None:
    """Time decoding alone and the whole loader, workers and decoding processes included."""
    place = choose_device("cpu", 0)
    data = DataConfig(
        sources=(SourceConfig(shards=shards, clip=ClipConfig(frames=frames, fps=fps)),),
        augment=AugmentConfig(size=size),
        decoder=DecoderConfig(name="auto"),
        loader=LoaderConfig(workers=workers, prefetch=1),
    )
    plan = Plan(data=data, batch=batch, clips=-(-clips // batch) * batch, rounds=rounds)
    check(plan, next(iter(_loader(plan))))
    alone = decode_alone(plan)
    whole = load(plan)
    publish(_report(plan, alone, whole, describe(place)), results)


def check(plan: Plan, batch: VideoBatch) -> None:
    """Whether a batch of the loader holds, bit for bit, what a plain decode in this process makes.

    Raises:
        IncorrectError: The first clip that differs.
    """
    found = batch.groups[0].clips
    name = plan.data.decoder.name
    for number, clip in enumerate(plain_clips(plan, name, range(len(found)))):
        if not torch.equal(found[number], torch.from_numpy(clip)):
            different = (found[number] != torch.from_numpy(clip)).float().mean().item()
            raise IncorrectError(
                f"clip {number} of the loader differs from a plain decode in {different:.1%} of "
                "its values"
            )


def plain_clips(
    plan: Plan, decoder: str, samples: Sequence[int]
) -> Iterator[UInt8[np.ndarray, "t h w c"]]:
    """The clips of these samples, decoded one after the other in this process."""
    source = plan.data.sources[0]
    indexed = IndexedSource(source.name, resolve_shards(source), seed=SEED, number=0)
    reader = ClipReader(plan.data, [indexed], make_decoder(decoder), seed=SEED)
    for sample in samples:
        yield reader.read(sample).frames


def decode_alone(plan: Plan) -> dict[str, Rates]:
    """Each decoder on the samples that the loader will load, the decoders taking turns."""
    names = ["pyav", *(["decord", "auto"] if decord_is_installed() else [])]
    rates = {name: Rates(cpu_s=[], wall_s=[]) for name in names}
    for name in names:
        list(plain_clips(plan, name, range(2)))
    for number in range(plan.rounds):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            with _timed(plan, rates[name]):
                for _ in plain_clips(plan, name, plan.samples(number)):
                    pass
    return rates


def load(plan: Plan) -> Rates:
    """The loader, from its second round on: the first fills its queue."""
    rates = Rates(cpu_s=[], wall_s=[])
    batches = iter(_loader(plan))
    steps = plan.clips // plan.batch
    for _ in range(steps):
        next(batches)
    for _ in range(plan.rounds):
        with _timed(plan, rates):
            for _ in range(steps):
                next(batches)
    return rates


@contextmanager
def _timed(plan: Plan, rates: Rates) -> Iterator[None]:
    assert isinstance(rates.cpu_s, list)
    assert isinstance(rates.wall_s, list)
    wall, cpu = time.perf_counter(), cpu_seconds_of_tree()
    yield
    rates.cpu_s.append((cpu_seconds_of_tree() - cpu) / plan.clips)
    rates.wall_s.append((time.perf_counter() - wall) / plan.clips)


def _loader(plan: Plan) -> Any:  # noqa: ANN401 - a DataLoader of batches
    position = LoaderPosition(
        seed=SEED, rank=0, world_size=1, micro_batch=plan.batch, global_batch=plan.batch,
        first_step=0, patch=PATCH, tubelet=TUBELET,
    )  # fmt: skip
    return build_loader(plan.data, MASKS, position=position)


def _report(
    plan: Plan, alone: Mapping[str, Rates], whole: Rates, machine: dict[str, Any]
) -> Report:
    share = _share(alone, whole)
    everything = {f"{name}, decoding alone": one for name, one in alone.items()}
    everything["loader, whole path"] = whole
    return Report(
        bench="loader",
        machine=machine,
        settings={
            "shards": plan.data.sources[0].shards, "clip": plan.data.sources[0].clip.model_dump(),
            "size": plan.data.augment.size, "batch": plan.batch, "clips_per_round": plan.clips,
            "workers": plan.data.loader.workers, "decoder": plan.data.decoder.name,
        },
        numbers={
            name: {"cpu_s_per_clip": list(one.cpu_s), "wall_s_per_clip": list(one.wall_s)}
            for name, one in everything.items()
        }
        | {"whole_path_over_decoding": share},
        tables=[_table(plan, everything, share)],
        figure=bars(
            "Loader",
            "clips/s per core",
            {"CPU time, children included": {n: one.per_core for n, one in everything.items()}},
        ),
    )  # fmt: skip


def _share(alone: Mapping[str, Rates], whole: Rates) -> float:
    """CPU time of the whole path over that of decoding alone with the decoder that it uses."""
    used = alone.get("auto", alone["pyav"])
    return Spread.of(whole.cpu_s).median / Spread.of(used.cpu_s).median


def _table(plan: Plan, everything: Mapping[str, Rates], share: float) -> ResultTable:
    clip, workers = plan.data.sources[0].clip, plan.data.loader.workers
    rows = [
        [
            name,
            with_quartiles(one.per_core),
            with_quartiles(Spread.of(one.cpu_s).map(lambda s: 1e3 * s)),
            with_quartiles(one.end_to_end),
        ]
        for name, one in everything.items()
    ]
    return ResultTable(
        title=(
            f"Loader: {clip.frames} frames at {clip.fps:g} fps, {plan.data.augment.size} px, "
            f"{plan.data.sources[0].shards}"
        ),
        headings=["path", "clips/s per core (quartiles)", "CPU ms a clip", "clips/s of wall time"],
        rows=rows,
        notes=[
            f"the whole path takes {share:.2f} times the CPU time of decoding alone",
            f"loader with {workers} worker(s), a decoding process each",
            "batches are bit-equal to a plain decode (checked)",
        ],
    )

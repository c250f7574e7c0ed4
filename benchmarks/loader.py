"""Clips per second: of each decoder alone, and of the loader with all that is around it."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, NamedTuple, get_args

import numpy as np
import torch
import typer
from jaxtyping import UInt8

from benchmarks.device import choose_device, describe
from benchmarks.plots import bars
from benchmarks.process_tree import cpu_seconds, descendants
from benchmarks.results import (
    RESULTS,
    IncorrectError,
    Report,
    ResultTable,
    publish,
    with_quartiles,
)
from benchmarks.timing import Spread
from worldmodel_train.batch import Batch
from worldmodel_train.data.clip_reader import ClipReader
from worldmodel_train.data.config import AugmentConfig, DataConfig, DecoderConfig, LoaderConfig
from worldmodel_train.data.decoding.auto_decoder import decord_is_installed, make_decoder
from worldmodel_train.data.loader_position import LoaderPosition
from worldmodel_train.data.shards.indexed_source import IndexedSource
from worldmodel_train.data.shards.resolve import resolve_shards
from worldmodel_train.data.source_config import ClipConfig, SourceConfig
from worldmodel_train.masks.draw import MaskPreparation
from worldmodel_train.masks.multiblock3d import Multiblock3D
from worldmodel_train.types import MaskedClips

SEED, PATCH, TUBELET = 0, 16, 2
LOADER = "loader, whole path"
WAIT_S = 300.0
"""For the loader's processes to fill their queue: several start at once, each imports torch."""
MASKS = (
    Multiblock3D(num_blocks=8, spatial_scale=(0.15, 0.15)),
    Multiblock3D(num_blocks=2, spatial_scale=(0.5, 0.5)),
)
PREPARATION = MaskPreparation(samplers=MASKS, tubelet=TUBELET, patch=PATCH)


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


class Taken(NamedTuple):
    """Seconds for each clip of a round."""

    cpu_s: float
    wall_s: float


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
    decoder: Annotated[str, typer.Option(help="Which decoder the loader uses.")] = "auto",
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
        decoder=DecoderConfig.model_validate({"name": decoder}),
        loader=LoaderConfig(workers=workers, prefetch=1),
    )
    plan = Plan(data=data, batch=batch, clips=-(-clips // batch) * batch, rounds=rounds)
    check(plan, next(iter(_loader(plan))))
    publish(_report(plan, measure(plan), describe(place)), results)


def check(plan: Plan, batch: Batch[MaskedClips]) -> None:
    """Whether a batch of the loader holds, bit for bit, what a plain decode in this process makes.

    Raises:
        IncorrectError: The first clip that differs.
    """
    found = batch.content.groups[0].clips
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
        frames = np.empty((source.clip.frames, *plan.data.augment.frame_size, 3), dtype=np.uint8)
        reader.read(sample, [frames])
        yield frames


def measure(plan: Plan) -> dict[str, Rates]:
    """Each decoder alone and the whole loader, taking turns, on the same number of samples.

    While a decoder has its turn, the loader's queue is full and its processes wait.
    """
    batches = iter(_loader(plan))
    turns = {_alone(name): partial(_decode, plan, name) for name in decoder_names()}
    turns[LOADER] = partial(_load, plan, batches)
    names = list(turns)
    for name in names:
        turns[name](0)
    taken: dict[str, list[Taken]] = {name: [] for name in names}
    for number in range(plan.rounds):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            taken[name].append(turns[name](number))
    return {
        name: Rates(cpu_s=[one.cpu_s for one in found], wall_s=[one.wall_s for one in found])
        for name, found in taken.items()
    }


def decoder_names() -> list[str]:
    """The decoders that a recipe can name and that are installed; `auto` is one of them."""
    names = get_args(DecoderConfig.model_fields["name"].annotation)
    left_out = {"auto"} if decord_is_installed() else {"auto", "decord"}
    return [name for name in names if name not in left_out]


def _alone(decoder: str) -> str:
    return f"{'pyav' if decoder == 'auto' else decoder}, decoding alone"


def _decode(plan: Plan, decoder: str, number: int) -> Taken:
    def decode() -> None:
        for _ in plain_clips(plan, decoder, plan.samples(number)):
            pass

    _wait_for_others()
    return _timed(plan, decode)


def _wait_for_others() -> None:
    """Returns when the loader's processes have filled their queue and rest."""
    begun, before = time.monotonic(), -1.0
    while (now := sum(cpu_seconds(descendants()).values())) > before + 0.02:
        if time.monotonic() - begun > WAIT_S:
            raise ValueError(
                f"the loader's processes still work after {WAIT_S:g} s, so that decoding alone "
                "cannot be timed; use fewer --workers or a smaller --batch"
            )
        before = now
        time.sleep(0.1)


def _load(plan: Plan, batches: Iterator[Batch[MaskedClips]], number: int) -> Taken:
    """Times whole batches: those that were ready are taken first, so the next has just begun."""
    del number

    def load() -> None:
        for _ in range(plan.clips // plan.batch):
            next(batches)

    for _ in range(plan.data.loader.workers * plan.data.loader.prefetch):
        next(batches)
    return _timed(plan, load)


def _timed(plan: Plan, work: Callable[[], None]) -> Taken:
    """What a clip of `work` takes, in this process and in those it has started.

    Raises:
        IncorrectError: One of them ended, and its time is not known.
    """
    others = descendants()  # looked for before the clocks start, for that is work as well
    before = cpu_seconds(others)
    wall, own = time.perf_counter(), time.process_time()
    work()
    own, wall = time.process_time() - own, time.perf_counter() - wall
    after = cpu_seconds(others)
    if before.keys() != after.keys():
        raise IncorrectError("a process of the loader ended while it was timed; run it again")
    cpu = own + sum(after.values()) - sum(before.values())
    return Taken(cpu_s=cpu / plan.clips, wall_s=wall / plan.clips)


def _loader(plan: Plan) -> Any:  # noqa: ANN401 - a DataLoader of batches
    position = LoaderPosition(
        seed=SEED, rank=0, world_size=1, micro_batch=plan.batch, global_batch=plan.batch,
        first_step=0,
    )  # fmt: skip
    return plan.data.build_loader(PREPARATION, position)


def _report(plan: Plan, everything: Mapping[str, Rates], machine: dict[str, Any]) -> Report:
    alone, whole = everything[_alone(plan.data.decoder.name)], everything[LOADER]
    pairs = zip(whole.cpu_s, alone.cpu_s, strict=True)
    share = Spread.of([one / other for one, other in pairs])
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
        | {"whole_path_over_decoding": share._asdict()},
        tables=[_table(plan, everything, share)],
        draw=partial(
            bars,
            "Loader",
            "clips/s per core",
            {"CPU time, children included": {n: one.per_core for n, one in everything.items()}},
        ),
    )  # fmt: skip


def _table(plan: Plan, everything: Mapping[str, Rates], share: Spread) -> ResultTable:
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
            "CPU time of the whole path over that of decoding alone with the same decoder: "
            f"{with_quartiles(share)}",
            f"loader with {workers} worker(s), a decoding process each",
            "batches are bit-equal to a plain decode (checked)",
        ],
    )

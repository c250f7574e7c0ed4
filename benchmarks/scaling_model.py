"""The plan for internet scale, with its arithmetic: GPUs, traffic, data and checkpoints.

Run `python benchmarks/scaling_model.py`, with `--json` for the numbers. Nothing here is measured:
parameters, tokens, FLOPs and memory come from the recipes, all else is assumed in `Cluster`; change
it by `--assume mfu=0.5 --assume network=25`.

Traffic. `models/memory/traffic.py` says how many bytes go through each rank. NCCL lays one ring
through each network card, so that a rank is at most as fast as NVLink, and on several nodes at most
as fast as all cards of a node together; it is taken to reach a share of that. Latency is not
counted, and traffic is added to computing: overlap makes a step shorter.

Data. One clip is one read. Decoding: clips per second of one core, 16 frames at 4 fps.
Checkpoint: fp32 weights, target encoder and two moments, 4 (3 P + T) bytes.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from worldmodel_train.cli.gpus import find_gpu
from worldmodel_train.cli.memory import recipe_memory
from worldmodel_train.config.suggest import did_you_mean
from worldmodel_train.jepa.masked_cost import MaskedCost
from worldmodel_train.models.memory import LAYOUTS, Layout, step_traffic
from worldmodel_train.recipe import Recipe, load_recipe

FP32 = 4
FRAMES = 16
"""Frames of the clips that decoding was measured on."""
RECIPES = {"ViT-L": "vjepa2_vitl", "ViT-H": "vjepa2_vith", "ViT-g": "vjepa2_vitg"}
GPUS = (16, 128, 1024)
HOURS = {"VideoMix22M": 1e6, "twice that": 2e6}
"""Hours of video; VideoMix22M has more than a million of them (arXiv 2506.09985)."""
NAMES: dict[Layout, str] = {"ddp": "DDP", "zero1": "ZeRO 1", "zero2": "ZeRO 2", "zero3": "ZeRO 3"}


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """What is assumed of machines, storage and videos; GB are 1e9 bytes."""

    gpu: str = "h100"
    gpus_per_node: int = 8
    mfu: float = 0.4
    """Share of the GPU's TFLOP/s that a step reaches: an assumption."""
    nvlink: float = 450.0
    """GB/s of one GPU to the others of its node, one way (H100, datasheet)."""
    network: float = 50.0
    """GB/s of one GPU's network card, one way: 400 Gb/s."""
    reached: float = 0.8
    """Share of those that NCCL reaches: an assumption."""
    video: float = 1.0
    """Mb/s of the packed videos: an assumption for 320 pixels and a GOP of 16."""
    sample: float = 10.0
    """Seconds of one packed video."""
    shard: float = 1.0
    """GB of a shard."""
    decoding: float = 10.3
    """Clips per second that a core decodes (decord, 568x320 at 30 fps, GOP 12, measured)."""
    writer: float = 2.0
    """GB/s that one process writes: an assumption."""
    storage: float = 50.0
    """GB/s that the file system writes in all: an assumption."""

    @property
    def sample_bytes(self) -> float:
        """Bytes of one packed video, which are read for one clip."""
        return self.video * 1e6 / 8 * self.sample

    def bandwidth(self, num_gpus: int) -> float:
        """Bytes per second through each rank of a ring."""
        slowest = self.nvlink
        if num_gpus > self.gpus_per_node:
            slowest = min(slowest, self.network * self.gpus_per_node)
        return self.reached * slowest * 1e9


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One model on one number of GPUs; times in seconds, rates per second."""

    model: str
    num_gpus: int
    nodes: int
    micro_batch: int
    accumulation: int
    memory: dict[Layout, int]
    """Bytes of each GPU."""
    layout: Layout
    """The first that leaves a tenth of the GPU free, or stage 3."""
    sent: dict[Layout, float]
    """Bytes per step and rank."""
    computing: float
    communicating: dict[Layout, float]
    clips_per_second: float
    """With the layout above and no overlap."""
    bytes_per_second: float
    shards_per_second: float
    """Where shards are streamed whole."""
    cores_per_node: float
    run_days: float
    checkpoint_bytes: int
    checkpoint_one_rank: float
    checkpoint_sharded: float


def fitting_recipe(name: str, num_gpus: int) -> Recipe:
    """The recipe with the largest micro-batch, up to its own, that fills its global batch."""
    recipe = load_recipe(name)
    share, rest = divmod(recipe.train.global_batch, num_gpus)
    if rest:
        raise ValueError(f"{name}: {recipe.train.global_batch} clips do not split over {num_gpus}")
    most = min(recipe.train.micro_batch, share)
    micro_batch = max(n for n in range(1, most + 1) if share % n == 0)
    return load_recipe(name, [f"train.micro_batch={micro_batch}"])


def plan(title: str, recipe: Recipe, num_gpus: int, cluster: Cluster) -> Plan:
    """What a run of `recipe` on so many GPUs asks of the cluster."""
    cost = recipe.method.cost(recipe.facts)
    assert isinstance(cost, MaskedCost)
    gpu = find_gpu(cluster.gpu)
    memory = recipe_memory(recipe, num_gpus)
    layout = memory.fitting(0.9e9 * gpu.memory_gb) or "zero3"
    sizes = cost.parameters
    trained, teacher = sizes["encoder"] + sizes["predictor"], sizes["encoder"]
    sent: dict[Layout, float] = {
        name: step_traffic(
            trained,
            teacher,
            layout=name,
            world_size=num_gpus,
            micro_batches=memory.accumulation,
        )
        for name in LAYOUTS
    }
    bandwidth = cluster.bandwidth(num_gpus)
    communicating: dict[Layout, float] = {name: size / bandwidth for name, size in sent.items()}
    batch = recipe.train.global_batch
    computing = cost.clip.total.total * batch / (num_gpus * gpu.tflops * 1e12 * cluster.mfu)
    step = computing + communicating[layout]
    clips = batch / step
    nodes = -(-num_gpus // cluster.gpus_per_node)
    frames = sum(length.frames * length.share for length in cost.lengths)
    size = checkpoint_bytes(trained, teacher)
    return Plan(
        model=title,
        num_gpus=num_gpus,
        nodes=nodes,
        micro_batch=recipe.train.micro_batch,
        accumulation=memory.accumulation,
        memory={name: one.total for name, one in memory.layouts.items()},
        layout=layout,
        sent=sent,
        computing=computing,
        communicating=communicating,
        clips_per_second=clips,
        bytes_per_second=clips * cluster.sample_bytes,
        shards_per_second=clips * cluster.sample_bytes / (cluster.shard * 1e9),
        cores_per_node=clips / nodes / cluster.decoding * frames / FRAMES,
        run_days=step * recipe.train.steps / 86400,
        checkpoint_bytes=size,
        checkpoint_one_rank=size / (cluster.writer * 1e9),
        checkpoint_sharded=size / (min(cluster.writer * num_gpus, cluster.storage) * 1e9),
    )


def num_shards(hours: float, cluster: Cluster) -> float:
    """Shards that hold so many hours of video."""
    return hours * 3600 * cluster.video * 1e6 / 8 / (cluster.shard * 1e9)


def checkpoint_bytes(trained: int, teacher: int) -> int:
    """Weights, target encoder and two moments in fp32."""
    return FP32 * (3 * trained + teacher)


def _table(title: str, *columns: str) -> Table:
    table = Table("model", "GPUs", title=title, title_justify="left")
    for column in columns:
        table.add_column(column, justify="right")
    return table


def _runs(plans: Sequence[Plan]) -> Table:
    columns = ("nodes", "clips x micro-batches", "layout", "GB a GPU", "clips/s", "days")
    table = _table("Runs: traffic is not overlapped", *columns)
    for one in plans:
        table.add_row(
            one.model,
            f"{one.num_gpus:,}",
            str(one.nodes),
            f"{one.micro_batch} x {one.accumulation}",
            NAMES[one.layout],
            f"{one.memory[one.layout] / 1e9:.1f}",
            f"{one.clips_per_second:,.0f}",
            f"{one.run_days:,.1f}",
        )
    return table


def _traffic(plans: Sequence[Plan]) -> Table:
    title = "A step: computing, then GB through each rank, ms and share of the step for them"
    table = _table(title, "s", *NAMES.values())
    for one in plans:
        cells = []
        for layout in NAMES:
            time = one.communicating[layout]
            share = time / (time + one.computing)
            cells.append(f"{one.sent[layout] / 1e9:.1f} GB\n{time * 1e3:,.0f} ms {share:.1%}")
        table.add_row(one.model, f"{one.num_gpus:,}", f"{one.computing:.2f}", *cells)
    return table


def _data(plans: Sequence[Plan]) -> Table:
    columns = ("reads/s", "GB/s", "MB/s a node", "shards/s", "cores a node")
    table = _table("Data: one read a clip; shards where they are streamed whole", *columns)
    for one in plans:
        table.add_row(
            one.model,
            f"{one.num_gpus:,}",
            f"{one.clips_per_second:,.0f}",
            f"{one.bytes_per_second / 1e9:.2f}",
            f"{one.bytes_per_second / one.nodes / 1e6:,.0f}",
            f"{one.shards_per_second:.2f}",
            f"{one.cores_per_node:,.0f}",
        )
    return table


def _checkpoints(plans: Sequence[Plan]) -> Table:
    columns = ("GB", "one rank, s", "all ranks, s")
    table = _table("Checkpoints", *columns)
    for one in plans:
        table.add_row(
            one.model,
            f"{one.num_gpus:,}",
            f"{one.checkpoint_bytes / 1e9:.1f}",
            f"{one.checkpoint_one_rank:.1f}",
            f"{one.checkpoint_sharded:.2f}",
        )
    return table


def _assumptions(cluster: Cluster) -> str:
    sets = ", ".join(
        f"{num_shards(hours, cluster):,.0f} shards for {hours:,.0f} hours ({name})"
        for name, hours in HOURS.items()
    )
    return (
        f"Assumed: {cluster.gpu.upper()}, {cluster.gpus_per_node} a node, {cluster.mfu:.0%} MFU; "
        f"NVLink {cluster.nvlink:g} and network {cluster.network:g} GB/s a GPU, "
        f"{cluster.reached:.0%} reached; videos of {cluster.sample:g} s at {cluster.video:g} Mb/s; "
        f"shards of {cluster.shard:g} GB; {cluster.decoding:g} clips/s decoded by a core; "
        f"a process writes {cluster.writer:g} GB/s, the file system {cluster.storage:g}.\n"
        f"Sets: {sets}."
    )


def assumed(changes: Sequence[str]) -> Cluster:
    """The cluster, with changes such as `mfu=0.5`."""
    known = {field.name: type(field.default) for field in fields(Cluster)}
    values: dict[str, Any] = {}
    for change in changes:
        name, _, value = change.partition("=")
        if name not in known:
            raise ValueError(f'--assume: "{name}" is not assumed; {did_you_mean(name, known)}')
        values[name] = known[name](value)
    return Cluster(**values)


def main(
    *,
    assume: Annotated[list[str] | None, typer.Option(help="Such as mfu=0.5.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the numbers.")] = False,
) -> None:
    """Print the plan for ViT-L, H and g on 16, 128 and 1,024 GPUs."""
    cluster = assumed(assume or ())
    plans = [
        plan(title, fitting_recipe(name, num_gpus), num_gpus, cluster)
        for title, name in RECIPES.items()
        for num_gpus in GPUS
    ]
    if as_json:
        numbers = {"cluster": asdict(cluster), "plans": [asdict(one) for one in plans]}
        typer.echo(json.dumps(numbers, indent=2))
        return
    console = Console(highlight=False)
    for table in (_runs(plans), _traffic(plans), _data(plans), _checkpoints(plans)):
        console.print(table)
    console.print(_assumptions(cluster))


if __name__ == "__main__":
    typer.run(main)

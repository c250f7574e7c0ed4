"""The table of `wmt show --memory`, and its one line of advice."""

from rich.table import Table

from worldmodel_train.cli.gpus import find_gpu
from worldmodel_train.cli.memory import RecipeMemory, recipe_memory, remedies
from worldmodel_train.models.checkpointing import CheckpointingPlan, MixedCheckpointing
from worldmodel_train.models.memory import Layout
from worldmodel_train.recipe import Recipe
from worldmodel_train.training.strategies.auto_checkpointing import ROOM

GB = 1e9
MB = 1e6
NAMES: dict[Layout, str] = {"ddp": "DDP", "zero1": "ZeRO 1", "zero2": "ZeRO 2", "zero3": "ZeRO 3"}
SETTINGS: dict[Layout, str] = {
    "ddp": "train.strategy=ddp",
    "zero1": "train.strategy={name: deepspeed, zero_stage: 1}",
    "zero2": "train.strategy={name: deepspeed, zero_stage: 2}",
    "zero3": "train.strategy={name: deepspeed, zero_stage: 3}",
}


def memory_table(memory: RecipeMemory, gpu: str) -> Table:
    """The parts of one GPU's memory for each layout."""
    layouts = memory.layouts
    unit, size = _unit(memory)
    table = Table(title=_title(memory), title_justify="left")
    table.add_column(f"{unit} at the worst moment", no_wrap=True)
    for name in layouts:
        title = "single" if name == "ddp" and memory.num_gpus == 1 else NAMES[name]
        table.add_column(title, justify="right", no_wrap=True)
    parts = [layout.parts for layout in layouts.values()]
    for name in parts[0]:
        cells = (f"{part[name] / size:,.2f}" if part[name] else "-" for part in parts)
        table.add_row(name, *cells)
    table.add_section()
    totals = (f"{layout.total / size:,.2f}" for layout in layouts.values())
    table.add_row("total", *totals, style="bold")
    limit = find_gpu(gpu).memory_gb
    fits = (_fits(layout.total, limit * GB) for layout in layouts.values())
    table.add_row(f"fits {gpu.upper()}, {limit} GB", *fits)
    table.add_row("worst moment", *(layout.worst for layout in layouts.values()))
    table.add_row("checkpointing by auto", *map(_auto, memory.auto.values()))
    return table


def advice(recipe: Recipe, memory: RecipeMemory, gpu: str) -> str:
    """Which layout to take, or what to change first."""
    limit = find_gpu(gpu).memory_gb
    for change, changed in (("", recipe), *remedies(recipe)):
        after = recipe_memory(
            changed, memory.num_gpus, precision=memory.precision, gpu_bytes=limit * GB
        )
        layout = after.fitting(ROOM * limit * GB)
        if layout is None:
            continue
        taken = f"{_gb(after.layouts[layout].total)} of {limit} GB"
        setting = _setting(layout, memory.num_gpus)
        if not change:
            return f"Use {setting}: {taken}."
        return f"No layout leaves {1 - ROOM:.0%} free. Use {change} and {setting}: {taken}."
    if any(recipe.data.misfits(max(1, recipe.train.micro_batch // 2))):
        return (
            "Nothing fits; use more GPUs, or larger ones, or a smaller micro-batch and what of "
            "data goes with it."
        )
    return "Nothing fits, nor would a smaller micro-batch; use more GPUs, or larger ones."


def _auto(plan: CheckpointingPlan | None) -> str:
    if isinstance(plan, MixedCheckpointing):
        return f"{plan.heavier}\nfor {plan.percent} %"
    return plan or "-"


def _fits(size: int, limit: float) -> str:
    if size > limit:
        return "no"
    return "yes" if size <= ROOM * limit else "tight"


def _unit(memory: RecipeMemory) -> tuple[str, float]:
    least = min(layout.total for layout in memory.layouts.values())
    return ("GB", GB) if least >= GB else ("MB", MB)


def _title(memory: RecipeMemory) -> str:
    gpus = "1 GPU" if memory.num_gpus == 1 else f"each of {memory.num_gpus:,} GPUs"
    batches = (
        "1 micro-batch" if memory.accumulation == 1 else f"{memory.accumulation} micro-batches"
    )
    return f"Memory of {gpus}, {memory.precision}, {batches} a step"


def _setting(layout: Layout, num_gpus: int) -> str:
    return "train.strategy=single" if layout == "ddp" and num_gpus == 1 else SETTINGS[layout]


def _gb(size: int) -> str:
    return f"{size / GB:,.2f}"

"""What a recipe takes of each GPU's memory, for every way of spreading it over GPUs."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from worldmodel_train.cli.step_cost import cost_of
from worldmodel_train.models.checkpointing import POLICIES, CheckpointingPlan
from worldmodel_train.models.cost import HasMemory, MemoryUse
from worldmodel_train.models.memory import LAYOUTS, Layout, Precision, Sharding
from worldmodel_train.recipe import Recipe
from worldmodel_train.training.config import DeepSpeedConfig
from worldmodel_train.training.strategies.auto_checkpointing import ROOM, fastest_that_fits
from worldmodel_train.training.strategies.runtime import accumulation


@dataclass(frozen=True, kw_only=True)
class RecipeMemory:
    """The memory of one GPU for each layout, with the largest micro-batch of some draws."""

    num_gpus: int
    accumulation: int
    precision: Precision
    layouts: dict[Layout, MemoryUse]
    auto: dict[Layout, CheckpointingPlan | None]
    """What `activation_checkpointing: auto` would take; None where nothing fits."""

    def fitting(self, size: float) -> Layout | None:
        """The layout with the least communication that fits so many bytes, if one does."""
        for name, layout in self.layouts.items():
            if layout.total <= size:
                return name
        return None


def recipe_memory(
    recipe: Recipe,
    num_gpus: int,
    *,
    precision: Precision | None = None,
    gpu_bytes: float = math.inf,
) -> RecipeMemory:
    """The memory of each of `num_gpus` GPUs that train this recipe.

    ZeRO keeps its state on the host where the recipe's strategy says so. Activation checkpointing
    that is `auto` is what it would be on a GPU of `gpu_bytes`, or `full` where nothing fits.

    Raises:
        ValueError: The global batch cannot be split evenly, or the method does not say.
    """
    train = recipe.train
    micro_batches = accumulation(train.global_batch, train.micro_batch, num_gpus)
    cost, precision = cost_of(recipe), precision or train.precision
    if not isinstance(cost, HasMemory):
        raise ValueError(f"method {recipe.method.name} does not say what memory a step takes")
    strategy = train.strategy
    offload = isinstance(strategy, DeepSpeedConfig) and strategy.offload == "cpu"

    def total(plan: CheckpointingPlan, sharding: Sharding) -> int:
        return cost.memory(plan, sharding, precision).total

    layouts: dict[Layout, MemoryUse] = {}
    auto: dict[Layout, CheckpointingPlan | None] = {}
    for layout in LAYOUTS:
        sharding = Sharding(
            layout=layout,
            world_size=num_gpus,
            gradients="fp32" if micro_batches > 1 else "bf16",
            offload=offload and layout != "ddp",
        )
        auto[layout] = fastest_that_fits(total, sharding, ROOM * gpu_bytes)
        policy = train.activation_checkpointing
        plan = (auto[layout] or "full") if policy == "auto" else policy
        layouts[layout] = cost.memory(plan, sharding, precision)
    return RecipeMemory(
        num_gpus=num_gpus,
        accumulation=micro_batches,
        precision=precision,
        layouts=layouts,
        auto=auto,
    )


def remedies(recipe: Recipe) -> Iterator[tuple[str, Recipe]]:
    """Changes that save memory, from the cheapest on, each with the recipe so changed."""
    policy, weakest = recipe.train.activation_checkpointing, {"activation_checkpointing": "full"}
    if policy == "auto":
        weakest = {}  # it tries all of them by itself
    else:
        for stronger in POLICIES[POLICIES.index(policy) + 1 :]:
            yield _changed(recipe, activation_checkpointing=stronger)
    micro_batch = recipe.train.micro_batch
    while micro_batch % 2 == 0:
        micro_batch //= 2
        if any(recipe.data.misfits(micro_batch)):
            return
        yield _changed(recipe, **weakest, micro_batch=micro_batch)


def _changed(recipe: Recipe, **values: object) -> tuple[str, Recipe]:
    spelled = " ".join(f"train.{key}={value}" for key, value in values.items())
    train = recipe.train.model_copy(update=values)
    return spelled, recipe.model_copy(update={"train": train})

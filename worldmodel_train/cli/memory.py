"""What a recipe takes of each GPU's memory, for every way of spreading it over GPUs."""

from collections.abc import Iterator
from dataclasses import dataclass

from worldmodel_train.cli.cost import recipe_cost
from worldmodel_train.models.memory import (
    LAYOUTS,
    Layout,
    MicroBatch,
    Precision,
    Sharding,
    StepMemory,
    activation_bytes,
    step_memory,
)
from worldmodel_train.recipe import Recipe
from worldmodel_train.training.config import DeepSpeedConfig
from worldmodel_train.training.strategies.strategy import accumulation


@dataclass(frozen=True, kw_only=True)
class RecipeMemory:
    """The memory of one GPU for each layout, with the largest micro-batch of some draws."""

    num_gpus: int
    accumulation: int
    precision: Precision
    layouts: dict[Layout, StepMemory]

    def fitting(self, size: float) -> Layout | None:
        """The layout with the least communication that fits so many bytes, if one does."""
        for name, layout in self.layouts.items():
            if layout.total <= size:
                return name
        return None


def recipe_memory(
    recipe: Recipe, num_gpus: int, *, precision: Precision | None = None
) -> RecipeMemory:
    """The memory of each of `num_gpus` GPUs that train this recipe.

    ZeRO keeps its state on the host where the recipe's strategy says so.

    Raises:
        ValueError: The global batch cannot be split evenly.
    """
    train = recipe.train
    micro_batches = accumulation(train.global_batch, train.micro_batch, num_gpus)
    batch = largest_micro_batch(recipe, precision or train.precision)
    strategy = train.strategy
    offload = isinstance(strategy, DeepSpeedConfig) and strategy.offload == "cpu"
    layouts: dict[Layout, StepMemory] = {
        layout: step_memory(
            recipe.method.encoder,
            recipe.method.predictor,
            batch,
            Sharding(
                layout=layout,
                world_size=num_gpus,
                gradients="fp32" if micro_batches > 1 else "bf16",
                offload=offload and layout != "ddp",
            ),
        )
        for layout in LAYOUTS
    }
    return RecipeMemory(
        num_gpus=num_gpus,
        accumulation=micro_batches,
        precision=batch.precision,
        layouts=layouts,
    )


def largest_micro_batch(recipe: Recipe, precision: Precision) -> MicroBatch:
    """The micro-batch with the most activations among drawn masks, all of one clip length."""

    def peak(batch: MicroBatch) -> int:
        return activation_bytes(recipe.method.encoder, recipe.method.predictor, batch).forward

    return max(_micro_batches(recipe, precision), key=peak)


def remedies(recipe: Recipe) -> Iterator[tuple[str, Recipe]]:
    """Changes that save memory, from the cheapest on, each with the recipe so changed."""
    policies = ("none", "selective", "full")
    stronger = policies[policies.index(recipe.train.activation_checkpointing) + 1 :]
    for policy in stronger:
        yield _changed(recipe, activation_checkpointing=policy)
    micro_batch = recipe.train.micro_batch
    while micro_batch % 2 == 0:
        micro_batch //= 2
        yield _changed(recipe, activation_checkpointing="full", micro_batch=micro_batch)


def _changed(recipe: Recipe, **values: object) -> tuple[str, Recipe]:
    spelled = " ".join(f"train.{key}={value}" for key, value in values.items())
    train = recipe.train.model_copy(update=values)
    return spelled, recipe.model_copy(update={"train": train})


def _micro_batches(recipe: Recipe, precision: Precision) -> Iterator[MicroBatch]:
    for length in recipe_cost(recipe).lengths:
        for masks in zip(*length.masks, strict=True):
            yield MicroBatch(
                clips=recipe.train.micro_batch,
                tokens=length.grid.num_tokens,
                masks=masks,
                precision=precision,
                checkpointing=recipe.train.activation_checkpointing,
            )

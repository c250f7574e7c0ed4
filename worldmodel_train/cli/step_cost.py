"""What a step of a recipe costs, where need be as its data and other runs complete the recipe."""

from collections.abc import Callable
from dataclasses import replace

from worldmodel_train.cli.objectives import part_shapes
from worldmodel_train.facts import DataFacts, PartShapes
from worldmodel_train.models.cost import StepCost
from worldmodel_train.recipe import Recipe


def step_cost(recipe: Recipe, opened: Callable[[], DataFacts]) -> StepCost | None:
    """What a step costs; None where the method does not say.

    Where the recipe alone does not tell, as of pictures in episodes or of another run's encoder,
    its data is `opened`, and the other run's recipe is read, of which no weights are loaded.

    Raises:
        ValueError: There is no such data or run, or the method cannot learn from it.
    """
    cost = recipe.method.cost(recipe.facts)
    if cost is not None:
        return cost

    def frozen(name: str) -> PartShapes:
        return part_shapes(getattr(recipe.method, name), key=f"method.{name}")

    return recipe.method.cost(replace(recipe.facts, data=opened(), frozen=frozen))


def cost_of(recipe: Recipe) -> StepCost:
    """What a step of the recipe costs.

    Raises:
        ValueError: Its method does not say, or the data or the run is not there that tells.
    """
    cost = step_cost(recipe, recipe.data.open_facts)
    if cost is None:
        raise ValueError(f"method {recipe.method.name} does not say what a step costs")
    return cost

"""Actions as a model sees them, and back."""

from jaxtyping import Float
from torch import Tensor

from worldmodel_train.data.trajectories.config import ActionScale


def normalised(actions: Float[Tensor, "*b a"], scale: ActionScale) -> Float[Tensor, "*b a"]:
    """Actions less what is central, over its unit; `a` is one action's numbers, or several's."""
    return (actions - _each(scale.centre, actions)) / _each(scale.unit, actions)


def real(actions: Float[Tensor, "*b a"], scale: ActionScale) -> Float[Tensor, "*b a"]:
    """What `normalised` was made of."""
    return actions * _each(scale.unit, actions) + _each(scale.centre, actions)


def _each(numbers: tuple[float, ...], actions: Float[Tensor, "*b a"]) -> Float[Tensor, "a"]:
    """The numbers once for each action that lies behind the others in one."""
    width = actions.shape[-1]
    assert width % len(numbers) == 0, f"{width} numbers are no actions of {len(numbers)}"
    return actions.new_tensor(numbers).repeat(width // len(numbers))

"""The mean over the tokens that count."""

from jaxtyping import Bool, Float
from torch import Tensor


def token_mean(
    errors: Float[Tensor, "b g m d"], valid: Bool[Tensor, "b g m"] | None
) -> Float[Tensor, ""]:
    """Mean of `errors` over the width and over the valid tokens, each token weighing the same.

    Where not one is valid it is 0.
    """
    if valid is None:
        return errors.mean()
    per_token = errors.mean(dim=-1).masked_fill(~valid, 0.0)
    return per_token.sum() / valid.sum().clamp(min=1)

"""How far two vectors are from pointing the same way."""

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional


def cosine_distance(
    predicted: Float[Tensor, "*b d"], target: Float[Tensor, "*b d"]
) -> Float[Tensor, "*b"]:
    """One minus the cosine of the angle between them, in fp32: from 0 to 2."""
    return 1 - functional.cosine_similarity(predicted.float(), target.float(), dim=-1)

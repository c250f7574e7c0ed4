"""Shares of prototypes in samples, balanced so that no prototype has more than another.

Sinkhorn's and Knopp's passes, as in SwAV (arXiv 2006.09882, eq. 4) and DINOv2 (arXiv 2304.07193).
"""

from jaxtyping import Float
from torch import Tensor


def balanced(logits: Float[Tensor, "b p"], *, passes: int) -> Float[Tensor, "b p"]:
    """Distributions over prototypes, one a sample, nearest to those of the logits; fp32.

    After enough passes every prototype has the same share in the whole batch, b / p; each pass
    makes shares equal, then sums over prototypes 1 again.
    """
    kept = logits.float()
    for _ in range(passes):
        kept = kept - kept.logsumexp(dim=0)
        kept = kept - kept.logsumexp(dim=1, keepdim=True)
    return kept.exp()

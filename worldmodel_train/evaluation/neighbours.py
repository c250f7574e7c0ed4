"""Which clips the encoder holds to be alike."""

from collections.abc import Sequence

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor
from torch.nn.functional import normalize

from worldmodel_train.cartography.tiling import tile


def nearest_clips(
    features: Float[Tensor, "b d"],
    queries: Int[Tensor, "q"],
    excluded: Bool[Tensor, "q b"],
    k: int,
) -> tuple[Int[Tensor, "q k"], Float[Tensor, "q k"]]:
    """The `k` clips most like each query and their cosines, best first, `excluded` left out.

    Features are centred on the mean of all clips, or what all clips share would hide the rest.
    """
    unit = normalize((features - features.mean(dim=0)).double(), dim=1)
    cosine = (unit[queries] @ unit.T).masked_fill(excluded, -torch.inf)
    best = cosine.topk(k, dim=1)
    return best.indices, best.values.float()


def other_videos(keys: Sequence[str], queries: Int[Tensor, "q"]) -> Bool[Tensor, "q b"]:
    """True where a clip is cut from the query's own video, which would be no discovery."""
    return torch.tensor([[key == keys[query] for key in keys] for query in queries.tolist()])


def neighbour_sheet(
    clips: UInt8[Tensor, "b t h w 3"], queries: Int[Tensor, "q"], nearest: Int[Tensor, "q k"]
) -> UInt8[Tensor, "height width 3"]:
    """One picture: each row a query clip's middle frame, then those of its nearest clips."""
    shown = torch.cat([queries[:, None], nearest], dim=1)
    middle = clips[:, clips.shape[1] // 2]
    frames = rearrange(middle[shown.flatten()], "(q k) h w c -> q k h w c", q=len(queries))
    return tile(frames)

"""What latents of two views of a clip tell of the change between them, and of the clip."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy import ndarray
from torch import Tensor

from worldmodel_train.evaluation.frozen import mean_latents
from worldmodel_train.evaluation.probing.retrieval import found_within, ranked_relevance
from worldmodel_train.models.views.views import ViewConfig
from worldmodel_train.probes.states import KnownState, state_scores
from worldmodel_train.protocols import Encoder, View

Features: TypeAlias = Callable[[UInt8[Tensor, "b t h w c"]], Float[Tensor, "b d"]]
"""One vector for each clip."""

PLACE, SIZE, MIRRORED = slice(0, 2), slice(2, 4), 4
LOOKS: Mapping[str, int] = {"brightness": 6, "contrast": 7, "saturation": 8, "hue": 9}
"""Where a view's change has them."""


@dataclass(frozen=True, kw_only=True)
class ViewPairs:
    """Two views of every clip."""

    one: View
    other: View

    @classmethod
    def of(cls, clips: UInt8[Tensor, "b t h w c"], config: ViewConfig, seed: int) -> "ViewPairs":
        """Drawn from the seed; torch's global generator is left as it was."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return cls(one=config.draw(clips), other=config.draw(clips))

    @property
    def differences(self) -> tuple[KnownState, ...]:
        """What is known of how the views of a pair differ."""
        one, other = (view.change.double().numpy() for view in (self.one, self.other))
        changed = (other - one)[:, None]
        grown = np.log(other[:, SIZE] / one[:, SIZE])[:, None]
        turned_over = (changed[..., MIRRORED] != 0).astype(int)
        return (
            KnownState(name="place", kind="value", values=changed[..., PLACE]),
            KnownState(name="size", kind="value", values=grown),
            KnownState(name="mirrored", kind="event", values=turned_over),
            *(
                KnownState(name=name, kind="value", values=changed[..., number])
                for name, number in LOOKS.items()
            ),
        )


@dataclass(frozen=True, kw_only=True)
class ViewScores:
    """Of one kind of features."""

    told: Mapping[str, tuple[float, ...]]
    """Of each difference how well a ridge regression from both views' features tells it on clips
    that it has not seen, split by split: share of the variance, or area under the ROC curve."""
    found: float
    """How often the likest of all other views (by cosine) is of the same clip."""


def view_scores(pairs: ViewPairs, features: Features, *, splits: int) -> ViewScores:
    """How much is told of the change (equivariance), and of the clip whatever the change is."""
    one, other = (features(view.pixels).double() for view in (pairs.one, pairs.other))
    both: Float[ndarray, "b 1 d"] = torch.cat((one, other), dim=1)[:, None].numpy()
    each = torch.arange(len(one))
    relevant = ranked_relevance(other, each, one, each)
    return ViewScores(
        told=state_scores(both, pairs.differences, splits=splits),
        found=float(found_within(relevant, 1).mean()),
    )


def encoder_features(model: Encoder, batch_size: int) -> Features:
    """The mean latent of each view."""
    return lambda clips: mean_latents(model, clips, batch_size)

"""What probes, tasks and pictures need of a model that makes latents of clips, or of sound."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from worldmodel_train.types import Audio, ClipGroup, GaussianPair, LatentPair, LevelAhead, TokenGrid


@runtime_checkable
class Encoder(Protocol):
    """What probes need of a model: the latents of whole clips."""

    def token_grid(self, clips: UInt8[Tensor, "b t h w c"]) -> TokenGrid:
        """The grid of tokens that `clips` become."""
        ...

    def encode(self, clips: UInt8[Tensor, "b t h w c"]) -> Float[Tensor, "b n d"]:
        """Latents, one per token, without gradient; where there is a teacher, the teacher's."""
        ...


@runtime_checkable
class SoundEncoder(Protocol):
    """What probes need of a model of sound: spectrograms, and the latents of all of them."""

    def spectrograms(self, audio: Audio) -> Float[Tensor, "b t m"]:
        """What the encoder is given; nothing has been learned yet."""
        ...

    def sound_grid(self, audio: Audio) -> TokenGrid:
        """Tokens along time (as height) and frequency (as width)."""
        ...

    def encode_sound(self, audio: Audio) -> Float[Tensor, "b n d"]:
        """Latents, one per token, without gradient; where there is a teacher, the teacher's."""
        ...


@runtime_checkable
class Classifier(Protocol):
    """What evaluation needs of what names videos: probes trained together, or one whole model."""

    def num_segments(self) -> int:
        """Clips of one video that are looked at together, one after another in time."""
        ...

    def probe_names(self) -> Sequence[str]:
        """What tells one probe from another, such as its learning rate."""
        ...

    def probabilities(self, clips: UInt8[Tensor, "b t h w c"]) -> Float[Tensor, "p v classes"]:
        """Of each class, by each probe, for each video; `num_segments` clips are a video."""
        ...


@runtime_checkable
class LatentPredictor(Encoder, Protocol):
    """What pictures and evaluation need of a JEPA that predicts under masks."""

    def predict(self, group: ClipGroup) -> Sequence[LatentPair]:
        """Predicted and target latents, one pair for each mask group."""
        ...


@runtime_checkable
class OpenPredictor(LatentPredictor, Protocol):
    """A `LatentPredictor` that says what it predicts from, so that this can be changed first."""

    def encode_context(self, group: ClipGroup) -> Sequence[Float[Tensor, "b _ d"]]:
        """The latents `b k d` that the predictor is given of each mask group's context."""
        ...

    def predict_from(
        self, contexts: Sequence[Float[Tensor, "b _ d"]], group: ClipGroup
    ) -> Sequence[Float[Tensor, "b _ _ d"]]:
        """What it predicts from such latents, `b g m d` for each mask group.

        Of the group's clips only their size matters. What `predict` gives are those of
        `encode_context`.
        """
        ...


@runtime_checkable
class LevelPredictor(Encoder, Protocol):
    """What a hierarchy offers whose levels look ahead at time scales of their own."""

    def predict_levels(self, clips: UInt8[Tensor, "b t h w c"]) -> Sequence[LevelAhead]:
        """What each level predicts of the second half of clips from the first; the lowest first."""
        ...


@runtime_checkable
class PredictsGaussians(LatentPredictor, Protocol):
    """A `LatentPredictor` that says how sure it is of every number."""

    def predict_gaussians(self, group: ClipGroup) -> Sequence[GaussianPair]:
        """What `predict` gives, with the variances that are predicted."""
        ...


@runtime_checkable
class LatentRenderer(Protocol):
    """What shows the latents of a `LatentPredictor` as pixels, those that it predicts too.

    A tubelet is the pixels of a token, from 0 to 1.
    """

    def latent_model(self, device: torch.device) -> LatentPredictor:
        """The model whose latents it shows; another run has trained it."""
        ...

    def tubelets(self, clips: UInt8[Tensor, "b t h w c"]) -> Float[Tensor, "b n p"]:
        """The tubelets of whole clips."""
        ...

    def decode(
        self, latents: Float[Tensor, "b k d"], index: Int[Tensor, "#b k"], grid: TokenGrid
    ) -> Float[Tensor, "b k p"]:
        """What it takes the tubelets of these tokens to be, given nothing but their latents."""
        ...

    def clips(
        self, tubelets: Float[Tensor, "b n p"], grid: TokenGrid
    ) -> UInt8[Tensor, "b t h w c"]:
        """Whole clips put together from tubelets."""
        ...

"""Slots of films, by an encoder that another run has trained."""

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from worldmodel_train.models.frozen import FrozenPart
from worldmodel_train.models.frozen_frames import normalised
from worldmodel_train.models.slot_encoder import SlotEncoder


class FrozenSlots:
    """Films to slots, frame after frame; the encoder is held by reference."""

    def __init__(self, encoder: FrozenPart) -> None:
        """Raises ValueError where the part sees no slots."""
        network = encoder.on(torch.device("cpu"))
        if not isinstance(network, SlotEncoder):
            raise ValueError(
                f"method.encoder: {encoder.origin} is a {type(network).__name__}, which sees no "
                "slots; name a run of renderers/slot_autoencoder, and part: encoder"
            )
        self.encoder = encoder
        self.slots = network.config.slots
        self.width = network.width

    @torch.no_grad()
    def __call__(self, films: UInt8[Tensor, "b t h w c"]) -> Float[Tensor, "b t s d"]:
        """Normalised slots of each frame; none hangs on a later frame."""
        return normalised(self.encoder.on(films.device)(films))

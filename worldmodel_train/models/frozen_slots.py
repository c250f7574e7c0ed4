"""Slots of films, by an encoder that another run has trained."""

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from worldmodel_train.models.frozen import FrozenPart
from worldmodel_train.models.layer_norm import normalised
from worldmodel_train.models.slot_encoder import SlotEncoder


def slot_encoder(network: nn.Module, *, origin: str) -> SlotEncoder:
    """The network; raises ValueError where it sees no slots."""
    if isinstance(network, SlotEncoder):
        return network
    raise ValueError(
        f"method.encoder: {origin} is a {type(network).__name__}, which sees no slots; name a run "
        "of renderers/slot_autoencoder, and part: encoder"
    )


class FrozenSlots:
    """Films to slots, frame after frame; the encoder is held by reference."""

    def __init__(self, encoder: FrozenPart, place_weight: float = 0.0) -> None:
        """Raises ValueError where the part sees no slots."""
        network = slot_encoder(encoder.on(torch.device("cpu")), origin=encoder.origin)
        self.encoder = encoder
        self.slots = network.config.slots
        self.width = network.width
        self._directions = place_weight * _directions(network.width)

    def __call__(self, films: UInt8[Tensor, "b t h w c"]) -> Float[Tensor, "b t s d"]:
        """Normalised slots of each frame; none hangs on a later frame."""
        return self.see(films)[0]

    @torch.no_grad()
    def see(
        self, films: UInt8[Tensor, "b t h w c"]
    ) -> tuple[Float[Tensor, "b t s d"], Float[Tensor, "b t s 2"]]:
        """The same, and where they look, which was added to them with its weight; in fp32.

        Also where who trains on them computes in less: they are those of an evaluation.
        """
        network = self.encoder.on(films.device)
        assert isinstance(network, SlotEncoder), "it was one"
        self._directions = self._directions.to(films.device)
        with torch.autocast(films.device.type, enabled=False):
            slots, centres = network(films)
            return normalised(slots) + centres @ self._directions, centres


def _directions(width: int) -> Float[Tensor, "2 d"]:
    """Two of all numbers alike, which have nothing in common."""
    number = torch.arange(width)
    return torch.stack((1 - 2.0 * (number % 2), 1 - 2.0 * (number // 2 % 2)))

"""Linear probes that learn while what they look at is trained, tested before they learn.

No clip is tested on after its label was learned from, unless training shows it again.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields

import torch
from einops import rearrange
from jaxtyping import Float, Float64, Int, UInt8
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool3d

from worldmodel_train.probes.discriminant import Discriminant

_CELLS = (2, 8, 8)  # time, height, width
_SMOOTHED = 1000.0
"""Clips that an accuracy is the mean of, in effect: their standard error is at most 1.6 points."""
_NAMES = ("accuracy", "pixels", "majority")


@dataclass(frozen=True, kw_only=True)
class ProbedRows:
    """What probes see of some clips."""

    latents: Float[Tensor, "p d"]
    pixels: Float[Tensor, "p f"]
    labels: Int[Tensor, " p"]
    """The number of each clip's class; negative where a row is no clip."""


def cells_of(clips: UInt8[Tensor, "b t h w c"]) -> Float[Tensor, "b f"]:
    """Means of pixels over both halves of the time and 8 x 8 places: the features to beat."""
    volume = rearrange(clips, "b t h w c -> b c t h w").float() / 255
    return adaptive_avg_pool3d(volume, _CELLS).flatten(1)


class OnlineProbe:
    """A linear probe of latents, the same on pixels, and the commonest class, beside each other."""

    def __init__(self, classes: int) -> None:
        self._classes = classes
        self._state: dict[str, Tensor] = {}
        self._rounds = 0

    @torch.no_grad()
    def take(self, rows: ProbedRows) -> None:
        """Names the classes of these clips by what was learned before, then learns from them.

        A clip whose latents are not finite is none. Nothing here waits for the device.
        """
        numbers = torch.arange(self._classes, device=rows.labels.device)
        finite = rows.latents.isfinite().all(dim=1, keepdim=True)
        classes = ((rows.labels[:, None] == numbers) & finite).double()
        features = {"latents": rows.latents, "pixels": rows.pixels}
        known = {name: _known(one, classes) for name, one in features.items()}
        probes = {name: self._probe(name, one) for name, one in known.items()}
        if self._rounds:
            counts = probes["latents"].counts.expand_as(classes)
            named = [probes[name].scores(one) for name, one in known.items()]
            self._score([*named, counts], classes)
        for name, probe in probes.items():
            self._keep(name, probe.with_more(known[name], classes))
        self._rounds += 1

    def values(self) -> dict[str, Float64[Tensor, ""]]:
        """Accuracies by name, the same on all ranks; none before the second time."""
        if "scored" not in self._state:
            return {}
        right, scored = self._state["right"], self._state["scored"]
        return {f"online_probe/{n}": r / scored for n, r in zip(_NAMES, right, strict=True)}

    def state(self) -> dict[str, Tensor]:
        """What a checkpoint keeps: empty before the first time."""
        return self._state | ({"rounds": torch.tensor(self._rounds)} if self._rounds else {})

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Goes on from a saved state; from nothing where an older checkpoint has none."""
        self._state = {name: tensor for name, tensor in state.items() if name != "rounds"}
        self._rounds = int(state["rounds"]) if state else 0

    def _score(
        self, scores: list[Float64[Tensor, "p classes"]], classes: Float64[Tensor, "p classes"]
    ) -> None:
        keep = (1.0 - classes.sum() / _SMOOTHED).clamp(min=0)
        named = torch.stack([one.argmax(dim=1, keepdim=True) for one in scores])
        right = classes.expand(len(scores), -1, -1).gather(2, named).sum(dim=(1, 2))
        for name, new in {"right": right, "scored": classes.sum()}.items():
            old = self._state.get(name, torch.zeros_like(new)).to(new.device)
            self._state[name] = keep * old + new

    def _probe(self, name: str, features: Float64[Tensor, "p d"]) -> Discriminant:
        if not self._rounds:
            return Discriminant.of_nothing(self._classes, features.shape[1], features.device)
        parts = {
            part.name: self._state[f"{name}.{part.name}"].to(features.device)
            for part in fields(Discriminant)
        }
        return Discriminant(**parts)

    def _keep(self, name: str, probe: Discriminant) -> None:
        for part in fields(Discriminant):
            self._state[f"{name}.{part.name}"] = getattr(probe, part.name)


def _known(
    features: Float[Tensor, "p d"], classes: Float64[Tensor, "p classes"]
) -> Float64[Tensor, "p d"]:
    """The features, 0 where a row is no clip."""
    return torch.where(classes.any(dim=1, keepdim=True), features.double(), 0.0)

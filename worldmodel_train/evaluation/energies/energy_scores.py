"""How often what goes together has less energy than what does not."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from worldmodel_train.evaluation.energies.pairs import Pair, mismatches, together
from worldmodel_train.evaluation.frozen import frozen
from worldmodel_train.evaluation.samples import Samples, rows
from worldmodel_train.protocols import HasEnergy
from worldmodel_train.types import Audio, Clips, Trajectories

_MOMENTS = 32  # of a stretch of sound

EnergyOf = Callable[[Pair], Float[Tensor, "b"]]


@dataclass(frozen=True, kw_only=True)
class EnergyScores:
    """What one model, or rule, makes of one way of failing to go together."""

    auc: tuple[float, ...]
    """Share of all pairs of a fitting and a made-up one of which the fitting has less energy, ties
    counting half: the area under the ROC curve. One value for each drawing of made-up pairs."""
    same_context: tuple[float, ...]
    """The same share where both are of one context, or of one target where contexts differ."""


def energy_scores(
    energy: EnergyOf, samples: Samples, seeds: Sequence[int]
) -> Mapping[str, EnergyScores]:
    """The scores by the name of each way."""
    fitting = energy(together(samples))
    scores = dict[str, EnergyScores]()
    for name, mismatch in mismatches(samples).items():
        made_up = [energy(mismatch(samples, torch.Generator().manual_seed(seed))) for seed in seeds]
        scores[name] = EnergyScores(
            auc=tuple(share_below(fitting[:, None], other[None]) for other in made_up),
            same_context=tuple(share_below(fitting, other) for other in made_up),
        )
    return scores


def share_below(energies: Float[Tensor, "*#b"], others: Float[Tensor, "*#b"]) -> float:
    """How often the first is less, ties counting half."""
    return float(((energies < others).double() + (energies == others).double() / 2).mean())


def model_energy(model: HasEnergy[Any], batch_size: int) -> EnergyOf:
    """That of a model, in fp64 on the CPU."""

    def of(pair: Pair) -> Float[Tensor, "b"]:
        count = pair.context.num_samples
        batches = [slice(first, first + batch_size) for first in range(0, count, batch_size)]
        with frozen(model) as device:
            moved = (
                [rows(part, batch).map(lambda tensor: tensor.to(device)) for part in pair]
                for batch in batches
            )
            return torch.cat([model.energy(*both).double().cpu() for both in moved])

    return of


def pixel_energy(pair: Pair) -> Float[Tensor, "b"]:
    """How far the target's pixels are from the context's last picture: what needs no model.

    Of images it is the mean colour of the lower half and that of the upper one; of sound the
    spectrum of the last moment.
    """
    if isinstance(pair.context, Audio):
        return _spectral_energy(pair)
    context, target = (_pictures(part).double() / 255 for part in pair)
    frames, height = context.shape[1:3]
    if isinstance(pair.context, Trajectories):
        seen, following = context[:, :1], target[:, 1:]
    elif frames > 1:
        seen, following = context[:, frames // 2 - 1, None], target[:, frames // 2 :]
    else:
        upper, lower = context[:, :, : height // 2], target[:, :, height // 2 :]
        seen, following = (half.mean(dim=(2, 3), keepdim=True) for half in (upper, lower))
    return (following - seen).abs().flatten(1).mean(dim=1)


def _spectral_energy(pair: Pair) -> Float[Tensor, "b"]:
    """How far log spectra of the second half are from that of the last moment of the first."""
    context, target = (_log_spectra(part) for part in pair)
    middle = context.shape[1] // 2
    return (target[:, middle:] - context[:, middle - 1, None]).abs().flatten(1).mean(dim=1)


def _log_spectra(content: Samples) -> Float[Tensor, "b _ _"]:
    """Of so many pieces of a stretch of sound, one after the other."""
    assert isinstance(content, Audio)
    length = content.waveform.shape[1] // _MOMENTS
    pieces = content.waveform[:, : _MOMENTS * length].unflatten(1, (_MOMENTS, length)).double()
    return torch.log(torch.fft.rfft(pieces).abs().square() + 1e-6)


def _pictures(content: Samples) -> Tensor:
    assert not isinstance(content, Audio), "sound has none"
    return content.pixels if isinstance(content, Clips) else content.observations

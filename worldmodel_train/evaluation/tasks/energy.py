"""Whether a model finds less energy in what goes together than in what does not."""

from collections.abc import Iterator
from typing import Annotated, ClassVar

from pydantic import Field

from worldmodel_train.config import StrictConfig
from worldmodel_train.evaluation.task import Offer, Subject
from worldmodel_train.evaluation.task_result import TaskResult
from worldmodel_train.protocols import HasEnergy


class Config(StrictConfig):
    """Energies of held-out contexts with their own targets, and with made-up ones.

    A made-up target is of another sample, or has its time shuffled or reversed; of episodes the
    actions may be another's instead.
    """

    needs: ClassVar[type] = HasEnergy
    needs_held_out: ClassVar[bool] = True

    max_samples: int = Field(default=256, ge=2)
    """Held-out clips, windows or stretches of sound, one of each video, episode or recording; the
    first ones."""
    batch_size: int = Field(default=32, ge=1)
    """Pairs per forward pass."""
    seeds: tuple[Annotated[int, Field(ge=0)], ...] = Field(default=(0, 1, 2), min_length=1)
    """Each draws who goes with whom, and in which order, alike for all models."""

    def misfits(self, offer: Offer) -> Iterator[str]:
        """None: who has an energy has it of the data that it is trained on."""
        del offer
        yield from ()

    def run(self, subject: Subject) -> TaskResult:
        """The scores of both models, and those of pixels."""
        from worldmodel_train.evaluation.energies.energy_result import (
            PIXELS,
            SPECTRUM,
            energy_result,
        )
        from worldmodel_train.evaluation.energies.energy_scores import (
            energy_scores,
            model_energy,
            pixel_energy,
        )
        from worldmodel_train.types import Audio

        samples = subject.data.held_out_content(self.max_samples)
        if samples.num_samples < 2:
            raise ValueError(
                "energy: there is one held-out sample, and none to set beside it; hold out more"
            )
        scored = []
        for model in (subject.trained, subject.untrained):
            assert isinstance(model, HasEnergy), "the recipe was checked"
            energy = model_energy(model, self.batch_size)
            scored.append(energy_scores(energy, samples, self.seeds))
        trained, untrained = scored
        pixels = energy_scores(pixel_energy, samples, self.seeds)
        called = SPECTRUM if isinstance(samples, Audio) else PIXELS
        return energy_result(
            trained, untrained, pixels, called=called, num_samples=samples.num_samples
        )

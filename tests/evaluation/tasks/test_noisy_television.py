import pytest
import torch

from worldmodel_train.evaluation.tasks.noisy_television import PIXELS, Config
from worldmodel_train.types import LatentPair

SMALL = {"films": 60, "splits": 2}


@pytest.mark.slow
def test_signal_and_noise_are_read_from_both_models_and_from_pixels(patch_means, subject):
    models = subject(patch_means(error=0.0), patch_means(error=0.0, seed=1))
    result = Config(films=400, splits=2).run(models)
    numbers = {number.name: number for number in result.numbers}
    assert list(numbers)[:3] == [
        "R2 of the signal: place",
        "R2 of the signal: velocity",
        "R2 of the noise: television",
    ]
    for number in numbers.values():
        assert number.baselines.keys() == {"untrained", PIXELS}
        assert len(number.trained.values) == 2
    # latents are means of patches: of enough films a linear map reads the mean colour of a part
    assert numbers["R2 of the noise: television"].trained.mean > 0.5
    assert numbers["R2 of the noise: television"].lower_is_better
    assert result.measured_on == "400 films with a television, 2 ways to hold out"


def test_noise_is_not_foreseen_by_who_has_not_seen_it(patch_means, subject):
    class Blind(type(patch_means(error=0.0))):
        def predict(self, group):
            (masks,) = group.masks
            seen = self.encode(group.clips)[:, : masks.context_index.shape[1]].mean(dim=1)
            said = seen[:, None, None].expand(*masks.target_index.shape, -1)
            return [LatentPair(predicted=said, target=torch.zeros_like(said))]

    models = subject(Blind(error=0.0), Blind(error=0.0))
    numbers = {number.name: number for number in Config(**SMALL).run(models).numbers}
    assert numbers["R2 of the noise foreseen: television"].trained.mean < 0.1


def test_data_without_clips_are_refused(patch_means):
    class Walks:
        def facts(self):
            return None

        def held_out_content(self, limit):
            return limit

    from worldmodel_train.evaluation.task import Offer

    offer = Offer(objective=patch_means, preparation=None, data=Walks())
    assert list(Config().misfits(offer)) == [
        "needs clips of the recipe's size, and the recipe reads none; leave it out"
    ]


@pytest.mark.parametrize("television", [0.0, 0.9])
def test_a_television_that_is_none_or_too_large_is_refused(television):
    with pytest.raises(ValueError, match="television"):
        Config(television=television)

import torch

from worldmodel_train.evaluation.task import Offer
from worldmodel_train.evaluation.tasks.calibration import CONSTANT, TARGETS, Config
from worldmodel_train.types import GaussianPair


def test_both_models_and_rules_stand_beside_each_other(patch_means, subject):
    class Sure(type(patch_means(error=0.0))):
        def predict_gaussians(self, group):
            return [
                GaussianPair(
                    predicted=pair.predicted,
                    target=pair.target,
                    valid=pair.valid,
                    log_variance=torch.zeros_like(pair.target),
                )
                for pair in self.predict(group)
            ]

    models = subject(Sure(error=2.0), Sure(error=1.0))
    result = Config(batch_size=2, seeds=(0, 1)).run(models)
    numbers = {number.name.removeprefix("calibration, "): number for number in result.numbers}
    assert numbers.keys() == {
        "inside 50 %, off by", "inside 90 %, off by", "standardised square, off by", "surprise",
        "told",
    }  # fmt: skip
    square = numbers["standardised square, off by"]
    assert square.trained.mean > 1.5 * square.baselines["untrained"].mean
    assert square.baselines.keys() == {"untrained", CONSTANT, TARGETS}
    assert numbers["surprise"].lower_is_better
    assert len(square.trained.values) == 2


def test_a_method_without_masks_is_refused(patch_means):
    offer = Offer(objective=patch_means, preparation=None, data=None)
    (message,) = Config().misfits(offer)
    assert message.startswith("measures latents of masked clips")

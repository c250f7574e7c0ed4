import pytest
from worldmodel_train.evaluation.config import EvaluationConfig


def test_probes_are_off_unless_asked_for():
    assert EvaluationConfig().probes is None
    assert EvaluationConfig.model_validate({"probes": {}}).probes is not None


@pytest.mark.parametrize("seeds", [[], [1, 1]])
def test_mask_seeds_that_measure_nothing_new_are_refused(seeds):
    with pytest.raises(ValueError, match="mask_seeds"):
        EvaluationConfig.model_validate({"mask_seeds": seeds})

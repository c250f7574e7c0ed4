import pytest

from worldmodel_train.training.run import pretrain


def test_an_objective_without_regions_is_not_left_uncompiled_in_silence(toy, tmp_path):
    with pytest.raises(ValueError, match=r"train\.compile=true, but ToyJepa has no module"):
        pretrain(toy.toy_parts(tmp_path, compile=True))

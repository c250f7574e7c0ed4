"""Parts of other runs: held frozen and by reference, or taken to begin from."""

import pytest
import torch

from tests.training import toy_run as toy
from worldmodel_train.models.frozen import PartConfig
from worldmodel_train.models.strict_state import CheckpointError
from worldmodel_train.training.checkpoints.files import read_meta
from worldmodel_train.training.checkpoints.folder import CheckpointFolder
from worldmodel_train.training.checkpoints.reader import read_weights
from worldmodel_train.training.config import InitConfig
from worldmodel_train.training.optim import OptimConfig
from worldmodel_train.training.run import pretrain


@pytest.fixture
def held(tmp_path):
    """A run of two steps whose objective computes with a frozen part of this seed."""

    def run(seed, **options):
        frozen = toy.frozen_part(seed)
        optim = OptimConfig.model_validate(toy.OPTIM | {"ema": None})
        options = {"steps": 2, "objective": lambda: toy.TeacherlessToy(frozen)} | options
        pretrain(toy.toy_parts(tmp_path / "held", optim=optim, **options))
        return frozen

    return run


@pytest.fixture
def finished(tmp_path):
    """The directory of a finished run of the toy."""
    pretrain(toy.toy_parts(tmp_path / "finished", steps=2))
    return tmp_path / "finished"


def last(run_dir):
    return CheckpointFolder(run_dir).last()


def test_a_frozen_part_stays_as_it_is_and_is_not_saved(held, tmp_path):
    frozen = held(seed=1)
    meta = read_meta(last(tmp_path / "held"))
    assert meta.frozen == {"frozen": toy.frozen_part(1).fingerprint}
    assert frozen.fingerprint == toy.frozen_part(1).fingerprint
    assert {name.partition(".")[0] for name in meta.shapes} == {"encoder", "predictor"}


def test_a_run_is_resumed_with_the_same_part_only(held):
    held(seed=1)
    held(seed=1, steps=3)
    with pytest.raises(CheckpointError, match=r"trained on another frozen .*method\.frozen"):
        held(seed=2, steps=4)


def test_fingerprints_tell_values_names_and_types_apart():
    one, other = toy.frozen_part(), toy.frozen_part()
    assert one.fingerprint == other.fingerprint
    network = toy.frozen_part().on(torch.device("cpu"))
    with torch.no_grad():
        network.bias[3] += 1e-6
    changed = type(one)(network, origin="here")
    as_bf16 = type(one)(toy.frozen_part().on(torch.device("cpu")).bfloat16(), origin="here")
    assert len({one.fingerprint, changed.fingerprint, as_bf16.fingerprint}) == 3


def begun(run_dir, **parts):
    """The weights of a run before its first step."""
    init = InitConfig(parts={name: PartConfig(**part) for name, part in parts.items()})
    drawn = {}

    def build():
        objective = toy.ToyJepa()
        drawn.update({name: tensor.clone() for name, tensor in objective.state_dict().items()})
        return objective

    pretrain(toy.toy_parts(run_dir, steps=1, init=init, objective=build))
    return drawn, read_weights(last(run_dir))


def test_a_part_begins_as_the_part_it_names_and_the_others_as_they_are_drawn(finished, tmp_path):
    source = {"checkpoint": finished, "part": "teacher"}
    drawn, after = begun(tmp_path / "begun", encoder=source, teacher=source)
    stored = read_weights(last(finished))
    for name, tensor in after.items():
        part, _, inside = name.partition(".")
        begins = drawn[name] if part == "predictor" else stored[f"teacher.{inside}"]
        # one step of AdamW at a rate of about 0.004 moves a weight by no more than that
        assert (tensor - begins).abs().max() < 5e-3 or inside == "passes"


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"encoder": "encoder"}, "leaves teacher, which follows it"),
        ({"enc": "encoder"}, r"train\.init\.parts\.enc\.checkpoint: the objective has no enc, but"),
        ({"predictor": "."}, r"train\.init\.parts\.predictor\.part=\. is a whole objective"),
        ({"predictor": "encoder"}, r"encoder of .*, for train\.init\.parts\.predictor"),
    ],
)
def test_parts_that_cannot_be_filled_are_named_before_the_first_step(
    finished, tmp_path, parts, message
):
    named = {name: {"checkpoint": finished, "part": part} for name, part in parts.items()}
    with pytest.raises(ValueError, match=message):
        begun(tmp_path / "begun", **named)


@pytest.mark.parametrize(
    ("init", "message"),
    [
        ({}, "give either checkpoint"),
        ({"checkpoint": "a"}, "optimizer says whether"),
        ({"checkpoint": "a", "optimizer": True, "parts": {"e": {"checkpoint": "a", "part": "e"}}},
         "give either checkpoint"),
        ({"optimizer": False, "parts": {"e": {"checkpoint": "a", "part": "e"}}},
         "optimizer says whether"),
    ],
)  # fmt: skip
def test_a_run_begins_from_a_whole_run_or_from_parts(init, message):
    with pytest.raises(ValueError, match=message):
        InitConfig.model_validate(init)

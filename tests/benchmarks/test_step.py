"""Our step, that of transformers and what is said of both."""

import copy
import importlib
import json
import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from benchmarks import step
from benchmarks.peers import reference
from benchmarks.peers.huggingface import HuggingFaceStep
from benchmarks.peers.reference import checkout
from benchmarks.training_step import (
    OurStep,
    Setting,
    comparable,
    draw_setting,
    noisy_objective,
    run_step,
)
from worldmodel_train.cli.memory import cost_of
from worldmodel_train.models.rope import Rope3d, Rope3dVJepa2
from worldmodel_train.recipe import load_recipe

CPU = torch.device("cpu")


@pytest.fixture
def setting(tiny):
    return draw_setting(comparable(load_recipe("demo", tiny)), CPU, num_batches=2)


def test_both_have_the_same_loss_and_gradients(setting):
    objective = noisy_objective(setting.recipe)
    contestants = {
        "ours": lambda: OurStep(setting, copy.deepcopy(objective), compiled=False),
        "transformers": lambda: HuggingFaceStep(setting, objective, compiled=False),
    }
    able, failures = step.check(setting, contestants)
    assert not failures
    losses = [one.forward(2).item() for one in able.values()]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)


@pytest.mark.parametrize("contestant", [OurStep, HuggingFaceStep])
def test_a_step_trains_student_and_moves_teacher(setting, contestant):
    one = contestant(setting, noisy_objective(setting.recipe), compiled=False)
    before = [p.detach().clone() for p in one.trained()]
    first = one.forward(2).item()
    run_step(one, num_batches=2)
    assert all(p.grad is None for p in one.trained())
    moved = [not torch.equal(p, q) for p, q in zip(one.trained(), before, strict=True)]
    assert all(moved)
    assert one.forward(2).item() != first


def test_the_command_reports_ours_and_the_peer(bench, tiny):
    content = bench("step", "--recipe", "demo", "--rounds", "2", *tiny)
    (numbers,) = content["numbers"]["sizes"].values()
    assert set(numbers) == {"ours", "transformers"}
    assert all(one["clips_per_s"] > 0 for one in numbers.values())
    assert numbers["ours"]["times_as_long_as_ours"]["median"] == 1.0
    assert content["machine"]["versions"]["torch"] == torch.__version__


def _with_policy(setting, policy):
    train = setting.recipe.train.model_copy(update={"activation_checkpointing": policy})
    recipe = setting.recipe.model_copy(update={"train": train})
    return Setting(
        recipe=recipe, device=setting.device, batches=setting.batches, probe=setting.probe
    )


POLICIES = pytest.mark.parametrize(
    ("policy", "again"), [("none", False), ("auto", False), ("full", True)]
)


@POLICIES
@pytest.mark.filterwarnings(
    "ignore:.gradient_checkpointing_enable. is deprecated:FutureWarning"
)  # 5.0 knows no other
def test_transformers_computes_again_where_ours_does(setting, policy, again):
    setting = _with_policy(setting, policy)
    one = HuggingFaceStep(setting, noisy_objective(setting.recipe), compiled=False)
    flags = [
        m.gradient_checkpointing
        for m in one._encoder.modules()
        if "gradient_checkpointing" in vars(m)
    ]
    assert flags
    assert set(flags) == {again}


@POLICIES
def test_the_original_code_computes_again_where_ours_does(setting, policy, again, monkeypatch):
    asked = []

    def module(**options):
        asked.append(options["use_activation_checkpointing"])
        return nn.Identity()

    theirs = SimpleNamespace(
        VisionTransformer=module, VisionTransformerPredictor=module,
        MultiSeqWrapper=nn.Sequential, PredictorMultiSeqWrapper=nn.Sequential,
    )  # fmt: skip
    monkeypatch.setattr(reference, "import_module", lambda _: theirs)
    monkeypatch.setattr(reference, "_load", lambda *_: None)
    setting = _with_policy(setting, policy)
    reference._build(setting, noisy_objective(setting.recipe))
    assert asked == [again, again]


def test_what_is_done_twice_is_no_operation_of_the_model(setting):
    none, full = (_with_policy(setting, policy).flops for policy in ("none", "full"))
    assert none == full
    # as training's MFU, but for the masks: those drawn here against a mean over draws
    per_clip = cost_of(setting.recipe).model_flops
    assert none / setting.clips == pytest.approx(per_clip, rel=0.15)


def test_another_rotation_is_refused(bench, tiny, monkeypatch, capsys):
    monkeypatch.setattr(Rope3dVJepa2, "rotation_table", Rope3d.rotation_table)
    assert bench("step", "--recipe", "demo", *tiny) == 1
    assert (
        "not measured: demo, 8f 96px B2: IncorrectError: the loss of 'transformers' is"
        in capsys.readouterr().err
    )


def test_other_pixels_are_refused(bench, tiny, monkeypatch):
    monkeypatch.setattr("benchmarks.peers.huggingface.IMAGENET_STD", (0.2, 0.2, 0.2))
    assert bench("step", "--recipe", "demo", *tiny) == 1


def test_a_device_whose_ceilings_are_not_known_is_an_error_at_once(tiny, monkeypatch, tmp_path):
    def break_down(*_, **__):
        raise torch.AcceleratorError("CUDA error: out of memory")

    monkeypatch.setattr(step, "measure_ceilings", break_down)
    with pytest.raises(torch.AcceleratorError, match="out of memory"):
        step.step(list(tiny), recipe="demo", rounds=1, device="cpu", results=tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_peer_that_cannot_run_is_named_and_ours_is_told(bench, tiny, monkeypatch, tmp_path):
    def break_down(*_, **__):
        raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered\nmore")

    monkeypatch.setattr(HuggingFaceStep, "forward", break_down)
    assert bench("step", "--recipe", "demo", "--rounds", "1", *tiny) == 1
    (path,) = (tmp_path / "results").glob("*.json")
    content = json.loads(path.read_text())
    (numbers,), (failure,) = content["numbers"]["sizes"].values(), content["failures"].items()
    assert set(numbers) == {"ours"}
    assert failure[0].startswith("transformers, demo")
    assert failure[1] == "AcceleratorError: CUDA error: an illegal memory access was encountered"


def test_recipes_that_peers_do_not_know_run_alone(bench, capsys):
    small = (
        "method.encoder.size={width: 48, depth: 1, heads: 2}", "method.predictor.depth=1",
        "data.augment.size=112", "train.precision=fp32",
        "train.micro_batch=2", "train.global_batch=2",
    )  # fmt: skip
    assert bench("step", "--recipe", "ijepa_vith14", *small) == 2
    assert "use --no-peers" in capsys.readouterr().err
    content = bench("step", "--recipe", "ijepa_vith14", "--no-peers", "--rounds", "1", *small)
    (numbers,) = content["numbers"]["sizes"].values()
    assert set(numbers) == {"ours"}


def test_a_folder_that_is_no_checkout_is_refused(bench, tiny, tmp_path, capsys):
    assert bench("step", "--recipe", "demo", "--reference", str(tmp_path), *tiny) == 2
    assert "give a checkout of https://github.com" in capsys.readouterr().err


def test_a_checkout_is_importable_while_it_is_used(tmp_path, monkeypatch):
    folder = tmp_path / "src" / "models"
    folder.mkdir(parents=True)
    (folder / "vision_transformer.py").write_text(
        "from timm.models.layers import drop_path\nNAME = 'theirs'\n"
    )
    monkeypatch.setattr("benchmarks.peers.reference.find_spec", lambda _: None)
    with checkout(Path(tmp_path)):
        module = importlib.import_module("src.models.vision_transformer")
    for name in [name for name in sys.modules if name.split(".")[0] == "src"]:
        del sys.modules[name]
    assert module.NAME == "theirs"
    assert str(tmp_path) not in sys.path
    assert "timm.models.layers" not in sys.modules
    with pytest.raises(AssertionError, match="stochastic depth needs timm"):
        module.drop_path()


@pytest.mark.compile
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.torch.jit.script_method:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")  # dynamo's own
def test_compiled_steps_take_part(bench, tiny, monkeypatch):
    # inductor would compile two models for minutes, to the same rows
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))
    content = bench("step", "--recipe", "demo", "--compile", "--rounds", "1", *tiny)
    (numbers,) = content["numbers"]["sizes"].values()
    assert set(numbers) == {
        "ours", "ours, compiled", "transformers", "transformers, compiled"
    }  # fmt: skip

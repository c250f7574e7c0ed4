"""The recipe of EPIC-KITCHENS-100 trains and is measured on shards as `ek100` packs them."""

import io
import json
import tarfile
from pathlib import Path

import pytest
import torch

import worldmodel_train
from worldmodel_train.cli.objectives import build_objective, trained_objective
from worldmodel_train.cli.run_spec import pretrain_parts
from worldmodel_train.evaluation.task import Subject
from worldmodel_train.recipe import load_recipe, resolved_yaml
from worldmodel_train.training.checkpoints.folder import CheckpointFolder
from worldmodel_train.training.checkpoints.imported import save_imported
from worldmodel_train.training.run import pretrain

CLASSES = ("verb 0", "verb 3", "noun 0", "noun 17", "action 0 0", "action 3 17")
TINY = ("method.encoder.size={width: 48, depth: 1, heads: 2}", "method.predictor.width=24",
        "method.predictor.depth=1", "method.predictor.mask_tokens=2")  # fmt: skip


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    monkeypatch.setenv("WMT_DATA", str(tmp_path))
    jepa = load_recipe("demo", TINY)
    folder = CheckpointFolder(tmp_path / "jepa")
    save_imported(folder, build_objective(jepa).state_dict(), resolved_yaml(jepa))
    for split in ("train", "val"):
        (tmp_path / "ek100" / split).mkdir(parents=True)
        pack(tmp_path / "ek100" / split / "a.tar")
        (tmp_path / "ek100" / split / "classes.txt").write_text("\n".join(CLASSES))
    return load_recipe(
        "eval_ek100_vitl",
        [
            f"method.jepa.checkpoint={tmp_path / 'jepa'}", f"run_dir={tmp_path / 'run'}",
            "method.depth=1", "method.heads=2", "method.ahead.action_at=2.5",
            "method.grid={rates: [1.0, 0.2], decays: [1.0]}", "method.ahead.fps=4",
            "data.sources.0.clip={frames: 8, fps: 4}", "data.held_out.clip={frames: 8, fps: 4}",
            "data.augment.size=96", "data.loader.workers=0", "train.steps=2",
            "train.global_batch=4", "train.micro_batch=4", "train.accelerator=cpu",
            "train.precision=fp32",
        ],
    )  # fmt: skip


def pack(path):
    """Shipped drawings under labels of actions; the action of one is in no list."""
    assets = Path(worldmodel_train.__file__).parent / "assets" / "pen_strokes" / "held_out"
    labels = [["verb 0", "noun 0", "action 0 0"], ["verb 3", "noun 17", "action 3 17"]] * 3
    labels[5] = ["verb 3", "noun 0", "action 3 0"]
    with tarfile.open(sorted(assets.glob("*.tar"))[0]) as shipped, tarfile.open(path, "w") as tar:
        videos = [m for m in shipped.getmembers() if m.name.endswith(".mp4")]
        for number, (video, names) in enumerate(zip(videos, labels, strict=False)):
            content = shipped.extractfile(video).read()
            described = json.dumps({"label": names[-1], "labels": names}).encode()
            for ending, data in (("mp4", content), ("json", described)):
                member = tarfile.TarInfo(f"{number}.{ending}")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))


@pytest.mark.slow
def test_its_probes_train_from_it_and_are_measured_by_its_task(recipe, tmp_path):
    result = pretrain(pretrain_parts(recipe, "auto"))
    assert result.step == 2
    probes = trained_objective(result.checkpoint)
    assert {name.partition(".")[0] for name in probes.state_dict()} == {"each"}
    (task,) = recipe.evaluation
    subject = Subject(
        method="probes/anticipation", trained=probes, untrained=build_objective(recipe),
        preparation=None, data=recipe.data, run_dir=tmp_path,
    )  # fmt: skip
    found = task.run(subject)
    assert found.measured_on == (
        "5 held-out clips of 2 classes of verb, 2 classes of noun, 2 classes of action"
    )
    assert "1 were skipped as bad_label" in found.sections[0].text
    # of two classes each is among the five likeliest
    assert [number.trained.mean for number in found.numbers] == [1.0] * 6
    assert torch.isfinite(torch.tensor(result.last_metrics.values["loss"]))

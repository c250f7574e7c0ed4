"""Two processes measure a probe together, whether they have trained it or not."""

import io
import shutil
import tarfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

import worldmodel_train
from tests.training import torchrun
from tests.training.forked import Forked
from worldmodel_train.cli.commands import app
from worldmodel_train.cli.exit_codes import TRY_AGAIN, USER_ERROR
from worldmodel_train.cli.objectives import build_objective
from worldmodel_train.evaluation.result import load_result
from worldmodel_train.recipe import load_recipe, resolved_yaml
from worldmodel_train.training.checkpoints.folder import CheckpointFolder
from worldmodel_train.training.checkpoints.imported import save_imported

TINY = ("method.encoder.size={width: 48, depth: 1, heads: 2}", "method.predictor.width=24",
        "method.predictor.depth=1")  # fmt: skip
SMALL = (
    "train.steps=1", "train.global_batch=4", "train.micro_batch=2", "train.accelerator=cpu",
    "optim.lr.warmup_steps=1", "data.loader.workers=0", "method.depth=1", "method.heads=2",
    "checkpoint.every_steps=1", "evaluation=[{name: classification, batch_size: 2}]",
)  # fmt: skip
VIDEOS = 8

pytestmark = pytest.mark.distributed


def pack(path: Path) -> None:
    """Shipped drawings, of which one is cut off."""
    assets = Path(worldmodel_train.__file__).parent / "assets" / "pen_strokes" / "held_out"
    with tarfile.open(assets / "shard-000000.tar") as shipped, tarfile.open(path, "w") as tar:
        videos = 0
        for member in shipped:
            videos += member.name.endswith(".mp4")
            if videos > VIDEOS:
                return
            content = shipped.extractfile(member).read()
            if videos == 3 and member.name.endswith(".mp4"):
                content = content[:200]
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A frozen encoder, and the shard to measure on."""
    folder = tmp_path_factory.mktemp("measured")
    jepa = load_recipe("demo", TINY)
    weights = build_objective(jepa).state_dict()
    save_imported(CheckpointFolder(folder / "jepa"), weights, resolved_yaml(jepa))
    pack(folder / "held_out.tar")
    return folder


def arguments(folder, run_dir, strategy="single"):
    return [
        "probe_pen_strokes", *SMALL, f"method.encoder.checkpoint={folder / 'jepa'}",
        f"data.held_out.shards={folder / 'held_out.tar'}", f"run_dir={run_dir}",
        f"train.strategy={strategy}",
    ]  # fmt: skip


def on_two(log: Path, *words: str, **options: int) -> tuple[list[int], list[str]]:
    """The exit codes of `wmt` on two ranks, and what each said."""
    logs = [log.with_suffix(f".{rank}") for rank in range(2)]
    started = [
        Forked("wmt_run", {"arguments": words, **options}, place, out)
        for place, out in zip(torchrun.places(2), logs, strict=True)
    ]
    codes = [process.wait() for process in started]
    return codes, [" ".join(out.read_text().split()) for out in logs]


def measured(run_dir: Path):
    (found,) = load_result(run_dir).measurements
    return found.result


@pytest.mark.parametrize("strategy", ["fsdp2", "{name: deepspeed, zero_stage: 2}"])
def test_ranks_that_trained_together_find_what_one_process_finds(folder, tmp_path, strategy):
    run_dir = tmp_path / "run"
    codes, said = on_two(tmp_path / "log", "pretrain", *arguments(folder, run_dir, strategy))
    assert codes == [0, 0], said
    together = measured(run_dir)
    assert together.measured_on.startswith(f"{VIDEOS - 1} held-out videos")
    assert "report:" in said[0]
    assert "report:" not in said[1]
    outcome = CliRunner().invoke(app, ["eval", str(run_dir)])
    assert outcome.exit_code == 0, outcome.exception
    assert measured(run_dir) == together


@pytest.fixture(scope="module")
def run_dir(folder, tmp_path_factory):
    """A probe as it was drawn."""
    run_dir = tmp_path_factory.mktemp("probe")
    recipe = load_recipe(arguments(folder, run_dir)[0], arguments(folder, run_dir)[1:])
    weights = build_objective(recipe).state_dict()
    save_imported(CheckpointFolder(run_dir), weights, resolved_yaml(recipe))
    return run_dir


def test_eval_is_shared_by_ranks_that_did_not_train(run_dir, tmp_path):
    probe = shutil.copytree(run_dir, tmp_path / "probe")
    codes, said = on_two(tmp_path / "log", "eval", str(probe))
    assert codes == [0, 0], said
    together = measured(probe)
    assert CliRunner().invoke(app, ["eval", str(probe)]).exit_code == 0
    assert measured(probe) == together


def test_a_rank_that_is_refused_ends_both_with_its_message(run_dir, tmp_path):
    probe = shutil.copytree(run_dir, tmp_path / "probe")
    codes, said = on_two(tmp_path / "log", "eval", str(probe), refuse=1)
    assert codes == [USER_ERROR] * 2, said
    assert all("rank 1: a clip has two labels" in one for one in said)


def test_a_rank_that_is_killed_ends_the_other_which_says_so(run_dir, tmp_path):
    probe = shutil.copytree(run_dir, tmp_path / "probe")
    codes, said = on_two(tmp_path / "log", "eval", str(probe), die=1)
    assert codes == [TRY_AGAIN, 9], said
    assert "rank 0 ended: lost contact with another rank while measuring" in said[0]

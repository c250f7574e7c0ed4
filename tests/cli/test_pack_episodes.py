import numpy as np
import pytest
from typer.testing import CliRunner

from worldmodel_train.cli.data import app


def wmt(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "in").mkdir()
    for number in range(3):
        pictures = np.full((6, 32, 48, 3), 40 * number, np.uint8)
        actions = np.random.default_rng(number).normal(size=(6, 2))
        np.savez(tmp_path / f"in/{number}.npz", frames=pictures, action=actions)
    return tmp_path / "in"


@pytest.mark.slow
def test_pack_check_and_show_work_one_after_the_other(tmp_path, folder):
    (folder / "torn.npz").write_bytes(b"PK")
    out = tmp_path / "out"
    packed = wmt("pack", folder, out, "--format", "npz", "--resize", "16x24", "--workers", 1)
    assert packed.exit_code == 0, packed.output
    assert "3 samples in 1 shard" in packed.stdout
    assert "rejected 1 (1 unreadable)" in packed.stdout
    assert "3, 6 to 6 observations each" in packed.stdout
    assert "16x24x3" in packed.stdout
    scale = next(line for line in packed.stdout.splitlines() if line.startswith("data.actions={"))
    assert "4/4 episodes" in packed.stderr
    checked = wmt("check", out, "--workers", 1)
    assert checked.exit_code == 0, checked.output
    assert scale in checked.stdout
    shown = wmt("show", out)
    assert shown.exit_code == 0, shown.output
    assert (out / "contact_sheet.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--format", "rlds"], "--format rlds: not a format; use droid, lerobot, hdf5, npz"),
        (["--format", "npz", "--resize", "0x4"], "--resize 0x4: not a size; write 256 or 180x320"),
        (["--format", "npz", "--part", "3/2"], "--part 3/2: write 1/16 for the first of 16 parts"),
        (["--format", "npz", "--list", "ssv2"], "--list: goes with videos, not with --format npz"),
        (["--format", "npz", "--preset", "fast"], "--preset: goes with videos"),
        (["--format", "npz", "--images"], "--images: goes with videos"),
        (["--camera", "left"], "--camera: goes with episodes; name their format by --format"),
        (["--every", "2"], "--every: goes with episodes"),
        (["--resize", "64"], "--resize: goes with episodes"),
    ],
)
def test_options_that_do_not_go_together_are_one_line(tmp_path, folder, options, message):
    outcome = wmt("pack", folder, tmp_path / "out", *options)
    assert outcome.exit_code == 1
    (line,) = outcome.stderr.splitlines()
    assert message in line


def test_a_folder_without_episodes_is_one_line(tmp_path):
    (tmp_path / "in").mkdir()
    outcome = wmt("pack", tmp_path / "in", tmp_path / "out", "--format", "npz")
    assert outcome.exit_code == 1
    assert "holds no .npz" in outcome.stderr

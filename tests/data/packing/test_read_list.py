import inspect

import pytest
from typer.testing import CliRunner

from worldmodel_train.cli import pack_videos
from worldmodel_train.cli.data import app
from worldmodel_train.data.packing.errors import PackError
from worldmodel_train.data.packing.read_list import list_names, read_list


def test_the_help_names_every_set_whose_list_can_be_read():
    text = inspect.getsource(pack_videos)
    assert all(name in text[text.index("ListOption =") :] for name in list_names())


def test_another_set_is_answered_with_those_there_are(tmp_path):
    with pytest.raises(PackError, match=r"--list ucf101: not a set; use diving48, ek100, imagenet"):
        read_list("ucf101", str(tmp_path), None)


def test_a_folder_is_no_list_and_a_folder_that_is_not_there_holds_no_videos(tmp_path):
    with pytest.raises(PackError, match="no such file; --list kinetics reads an annotation file"):
        read_list("kinetics", str(tmp_path), None)
    (tmp_path / "a.csv").write_text("label,youtube_id,time_start,time_end\na,b,1,2\n")
    with pytest.raises(PackError, match="no such folder; --root names the folder of the videos"):
        read_list("kinetics", str(tmp_path / "a.csv"), tmp_path / "gone")


def test_text_in_another_encoding_is_named(tmp_path):
    (tmp_path / "a.csv").write_bytes("label\nGehör\n".encode("latin-1"))
    with pytest.raises(PackError, match=r"a\.csv: is not UTF-8 text"):
        read_list("kinetics", str(tmp_path / "a.csv"), None)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--list", "kinetics", "--images"], "--images: goes with folders"),
        (["--window", "-5"], "--window -5: write BEGIN:END in seconds, such as -5:-1"),
        (["--window", "-1:-5"], "--window -1:-5: write BEGIN:END"),
        (["--window", "-5:-1"], "a.mp4 is listed without a start"),
    ],
)
def test_options_that_do_not_go_together_are_one_line(tmp_path, options, words):
    (tmp_path / "list.csv").write_text("path\na.mp4\n")
    paths = [str(tmp_path / "list.csv"), str(tmp_path / "out")]
    result = CliRunner().invoke(app, ["pack", *paths, *options])
    assert result.exit_code == 1
    assert words in result.stderr
    assert not (tmp_path / "out").exists()

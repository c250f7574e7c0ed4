import pytest

from benchmarks import loader

SMALL = (
    "loader", "--frames", "4", "--size", "32", "--batch", "2", "--clips", "2", "--rounds", "2",
)  # fmt: skip


@pytest.mark.slow
def test_the_command_reports_decoders_and_the_whole_path(bench):
    content = bench(*SMALL)
    numbers = content["numbers"]
    assert "loader, whole path" in numbers
    assert "pyav, decoding alone" in numbers
    assert len(numbers["loader, whole path"]["cpu_s_per_clip"]) == 2
    assert numbers["whole_path_over_decoding"]["median"] > 0


def test_a_clip_that_differs_in_one_value_is_refused(bench, monkeypatch, capsys):
    right = loader.plain_clips

    def flipped(*arguments):
        for clip in right(*arguments):
            clip[0, 0, 0, 0] ^= 1
            yield clip

    monkeypatch.setattr(loader, "plain_clips", flipped)
    assert bench(*SMALL) == 1
    assert "clip 0 of the loader differs from a plain decode" in capsys.readouterr().err


def test_shards_that_do_not_exist_are_the_users_to_fix(bench, tmp_path):
    assert bench(*SMALL, "--shards", str(tmp_path / "*.tar")) == 2


@pytest.mark.parametrize(("clips", "whole"), [(1, 8), (8, 8), (9, 16)])
def test_rounds_are_whole_batches(monkeypatch, clips, whole):
    seen = []
    monkeypatch.setattr(loader, "_loader", lambda plan: seen.append(plan) or iter([None]))
    monkeypatch.setattr(loader, "check", lambda *_: (_ for _ in ()).throw(ValueError("enough")))
    with pytest.raises(ValueError, match="enough"):
        loader.loader(clips=clips)
    assert seen[0].clips == whole

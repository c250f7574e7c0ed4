import itertools
import time

import pytest

from benchmarks import loader
from benchmarks.results import IncorrectError
from worldmodel_train.data.config import AugmentConfig, DataConfig, DecoderConfig, LoaderConfig
from worldmodel_train.data.source_config import ClipConfig, SourceConfig

SMALL = (
    "loader", "--frames", "4", "--size", "32", "--batch", "2", "--clips", "2", "--rounds", "2",
)  # fmt: skip


@pytest.fixture
def plan():
    """Of the decoder that a recipe has by default."""
    data = DataConfig(
        sources=(SourceConfig(shards="none.tar", clip=ClipConfig(frames=4)),),
        augment=AugmentConfig(size=32),
        decoder=DecoderConfig(name="auto"),
        loader=LoaderConfig(workers=1),
    )
    return loader.Plan(data=data, batch=2, clips=2, rounds=2)


@pytest.fixture
def dear_looks(monkeypatch):
    """A host of so many processes that a look at them takes 0.1 s of this one's time."""

    looks = []

    def look():
        looks.append(None)
        end = time.process_time() + 0.1
        while time.process_time() < end:
            pass
        return []

    monkeypatch.setattr(loader, "descendants", look)
    return looks


def test_the_wait_ends_though_looking_takes_time(dear_looks, monkeypatch):
    monkeypatch.setattr(loader, "WAIT_S", 1.0)
    loader._wait_for_others()
    assert len(dear_looks) == 2  # the second finds that nobody worked since the first


def test_a_look_at_the_processes_is_not_timed(dear_looks, plan):
    taken = loader._timed(plan, lambda: None)
    assert taken.cpu_s < 0.02


def test_processes_that_never_rest_are_named(monkeypatch):
    seconds = itertools.count()
    monkeypatch.setattr(loader, "WAIT_S", 0.15)
    monkeypatch.setattr(loader, "cpu_seconds", lambda _: {1: float(next(seconds))})
    with pytest.raises(ValueError, match=r"still work after 0\.15 s.*fewer --workers"):
        loader._wait_for_others()


def test_time_of_the_loaders_processes_counts(monkeypatch, plan):
    readings = iter([{7: 1.0, 8: 2.0}, {7: 4.0, 8: 5.0}])
    monkeypatch.setattr(loader, "cpu_seconds", lambda _: next(readings))
    assert loader._timed(plan, lambda: None).cpu_s == pytest.approx(6.0 / 2, abs=0.02)


def test_a_process_that_ends_while_it_is_timed_is_refused(monkeypatch, plan):
    readings = iter([{7: 1.0, 8: 2.0}, {7: 4.0}])
    monkeypatch.setattr(loader, "cpu_seconds", lambda _: next(readings))
    with pytest.raises(IncorrectError, match="ended while it was timed"):
        loader._timed(plan, lambda: None)


def test_auto_is_timed_once_as_what_it_is(plan):
    names = loader.decoder_names()
    assert "auto" not in names
    assert "pyav" in names
    rates = {f"{name}, decoding alone": _rates(1.0) for name in names}
    report = loader._report(plan, rates | {loader.LOADER: _rates(3.0)}, {})
    assert report.numbers["whole_path_over_decoding"]["median"] == 3.0


def _rates(seconds):
    return loader.Rates(cpu_s=[seconds] * 2, wall_s=[seconds] * 2)


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

import pytest

from worldmodel_train import cli
from worldmodel_train.cli import commands
from worldmodel_train.cli.exit_codes import FAILED, TRY_AGAIN, USER_ERROR
from worldmodel_train.training.contact import LostContactError
from worldmodel_train.training.ranks.signals import StopSignals


@pytest.fixture
def ends(monkeypatch, capsys):
    """Exit code, standard error and waits of a `wmt` that fails with an error on a rank."""

    def end(error: Exception, rank: int) -> tuple[object, str, list[float]]:
        def fail() -> None:
            raise error

        waits: list[float] = []
        monkeypatch.setattr(commands, "app", fail)
        monkeypatch.setattr(cli.time, "sleep", waits.append)
        monkeypatch.setenv("RANK", str(rank))
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return ended.value.code, capsys.readouterr().err, waits

    return end


def lost(signal: int = 0) -> LostContactError:
    signals = StopSignals()
    signals._received = signal
    return LostContactError("rank 1 ended", signals)


def test_the_first_rank_says_at_once_what_the_user_can_fix(ends):
    assert ends(ValueError("optim.lr=x"), 0) == (USER_ERROR, "wmt: optim.lr=x\n", [])


def test_other_ranks_let_the_first_speak_and_name_themselves(ends):
    code, text, [wait] = ends(ValueError("no such shard"), 3)
    assert (code, text) == (USER_ERROR, "wmt: rank 3: no such shard\n")
    assert wait > 0


def test_a_file_system_that_fails_is_worth_another_start(ends):
    assert ends(OSError("stale file handle"), 0) == (FAILED, "wmt: stale file handle\n", [])


def test_a_rank_that_lost_another_one_lets_that_one_speak_first(ends):
    for rank in (0, 1):
        code, text, [wait] = ends(lost(), rank)
        assert (code, text) == (TRY_AGAIN, "wmt: rank 1 ended\n")
        assert wait > ends(ValueError("x"), 1)[2][0]


def test_told_to_leave_only_the_first_rank_says_that_it_lost_another_one(ends):
    assert ends(lost(signal=15), 0) == (TRY_AGAIN, "wmt: rank 1 ended\n", [0.0])
    assert ends(lost(signal=15), 1) == (TRY_AGAIN, "", [])


def test_what_strangers_called_things_is_harmless_in_an_error(ends):
    name = "\x1b]0;x\x07[red]\udcff" + "y" * 900_000
    _, text, _ = ends(ValueError(f"first: {name}\nsecond"), 0)
    assert text.startswith(r"wmt: first: \x1b]0;x\x07[red]\xffyyy")
    assert text.endswith("\nsecond\n")
    assert len(text) < 3000

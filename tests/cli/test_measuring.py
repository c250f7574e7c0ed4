import io
import logging

from rich.console import Console

from worldmodel_train.cli.measuring import measuring


def work(console):
    with measuring(console) as showing:
        for who in ("trained", "a [bold]run[/bold]"):
            with showing(who, 4) as tell:
                tell(2, "actions, 0 of 3 goals reached")
                tell(3, "actions, 3 of 3 goals reached")


def test_in_a_terminal_a_bar_says_who_tries_what_is_done_and_what_came_of_it():
    written = io.StringIO()
    console = Console(
        file=written, force_terminal=True, width=120, _environ={"TERM": "xterm"}, color_system=None
    )
    with measuring(console) as showing, showing("a [bold]run[/bold]", 4) as tell:
        tell(3, "actions, 2 of 3 goals reached")
        showing.progress.refresh()
        (last,) = [line for line in written.getvalue().split("\r") if "goals" in line][-1:]
        assert "a [bold]run[/bold]" in last, "names of runs are no markup"
        assert "3/4 actions, 2 of 3 goals reached" in last
    assert showing.progress.tasks[1:] == [], "a bar goes when all is done"


def test_elsewhere_each_is_one_line_of_the_log_when_it_is_done(caplog):
    written = io.StringIO()
    with caplog.at_level(logging.INFO):
        work(Console(file=written))
    assert written.getvalue() == ""
    assert caplog.messages == [
        "trained: 3/4 actions, 3 of 3 goals reached",
        "a [bold]run[/bold]: 3/4 actions, 3 of 3 goals reached",
    ]


def test_what_fails_is_not_told_as_done(caplog):
    with caplog.at_level(logging.INFO):
        try:
            with measuring(Console(file=io.StringIO())) as showing, showing("trained", 4):
                raise KeyError
        except KeyError:
            pass
    assert caplog.messages == []

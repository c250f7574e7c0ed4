"""What ranks do together: the first one's findings, and rounds of work."""

import pytest

from tests.evaluation.threads import on_ranks
from worldmodel_train.evaluation import ranks as module
from worldmodel_train.evaluation.ranks import ALONE, on_first, work_together


def refuse():
    raise ValueError("no such run")


@pytest.fixture
def short_rounds(monkeypatch):
    """Ranks meet after each step."""
    monkeypatch.setattr(module, "_ROUND_S", 0.0)


def test_all_know_what_the_first_finds_and_it_alone_looks():
    looked = []
    found = on_ranks(3, lambda rank: on_first(rank, lambda: looked.append(rank.rank) or "run"))
    assert found == ["run"] * 3
    assert looked == [0]
    assert on_first(ALONE, lambda: None) is None


def test_a_refusal_of_the_first_is_everybodys():
    found = on_ranks(2, lambda rank: on_first(rank, refuse))
    assert [str(error) for error in found] == ["no such run"] * 2


def test_ranks_with_little_to_do_wait_for_those_with_much(short_rounds):
    done = []

    def steps(rank):
        for step in range(5 * rank):
            done.append((rank, step))
            yield

    def work(rank):
        work_together(rank, steps(rank.rank))
        return len(done)

    assert on_ranks(3, work) == [15] * 3


def test_a_rank_that_is_refused_ends_all_at_the_next_meeting(short_rounds):
    taken = []

    def steps(rank):
        for step in range(1000):
            if rank == 1 and step == 3:
                raise ValueError("two labels")
            taken.append(step)
            yield

    found = on_ranks(2, lambda rank: work_together(rank, steps(rank.rank)))
    assert [str(error) for error in found] == ["rank 1: two labels"] * 2
    assert len(taken) < 10


def test_alone_an_error_is_as_it_was_raised():
    with pytest.raises(ValueError, match=r"^no such run$"):
        work_together(ALONE, (refuse() for _ in range(1)))

"""Processes that act, each with a world of its own."""

import io
import pickle
from dataclasses import replace

import numpy as np
import pytest

from worldmodel_train.collection.disagreement import Choice
from worldmodel_train.collection.policies import random, scripted
from worldmodel_train.collection.workers import Actor, Refused, in_workers
from worldmodel_train.collection.world import View
from worldmodel_train.data.packing.pool import Lost

ACTOR = Actor(env="Pendulum-v1", view=View(see="vector"), policy=random, seed=2, longest=3)


def loudest():
    """A judge of actions."""
    return lambda episode: float(np.abs(episode.actions).sum())


CHOOSING = replace(ACTOR, choice=Choice(candidates=3, judge_of=loudest))


def test_of_its_candidates_which_are_plain_episodes_the_one_judged_highest_is_kept():
    for number in range(3):
        candidates = [ACTOR.npz(3 * number + one) for one in range(3)]
        loudness = [np.abs(np.load(io.BytesIO(npz))["actions"]).sum() for npz in candidates]
        assert CHOOSING.npz(number) == candidates[int(np.argmax(loudness))]


def test_of_equal_candidates_the_first_is_kept():
    alike = replace(ACTOR, choice=Choice(candidates=3, judge_of=lambda: lambda _: 1.0))
    assert alike.npz(2) == ACTOR.npz(6)


@pytest.mark.distributed
def test_episodes_that_two_processes_choose_are_those_of_one():
    acted = in_workers(CHOOSING, range(3, 8), workers=2, timeout_s=100.0)
    assert list(acted) == [CHOOSING.npz(number) for number in range(3, 8)]


def test_an_open_world_and_a_judge_are_left_behind_where_an_actor_is_sent():
    actor = replace(CHOOSING)
    actor.npz(0)
    sent = pickle.loads(pickle.dumps(actor))
    assert sent == actor
    assert vars(actor).keys() - vars(sent).keys() == {"_opened", "_judge"}
    assert sent.npz(1) == actor.npz(1)


def test_it_says_at_each_step_that_it_still_acts():
    beats = []
    ACTOR.npz(0, lambda: beats.append(1))
    assert len(beats) == 3
    CHOOSING.npz(0, lambda: beats.append(1))
    assert len(beats) == 3 + 3 * 3


def test_what_cannot_be_acted_out_is_refused_in_words_not_by_a_crash():
    without = replace(ACTOR, policy=scripted)
    refused = without(0, lambda: None)
    assert isinstance(refused, Refused)
    assert refused.message.startswith("Pendulum-v1 offers no scripted policy")


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (Refused("no such world"), "^no such world$"),
        (Lost(reason="crashed", detail="it died"), "^episode 4 of Pendulum-v1: crashed, it died"),
    ],
)
def test_who_asks_is_told_what_was_refused_or_lost(monkeypatch, found, message):
    def acted(*_, **__):
        yield from ((3, b"an episode"), (4, found))

    monkeypatch.setattr("worldmodel_train.collection.workers.in_processes", acted)
    episodes = in_workers(ACTOR, range(3, 5), workers=1, timeout_s=1.0)
    assert next(episodes) == b"an episode"
    with pytest.raises(ValueError, match=message):
        next(episodes)

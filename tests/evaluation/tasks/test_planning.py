import numpy as np
import pytest
import torch

from worldmodel_train.cli.objectives import build_objective
from worldmodel_train.data.trajectories.episode import Episode
from worldmodel_train.data.trajectories.write import write_episodes
from worldmodel_train.envs.two_rooms import Layout, draw, draw_free, move
from worldmodel_train.evaluation.task import Offer, Subject
from worldmodel_train.evaluation.tasks.planning import Config
from worldmodel_train.recipe import load_recipe

SMALL = {
    "goals": 3, "budget": 4, "replan_every": 2, "films": 1,
    "planner": {"name": "cem", "horizon": 2, "candidates": 4, "elites": 2, "iterations": 1},
}  # fmt: skip


def walk(seed):
    rng = np.random.default_rng(seed)
    states, actions = [draw_free(rng, Layout(), 1)[0]], rng.uniform(-1, 1, (5, 2))
    for action in actions:
        states.append(move(states[-1], action, Layout()))
    pictures = draw(np.stack(states), Layout(), 32)
    return Episode(observations=pictures, actions=actions.astype(np.float32))


@pytest.fixture
def recipe(tmp_path):
    write_episodes(tmp_path / "rooms", [walk(seed) for seed in range(2)])
    shards = f"{{name: rooms, shards: '{tmp_path}/rooms/*.tar'}}"
    return load_recipe(
        "leworldmodel_two_rooms", [f"data.sources=[{shards}]", f"data.held_out={shards}"]
    )


def offer(recipe):
    return Offer(objective=object, preparation=None, data=recipe.data)


def test_everybody_tries_the_same_goals_and_attempts_are_shown(recipe, tmp_path):
    torch.manual_seed(0)
    trained, untrained = (build_objective(recipe).eval() for _ in range(2))
    subject = Subject(
        method="jepa/leworldmodel",
        trained=trained,
        untrained=untrained,
        preparation=None,
        data=recipe.data,
        run_dir=tmp_path,
    )
    task = Config.model_validate(SMALL)
    assert list(task.misfits(offer(recipe))) == []
    result = task.run(subject)
    assert result.measured_on == "3 goals in envs/two_rooms, 4 actions at most"
    reached = result.numbers[0]
    assert reached.name == "goals reached, all"
    assert list(reached.contenders) == [
        "trained", "untrained", "true world", "straight line", "expert", "random actions",
    ]  # fmt: skip
    assert result.galleries
    for gallery in result.galleries:
        for picture in gallery.pictures:
            assert (tmp_path / picture.file).read_bytes().startswith(b"GIF89a")


def test_data_of_no_world_and_scaled_actions_are_refused(recipe):
    (message,) = Config().misfits(offer(load_recipe("demo")))
    assert message.startswith("plans in the world that episodes are of, and the recipe reads none")
    scaled = recipe.data.model_copy(update={"frameskip": 2})
    (message,) = Config().misfits(Offer(objective=object, preparation=None, data=scaled))
    assert message.endswith("use data.actions=null and data.frameskip=1")


def test_a_plan_must_be_as_long_as_what_is_done_of_it(recipe):
    task = Config.model_validate({**SMALL, "replan_every": 3})
    (message,) = task.misfits(offer(recipe))
    assert message == (
        "replan_every=3 actions of a plan are done, and a plan has planner.horizon=2; use at most "
        "that"
    )

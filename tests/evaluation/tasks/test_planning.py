from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.envs.walks import walk
from worldmodel_train.cli.objectives import build_objective
from worldmodel_train.data.trajectories.episode import Episode
from worldmodel_train.data.trajectories.write import write_episodes
from worldmodel_train.evaluation.task import Offer, Subject
from worldmodel_train.evaluation.tasks.planning import Config
from worldmodel_train.recipe import load_recipe

SMALL = {
    "goals": 3, "budget": 4, "replan_every": 2, "films": 1,
    "planner": {"name": "cem", "horizon": 2, "candidates": 4, "elites": 2, "iterations": 1},
}  # fmt: skip


@pytest.fixture
def load(tmp_path):
    write_episodes(tmp_path / "rooms", [walk(seed) for seed in range(2)])
    shards = f"{{name: rooms, shards: '{tmp_path}/rooms/*.tar'}}"
    own = [f"data.sources=[{shards}]", f"data.held_out={shards}", "method.encoder.patch=32"]
    return lambda *overrides: load_recipe("leworldmodel_two_rooms", [*own, *overrides])


@pytest.fixture
def recipe(load):
    return load()


def subject_of(recipe, run_dir):
    torch.manual_seed(0)
    trained, untrained = (build_objective(recipe).eval() for _ in range(2))
    return Subject(
        method="jepa/leworldmodel",
        trained=trained,
        untrained=untrained,
        preparation=None,
        data=recipe.data,
        run_dir=run_dir,
    )


def offer(recipe):
    return Offer(objective=object, preparation=None, data=recipe.data)


def test_everybody_tries_the_same_goals_and_attempts_are_shown(recipe, tmp_path):
    task = Config.model_validate(SMALL)
    assert list(task.misfits(offer(recipe))) == []
    result = task.run(subject_of(recipe, tmp_path))
    assert result.measured_on == "3 goals in envs/two_rooms, 4 actions at most"
    reached = result.numbers[0]
    assert reached.name == "goals reached, all"
    assert list(reached.contenders) == [
        "trained", "untrained", "true world", "straight line", "expert", "random actions",
    ]  # fmt: skip
    begins = {".gif": b"GIF89a", ".png": b"\x89PNG"}
    for gallery in result.galleries:
        for picture in gallery.pictures:
            file = tmp_path / picture.file
            assert file.read_bytes().startswith(begins[file.suffix])
    titles = [gallery.title for gallery in result.galleries]
    assert titles[-3:] == [
        "Energy around a plan", "Imagined and done", "Predicted and realised cost",
    ]  # fmt: skip
    assert len(titles) > 3, "attempts are shown, too"


CHOOSING = {
    **SMALL, "env": "MiniGrid-Empty-8x8-v0",
    "planner": {
        "name": "categorical_cem", "horizon": 3, "candidates": 4, "elites": 2, "iterations": 2
    },
}  # fmt: skip


def test_choices_are_planned_as_episodes_have_them(load, tmp_path):
    pytest.importorskip("minigrid", reason="the extra envs is not installed")
    rng = np.random.default_rng(0)
    walked = Episode(
        observations=rng.integers(0, 255, (6, 32, 32, 3), np.uint8),
        actions=np.eye(7, dtype=np.float32)[rng.integers(7, size=5)],
    )
    write_episodes(tmp_path / "grid", [walked])
    shards = f"{{name: grid, shards: '{tmp_path}/grid/*.tar'}}"
    choosing = load(f"data.sources=[{shards}]", f"data.held_out={shards}", "method.actions=7")
    task = Config.model_validate(CHOOSING)
    assert list(task.misfits(offer(choosing))) == []
    subject = subject_of(choosing, tmp_path)
    told, encode = [], subject.trained.encode

    def encode_and_tell(pictures, actions):
        told.append(actions)
        return encode(pictures, actions)

    subject.trained.encode = encode_and_tell
    result = task.run(subject)
    assert list(result.numbers[0].contenders) == [
        "trained", "untrained", "true world", "straight line", "expert", "random actions",
    ]  # fmt: skip
    done = torch.cat([actions.flatten(0, 1) for actions in told])
    assert len(done) > 0
    assert torch.equal(done.sort(dim=1).values, torch.eye(7)[-1:].expand(len(done), 7))
    energies = next(one for one in result.galleries if one.title == "Energy around a plan")
    assert (tmp_path / energies.pictures[0].file).read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("env", "planner", "message"),
    [
        ("MiniGrid-FourRooms-v0", "icem", r"=icem: .*FourRooms-v0 is one of several; use planner:"),
        ("Pendulum-v1", "categorical_cem", r"of Pendulum-v1 is numbers; use another planner, such"),
    ],
)
def test_a_planner_of_other_actions_is_refused(env, planner, message):
    with pytest.raises(ValueError, match=message):
        Config.model_validate({"env": env, "planner": {"name": planner}})


def test_several_choices_as_one_action_are_refused(load):
    (message,) = Config.model_validate(CHOOSING).misfits(offer(load("data.frameskip=2")))
    assert message.startswith("data.frameskip=2 makes several choices of MiniGrid-Empty-8x8-v0 one")


def test_data_of_no_world_is_refused():
    (message,) = Config().misfits(offer(load_recipe("demo")))
    assert message.startswith("plans in the world that episodes are of, and the recipe reads none")


def test_several_scaled_actions_of_the_world_are_planned_as_one(load, tmp_path):
    scaled = load(
        "data.frameskip=2", "data.actions={mean: [0.2, 0], std: [0.5, 2]}", "method.actions=4"
    )
    task = Config.model_validate(SMALL)
    assert list(task.misfits(offer(scaled))) == []
    subject = subject_of(scaled, tmp_path)
    told, encode = [], subject.trained.encode

    def encode_and_tell(pictures, actions):
        told.append(actions)
        return encode(pictures, actions)

    subject.trained.encode = encode_and_tell
    assert len(task.run(subject).numbers[0].contenders) == 6
    assert told[0].shape == (3, 0, 4)
    assert told[2].shape == (3, 2, 4)
    # two actions, each from (-1 - mean) / std to (1 - mean) / std
    low, high = torch.tensor([-2.4, -0.5, -2.4, -0.5]), torch.tensor([1.6, 0.5, 1.6, 0.5])
    assert ((low - 1e-6 <= told[2]) & (told[2] <= high + 1e-6)).all()
    assert told[2].min() < -1


def test_actions_of_another_width_are_refused(recipe, tmp_path):
    pendulum = Episode(
        observations=np.zeros((6, 32, 32, 3), np.uint8), actions=np.zeros((5, 1), np.float32)
    )
    write_episodes(tmp_path / "other", [pendulum])
    shards = recipe.data.sources[0].model_copy(update={"shards": f"{tmp_path}/other/*.tar"})
    data = recipe.data.model_copy(update={"sources": (shards,)})
    subject = replace(subject_of(recipe, tmp_path), data=data)
    with pytest.raises(ValueError, match=r"envs/two_rooms has actions of 2 numbers, and .* of 1;"):
        Config.model_validate(SMALL).run(subject)


def test_options_are_those_of_the_worlds_maker(recipe, tmp_path):
    task = Config.model_validate({**SMALL, "options": {"gravity": 3}})
    with pytest.raises(ValueError, match=r"^envs/two_rooms with options \{'gravity': 3\}: "):
        task.run(subject_of(recipe, tmp_path))
    drawn = Config.model_validate({**SMALL, "options": {"look": {"disc": [0, 0, 255]}}})
    assert drawn.run(subject_of(recipe, tmp_path)).galleries


def test_a_plan_must_be_as_long_as_what_is_done_of_it(recipe):
    task = Config.model_validate({**SMALL, "replan_every": 3})
    (message,) = task.misfits(offer(recipe))
    assert message == (
        "replan_every=3 actions of a plan are done, and a plan has planner.horizon=2; use at most "
        "that"
    )


def test_a_distance_is_learned_for_each_model_from_the_episodes_of_the_run(recipe, tmp_path):
    learned = {"pairs": 20, "regression": {"steps": 2}}
    task = Config.model_validate({**SMALL, "distance": "learned", "learned": learned})
    subject = subject_of(recipe, tmp_path)
    minds = task._minds(subject)
    one, other = (minds[who].distance for who in ("trained", "untrained"))
    latents, goal = torch.randn(1, 2, 3, 64), torch.randn(1, 1, 1, 64)
    assert not torch.equal(one(latents, goal), other(latents, goal))
    result = task.run(subject)
    cost = next(one for one in result.galleries if one.title == "Predicted and realised cost")
    assert cost.note.startswith("Distance (learned) to the goal's latent")


def test_in_bf16_every_model_is_rounded_and_not_much(recipe, tmp_path):
    subject = replace(
        subject_of(recipe, tmp_path), beside={"another": subject_of(recipe, tmp_path).trained}
    )
    plain, rounded = (
        Config.model_validate({**SMALL, "precision": precision})._minds(subject)
        for precision in ("fp32", "bf16")
    )
    assert plain.keys() == rounded.keys() == {"trained", "untrained", "another"}
    pictures = torch.randint(0, 256, (2, 1, 32, 32, 3), dtype=torch.uint8)
    with torch.no_grad():
        for who, mind in plain.items():
            one, other = (
                each.model.latent(each.model.encode(pictures, torch.zeros(2, 0, 2)))
                for each in (mind, rounded[who])
            )
            assert not torch.equal(one, other)
            # bf16 has 8 bits, and a few maps follow one another
            torch.testing.assert_close(one, other, rtol=0.05, atol=0.05)


def test_everybody_is_shown_at_work_in_every_world(recipe, tmp_path):
    shown = {}

    @contextmanager
    def showing(what, total):
        yield lambda done, found: shown.update({what: (done, total, found)})

    subject = replace(subject_of(recipe, tmp_path), showing=showing)
    result = Config.model_validate(SMALL).run(subject)
    here = [f"envs/two_rooms, {who}" for who in result.numbers[0].contenders]
    there = [f"wider door, {who}" for who in ("trained", "straight line", "expert")]
    assert shown.keys() >= {*here, *there}
    reached = round(3 * result.numbers[0].trained.mean)
    assert shown[here[0]] == (4, 4, f"actions, {reached} of 3 goals reached")

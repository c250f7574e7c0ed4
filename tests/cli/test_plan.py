"""`wmt plan` on untrained checkpoints of two rooms."""

import json
import signal
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from tests.envs.walks import walk
from worldmodel_train.cli.commands import app
from worldmodel_train.cli.objectives import untrained_objective
from worldmodel_train.collection.made_of import INDEX, MadeOf, made_of_bytes
from worldmodel_train.data.trajectories.write import write_episodes
from worldmodel_train.recipe import load_recipe, resolved_yaml
from worldmodel_train.training.checkpoints.folder import CheckpointFolder
from worldmodel_train.training.checkpoints.imported import save_imported

TINY = (
    "method.encoder={size: {width: 16, depth: 1, heads: 2}, patch: 32, tubelet: 1, "
    "position: {name: sincos2d}}",
    "method.predictor={depth: 1, heads: 2, head_width: 8, mlp_width: 16}",
    "method.projector_width=16", "evaluation=null",
)  # fmt: skip
QUICK = (
    "goals=3", "budget=4", "replan_every=2", "films=1", "planner.horizon=2",
    "planner.candidates=8", "planner.elites=2", "planner.iterations=1",
)  # fmt: skip


def wmt(*arguments):
    arguments = [str(argument) for argument in arguments]
    return CliRunner().invoke(app, arguments, env={"COLUMNS": "300"})


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two runs, named `one` and `other`, of the same episodes."""
    folder = tmp_path_factory.mktemp("runs")
    write_episodes(folder / "rooms", [walk(seed) for seed in range(2)])
    shards = f"{{name: rooms, shards: '{folder}/rooms/*.tar'}}"
    data = (f"data.sources=[{shards}]", f"data.held_out={shards}")
    for seed, name in enumerate(("one", "other")):
        run_dir = folder / name
        own = (f"run_dir={run_dir}", f"train.seed={seed}")
        recipe = load_recipe("leworldmodel_two_rooms", [*TINY, *data, *own])
        weights = untrained_objective(recipe).state_dict()
        save_imported(CheckpointFolder(run_dir), weights, resolved_yaml(recipe))
    return folder


@pytest.fixture(scope="module")
def decoder(runs):
    """A run that paints latents of `one`, as it was drawn."""
    shards = f"{{name: rooms, shards: '{runs}/rooms/*.tar'}}"
    recipe = load_recipe(
        "decoder_two_rooms",
        [
            f"data.sources=[{shards}]", f"data.held_out={shards}", f"run_dir={runs / 'decoder'}",
            f"method.world_model.checkpoint={runs / 'one'}", "method.patch=16",
            "method.size={width: 16, depth: 1, heads: 2}", "method.hidden=16",
        ],
    )  # fmt: skip
    weights = untrained_objective(recipe).state_dict()
    save_imported(CheckpointFolder(runs / "decoder"), weights, resolved_yaml(recipe))
    return runs / "decoder"


def result_of(run_dir):
    (measurement,) = json.loads((run_dir / "evaluation.json").read_text())["measurements"]
    return measurement["result"]


def numbers_of(run_dir):
    return result_of(run_dir)["numbers"]


def rows_of(run_dir):
    tables = result_of(run_dir)["sections"][0]["tables"]
    return [[row["name"] for row in table["rows"]] for table in tables]


def test_a_run_and_another_beside_it_are_asked_for_the_same_goals_and_the_table_is_shown(runs):
    outcome = wmt("plan", runs / "one", "--beside", runs / "other", "--planner", "icem", *QUICK)
    assert outcome.exit_code == 0, outcome.exception
    who, varied = rows_of(runs / "one")
    assert who == [
        "Trained", "Untrained", "Other", "True world", "Straight line", "Expert", "Random actions",
    ]  # fmt: skip
    assert varied[0] == "Nothing"
    assert len(varied) == 9
    for shown in (*who, "Grey background", "report:"):
        assert shown in outcome.stdout
    assert (runs / "one" / "report.html").is_file()


def test_what_is_imagined_is_painted_by_the_decoder_of_the_same_weights_alone(runs, decoder):
    outcome = wmt("plan", runs / "one", "--decoder", decoder, "--planner", "icem", *QUICK)
    assert outcome.exit_code == 0, outcome.exception
    galleries = {gallery["title"]: gallery for gallery in result_of(runs / "one")["galleries"]}
    assert "imagined, decoded" in galleries["Imagined and done"]["note"]
    for run, other, message in (
        ("other", decoder, "reads latents of other weights than those that plan"),
        ("one", runs / "other", "is a LeWorldModel, which paints no latents"),
    ):
        outcome = wmt("plan", runs / run, "--decoder", other, "--planner", "icem", *QUICK)
        assert outcome.exit_code != 0
        assert f"planning.decoder={other}" in str(outcome.exception)
        assert message in str(outcome.exception)


def test_another_world_or_planner_is_refused_with_those_there_are(runs):
    for option, value, offered in (
        ("--env", "envs/two_room", "envs/two_rooms"),
        ("--planner", "icm", "icem"),
    ):
        outcome = wmt("plan", runs / "one", option, value)
        assert outcome.exit_code != 0
        assert value in str(outcome.exception)
        assert offered in str(outcome.exception)


def test_what_is_no_run_cannot_stand_beside(runs, tmp_path):
    outcome = wmt("plan", runs / "one", "--beside", tmp_path)
    assert outcome.exit_code != 0
    assert "--beside" in str(outcome.exception)


def test_a_run_that_learned_from_other_actions_cannot_stand_beside(runs):
    yaml = next((runs / "other").glob("checkpoints/*/recipe.yaml"))
    stored = yaml.read_text()
    yaml.write_text(stored.replace("frameskip: 1", "frameskip: 2"))
    outcome = wmt("plan", runs / "one", "--beside", runs / "other")
    yaml.write_text(stored)
    assert str(outcome.exception) == (
        "--beside other: its data.frameskip is 2, and that of the run is 1; runs in one table must "
        "have learned from episodes of one kind"
    )


@pytest.mark.parametrize("command", [("plan",), ("eval", "--task", "planning")])
def test_a_world_that_the_episodes_are_not_of_is_refused_with_theirs(runs, command):
    index = runs / "rooms" / INDEX
    made_of = MadeOf(
        env="Reacher-v5", options={"hide": ["target"]}, see="pixels", size=64, policy="walk",
        seed=0, longest=20, per_shard=10,
    )  # fmt: skip
    index.write_bytes(made_of_bytes(made_of))
    try:
        outcome = wmt(command[0], runs / "one", *command[1:])
    finally:
        index.unlink()
    assert outcome.exit_code != 0
    assert "were collected in Reacher-v5; plan there" in str(outcome.exception)


def test_another_planner_replaces_the_recipes_with_all_its_settings(runs):
    name = "planning.planner={name: random_shooting, horizon: 4, candidates: 4}"
    quick = [f"planning.{one}" for one in QUICK if not one.startswith("planner")]
    assert wmt("eval", runs / "one", "--task", "planning", name, *quick).exit_code == 0
    outcome = wmt("plan", runs / "one", "--planner", "icem", *QUICK)
    assert outcome.exit_code == 0, outcome.exception


@pytest.mark.slow
def test_killed_while_planning_nothing_is_lost_and_the_same_command_finds_the_same(runs):
    run = runs / "other"
    asked = ("plan", str(run), "--planner", "icem", *QUICK)
    assert wmt(*asked).exit_code == 0
    files = ("evaluation.json", "report.html")
    before = [(run / file).read_bytes() for file in files]
    command = [sys.executable, "-m", "worldmodel_train", *asked]
    forever = ("planner.iterations=1000000",)
    with subprocess.Popen([*command, *forever], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        # it is said when the model is called for the first time
        assert any("attention over sequences" in line for line in process.stderr)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert [(run / file).read_bytes() for file in files] == before
    reached = [number["trained"] for number in numbers_of(run)]
    subprocess.run(command, check=True, capture_output=True)
    assert [number["trained"] for number in numbers_of(run)] == reached

"""A recipe composes the parts, refuses what cannot work, and survives being written out."""

import json
from pathlib import Path

import pytest

import worldmodel_train
from worldmodel_train.cli.check_data import check_data
from worldmodel_train.config import RecipeError
from worldmodel_train.config.yaml_reader import parse_value
from worldmodel_train.config.yaml_writer import write_yaml
from worldmodel_train.jepa import vjepa
from worldmodel_train.recipe import (
    TASKS,
    Recipe,
    load_recipe,
    load_stored_recipe,
    read_recipe,
    recipe_schema,
    resolved_values,
    resolved_yaml,
)
from worldmodel_train.recipe_document import recipe_folders, recipe_names

TEXT = """\
name: small
source: a test
method:
  name: jepa/vjepa
  encoder: {size: {width: 48, depth: 2, heads: 3}, patch: 8}
  predictor: {width: 32, depth: 2, heads: 2, mask_tokens: 2}
  masks:
  - {name: multiblock3d, num_blocks: 2}
data:
  sources:
  - {name: a, shards: "a/*.tar", clip: {frames: 8}}
  - {name: b, shards: "b/*.tar", clip: {frames: 4}}
  augment: {size: 32}
optim:
  lr: {name: warmup_constant, start: 1e-4, peak: 5e-4, warmup_steps: 10}
  weight_decay: {name: constant, value: 0.04}
  ema: {name: constant, value: 0.99}
train: {steps: 20, global_batch: 8, micro_batch: 4}
checkpoint: {every_steps: 10}
"""


@pytest.fixture
def recipe_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("small.yaml").write_text(TEXT)
    return "small.yaml"


def problems(*overrides):
    with pytest.raises(RecipeError) as caught:
        load_recipe("small.yaml", overrides)
    return list(caught.value.problems)


def test_the_method_is_the_config_of_the_module_that_its_name_says(recipe_file):
    recipe = load_recipe(recipe_file)
    assert isinstance(recipe, Recipe)
    assert isinstance(recipe.method, vjepa.Config)
    assert recipe.optim.lr.peak == 5e-4


def test_the_method_builds_an_objective(recipe_file):
    assert isinstance(load_recipe(recipe_file).method.build(), vjepa.VJepa)


def test_a_recipe_is_frozen(recipe_file):
    with pytest.raises(ValueError, match="frozen"):
        load_recipe(recipe_file).train.steps = 3


def test_the_resolved_recipe_reads_back_equal(recipe_file):
    recipe = load_recipe(recipe_file, ["train.seed=3", "optim.eps=1e-6"])
    Path("resolved.yaml").write_text(resolved_yaml(recipe))
    assert load_recipe(Path("resolved.yaml")) == recipe
    assert resolved_yaml(load_recipe("resolved.yaml")) == resolved_yaml(recipe)


def test_origins_tell_file_override_and_default_apart(recipe_file):
    origins = read_recipe(recipe_file, ["train.seed=3"]).origins
    assert str(origins[("train", "steps")]) == "small.yaml:18"
    assert str(origins[("train", "seed")]) == 'override "train.seed=3"'
    assert ("train", "precision") not in origins


def test_the_run_directory_has_name_and_seed_filled_in(recipe_file):
    assert load_recipe(recipe_file).run_path == Path("runs/small")
    recipe = load_recipe(recipe_file, ["run_dir=out/{name}-{seed}-{x}", "train.seed=7"])
    assert recipe.run_path == Path("out/small-7-{x}")


def test_a_name_cannot_leave_the_run_directory(recipe_file):
    (problem,) = problems("name=../../etc")
    assert problem.startswith('override "name=../../etc": name: ')


def test_a_typo_is_placed_and_corrected(recipe_file):
    Path("small.yaml").write_text(TEXT.replace("peak:", "paek:"))
    assert problems() == [
        "small.yaml:15: optim.lr.peak: missing, and it has no default",
        'small.yaml:15: optim.lr.paek: unknown key; did you mean "peak"?',
    ]


def test_a_typo_in_the_method_is_placed_and_corrected(recipe_file):
    assert problems("method.encoder.tublet=2") == [
        'override "method.encoder.tublet=2": method.encoder.tublet: unknown key; '
        'did you mean "tubelet"?'
    ]


def test_a_typo_inside_a_size_in_numbers_is_placed_and_corrected(recipe_file):
    assert problems("method.encoder.size.widht=3") == [
        'override "method.encoder.size.widht=3": method.encoder.size.widht: unknown key; '
        'did you mean "width"?'
    ]


def test_an_unknown_size_is_corrected(recipe_file):
    assert problems("method.encoder.size=vit_larg") == [
        'override "method.encoder.size=vit_larg": method.encoder.size: "vit_larg" is not a choice '
        'here; did you mean "vit_large"?'
    ]


@pytest.mark.parametrize("name", ["jepa/vjeap", "jepa/../os", "os", "jepa/__init__", "[1]", "3"])
def test_only_methods_that_are_there_are_imported(recipe_file, name):
    (problem,) = problems(f"method.name={name}")
    assert problem.startswith(f'override "method.name={name}": method.name: ')
    assert "is no method; " in problem


def test_a_module_of_the_folder_without_a_config_is_no_method(recipe_file):
    (problem,) = problems("method.name=jepa/monitored_tokens")
    assert "is no method" in problem


def test_an_unknown_method_is_suggested(recipe_file):
    assert problems("method.name=jepa/vjep") == [
        'override "method.name=jepa/vjep": method.name: "jepa/vjep" is no method; '
        'did you mean "jepa/vjepa"?'
    ]


def test_a_missing_method_lists_the_methods(recipe_file):
    (problem,) = problems("method={}")
    assert "jepa/ijepa" in problem
    assert "jepa/vjepa" in problem


@pytest.mark.parametrize(
    ("override", "key", "message"),
    [
        (
            "data.sources.1.clip.frames=5",
            "data.sources.1.clip.frames",
            "5 is not a multiple of method.encoder.tubelet=2; use 4 or 6",
        ),
        (
            "data.sources.1.clip.frames=1",
            "data.sources.1.clip.frames",
            "1 is not a multiple of method.encoder.tubelet=2; use 2",
        ),
        (
            "data.held_out={shards: c, clip: {frames: 3}}",
            "data.held_out.clip.frames",
            "3 is not a multiple of method.encoder.tubelet=2; use 2 or 4",
        ),
        (
            "data.sources.1.clip.frames=200000",
            "data.sources.1.clip.frames",
            "100000x4x4 tokens are more than any model can attend to; use shorter or smaller clips",
        ),
        (
            "method.encoder.position={name: sincos2d}",
            "method.encoder.position",
            "sincos2d has no place for time; use rope3d or sincos3d for videos",
        ),
        (
            "data.augment.size=100",
            "data.augment.size",
            "100 is not a multiple of method.encoder.patch=8; use 96 or 104",
        ),
        (
            "data.augment.size=[90, 100]",
            "data.augment.size",
            "height 90 is not a multiple of method.encoder.patch=8; use 88 or 96; "
            "width 100 is not a multiple of method.encoder.patch=8; use 96 or 104",
        ),
        (
            "optim.lr.warmup_steps=21",
            "optim.lr.warmup_steps",
            "a warmup of 21 steps does not fit train.steps=20; use fewer",
        ),
        (
            "optim.ema.value=1.5",
            "optim.ema.value",
            "what follows keeps a share of itself, at most 1, not 1.5",
        ),
        (
            "checkpoint.keep_every=15",
            "checkpoint.keep_every",
            "15 is not a multiple of checkpoint.every_steps=10; use 10 or 20",
        ),
        (
            "data.loader.clips_per_video=3",
            "data.loader.clips_per_video",
            "3 clips of each video do not fill train.micro_batch=4; use 2, or train.micro_batch=6",
        ),
        (
            "evaluation=[{name: held_out_loss}]",
            "evaluation.0.name",
            "held_out_loss measures on held-out data: give data.held_out, or leave it out",
        ),
        (
            "evaluation=[{name: pen_strokes}, {name: pen_strokes, splits: 1}]",
            "evaluation.1.name",
            "pen_strokes stands twice; leave one out",
        ),
        (
            "log.image_every=5",
            "log.image_every",
            "needs clips to draw: give data.held_out, or write null here",
        ),
    ],
)
def test_values_that_do_not_fit_together_name_the_key_and_the_remedy(
    recipe_file, override, key, message
):
    assert problems(override) == [f'override "{override}": {key}: {message}']


def test_a_decay_that_begins_before_the_warmup_ends_is_refused(recipe_file):
    wsd = "{name: warmup_stable_decay, start: 0.0, peak: 1.0, end: 0.0, warmup_steps: 15"
    (problem,) = problems(f"optim.lr={wsd}, decay_steps: 6}}")
    assert problem.endswith(
        "optim.lr.decay_steps: after a warmup of 15 steps a decay of 6 does not fit "
        "train.steps=20; use at most 5"
    )
    fits = load_recipe("small.yaml", [f"optim.lr={wsd}, decay_steps: 5}}"])
    assert fits.optim.lr.at(20, 20) == 0.0


@pytest.mark.parametrize(
    ("recipe", "overrides", "key", "message"),
    [
        (
            "video_diffusion_tiny",
            (),
            "log.online_probe",
            "probes an Encoder, which VideoDiffusion is not; write null here",
        ),
        (
            "demo",
            (),
            "log.online_probe",
            "needs labels: give data.classes (of films data.label), or write null here",
        ),
        (
            "demo",
            ("data.classes=[a, b]", "data.labels=many"),
            "log.online_probe",
            "names one class of a clip, and data.labels=many gives several; write null here",
        ),
        (
            "demo",
            ("data.classes=[a, b]", "train.micro_batch=2"),
            "log.online_probe.clips",
            "a micro-batch has 2 clips; use at most as many",
        ),
    ],
)
def test_an_online_probe_without_labels_or_an_encoder_is_refused(recipe, overrides, key, message):
    probe = "log.online_probe={clips: 4}"
    with pytest.raises(RecipeError) as caught:
        load_recipe(recipe, [*overrides, probe])
    assert caught.value.problems == (f'override "{probe}": {key}: {message}',)
    assert load_recipe("demo", ["data.classes=[a, b]", probe]).log.online_probe.every_steps == 10


@pytest.mark.parametrize(
    ("task", "needed"),
    [
        ("latent_prediction", "LatentPredictor"),
        ("latent_horizon", "LatentPredictor"),
        ("pen_strokes", "Encoder"),
    ],
)
@pytest.mark.parametrize("recipe", ["video_diffusion_tiny", "leworldmodel_two_rooms"])
def test_a_task_that_the_method_does_not_suit_is_refused_with_its_place(recipe, task, needed):
    with pytest.raises(RecipeError) as caught:
        load_recipe(recipe, [f"evaluation=[{{name: held_out_loss}}, {{name: {task}}}]"])
    method = load_recipe(recipe).method.name
    assert caught.value.problems == (
        f'override "evaluation=[{{name: held_out_loss}}, {{name: {task}}}]": evaluation.1.name: '
        f"{task} measures a {needed}, which {method} is not; leave it out",
    )


def test_held_out_clips_that_come_as_a_stream_are_refused_before_training():
    with pytest.raises(RecipeError) as caught:
        load_recipe("demo", ["data.held_out.shards=https://a.org/a.tar"])
    assert caught.value.problems == (
        'override "data.held_out.shards=https://a.org/a.tar": data.held_out.shards: is a stream, '
        "and tasks measure on shards of a file system; name such shards",
    )


def test_a_task_that_there_is_not_is_answered_with_file_and_line(recipe_file):
    Path("typo.yaml").write_text(f"{TEXT}evaluation:\n- {{name: latent_predictions}}\n")
    with pytest.raises(RecipeError) as caught:
        load_recipe("typo.yaml")
    assert caught.value.problems == (
        'typo.yaml:21: evaluation.0.name: "latent_predictions" is not a choice here; did you mean '
        '"latent_prediction"?',
    )
    assert problems("evaluation=[{name: x}]") == [
        'override "evaluation=[{name: x}]": evaluation.0.name: "x" is not a choice here; known: '
        f"{', '.join(sorted(TASKS))}"
    ]


def test_tasks_are_set_by_their_names():
    recipe = load_recipe("demo", ["evaluation.pen_strokes.splits=1"])
    assert [task.name for task in recipe.evaluation] == ["latent_prediction", "pen_strokes"]
    assert recipe.evaluation[1].splits == 1


OLD_EVALUATION = {"max_clips": 9, "batch_size": 2, "mask_seeds": [5], "probes": {"splits": 1}}
SAME_TASKS = [
    {"name": "latent_prediction", "max_clips": 9, "batch_size": 2, "mask_seeds": [5]},
    {"name": "pen_strokes", "batch_size": 2, "splits": 1},
]


def test_an_older_form_of_evaluation_is_told_what_to_write_instead(recipe_file):
    Path("old.yaml").write_text(f"{TEXT}evaluation: {json.dumps(OLD_EVALUATION)}\n")
    with pytest.raises(RecipeError) as caught:
        load_recipe("old.yaml")
    (problem,) = caught.value.problems
    start = "old.yaml:20: evaluation: is a list of tasks; write "
    assert problem.startswith(start)
    assert parse_value(problem.removeprefix(start), name="test") == SAME_TASKS


@pytest.mark.parametrize("probes", [True, False])
def test_an_older_evaluation_that_a_run_has_stored_is_read_as_tasks(tmp_path, probes):
    values = resolved_values(load_recipe("demo"))
    values["evaluation"] = OLD_EVALUATION if probes else {**OLD_EVALUATION, "probes": None}
    (tmp_path / "stored.yaml").write_text(write_yaml(values))
    read = load_stored_recipe(tmp_path / "stored.yaml")
    tasks = SAME_TASKS if probes else SAME_TASKS[:1]
    assert read == load_recipe("demo", [f"evaluation={json.dumps(tasks)}"])


def test_each_mask_group_needs_a_mask_token(recipe_file):
    masks = "method.masks=[{name: multiblock3d}, {name: multiblock3d}, {name: multiblock3d}]"
    assert problems(masks) == [
        "small.yaml:6: method.predictor.mask_tokens: 2 mask tokens cannot serve 3 mask groups; "
        "use 3"
    ]


def test_shared_mask_tokens_are_one_or_one_for_each_clip_length(recipe_file):
    clips = [f"{{name: s{n}, shards: x, clip: {{frames: {n}}}}}" for n in (4, 8, 16)]
    overrides = ("method.mask_token=shared", f"data.sources=[{', '.join(clips)}]")
    assert problems(*overrides) == [
        "small.yaml:6: method.predictor.mask_tokens: 2 mask tokens cannot serve 3 clip lengths; "
        "use 3 or 1"
    ]
    for enough in (1, 3):
        load_recipe(recipe_file, (*overrides, f"method.predictor.mask_tokens={enough}"))


def test_masks_that_leave_no_context_are_refused_with_their_place(recipe_file):
    (problem,) = problems("method.masks.0={name: multiblock3d, spatial_scale: [1.0, 1.0], "
                          "aspect_ratio: [1.0, 1.0]}")  # fmt: skip
    assert "method.masks.0: " in problem
    assert "context" in problem


def test_masks_of_images_are_refused_for_videos(recipe_file):
    (problem,) = problems("method.masks.0={name: multiblock2d}")
    assert "method.masks.0: " in problem
    assert "use multiblock3d" in problem


def test_a_moved_key_is_told_its_new_place(recipe_file):
    assert problems("masks=[{name: multiblock3d}]") == [
        'override "masks=[{name: multiblock3d}]": masks: has moved; write it as method.masks'
    ]


def test_what_a_run_of_an_older_version_has_stored_is_read(recipe_file):
    recipe = load_recipe(recipe_file)
    values = resolved_values(recipe)
    values["masks"] = values["method"].pop("masks")
    Path("old.yaml").write_text(write_yaml(values))
    assert load_stored_recipe(Path("old.yaml")) == recipe


def test_data_is_of_videos_where_an_older_recipe_does_not_say(recipe_file, tmp_path):
    recipe = load_recipe(recipe_file)
    assert recipe.data.name == "data/videos"
    old = resolved_values(recipe)
    assert old["data"].pop("name") == "data/videos"
    assert old["data"].pop("classes") is None
    (tmp_path / "stored.yaml").write_text(write_yaml(old))
    assert resolved_yaml(load_stored_recipe(tmp_path / "stored.yaml")) == resolved_yaml(recipe)


@pytest.mark.parametrize(
    ("override", "problem"),
    [
        (
            "data.name=data/trajectory",
            'data.name: "data/trajectory" is not a choice here; did you mean "data/trajectories"?',
        ),
        (
            "data={name: data/trajectories, sources: [{shards: a.tar}], steps: 4}",
            "data.name: gives trajectories, but jepa/vjepa takes clips; use data/videos",
        ),
        (
            "data={name: data/trajectories, sources: [{shards: a.tar}], frames: 4, steps: 4}",
            "data.frames: unknown key; did you mean",
        ),
    ],
)
def test_a_kind_of_data_that_does_not_go_is_told_in_one_line(recipe_file, override, problem):
    (found,) = problems(override)
    assert found.startswith(f'override "{override}": {problem}')


def test_a_method_of_episodes_names_the_kind_of_data_that_has_them():
    data = "data={sources: [{shards: a.tar, clip: {frames: 2}}], augment: {size: 32}}"
    with pytest.raises(RecipeError, match=r"takes trajectories; use data/trajectories"):
        load_recipe("leworldmodel_two_rooms", ["data.name=data/videos", data])


def test_micro_batches_that_do_not_fill_the_global_batch_are_refused(recipe_file):
    (problem,) = problems("train.micro_batch=3")
    assert problem.startswith("small.yaml:18: train: ")
    assert "use train.micro_batch=2" in problem


def test_problems_of_several_parts_are_reported_at_once(recipe_file):
    found = problems("data.augment.size=100", "optim.lr.warmup_steps=21", "log.image_every=5")
    assert len(found) == 3


def test_an_unknown_recipe_is_suggested(recipe_file):
    with pytest.raises(RecipeError) as caught:
        load_recipe("vjepa2_vit1")
    assert "did you mean " in str(caught.value)
    assert "vjepa2_vit" in str(caught.value).split("did you mean")[1]


def test_a_recipe_of_the_working_directory_hides_the_shipped_one(recipe_file):
    Path("recipes").mkdir()
    Path("recipes/demo.yaml").write_text(TEXT.replace("name: small", "name: demo"))
    assert load_recipe("demo").source == "a test"
    assert "vjepa2_vitl" in recipe_names()


def test_an_installed_package_brings_its_recipes(tmp_path, monkeypatch):
    package = tmp_path / "site" / "worldmodel_train"
    (package / "recipes").mkdir(parents=True)
    (tmp_path / "site" / "recipes").mkdir()  # somebody else's: there is no checkout here
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(worldmodel_train, "__file__", str(package / "__init__.py"))
    assert recipe_folders() == [package / "recipes"]


def test_the_schema_describes_every_key_and_lets_a_file_extend_another(recipe_file):
    schema = recipe_schema()
    assert json.loads(json.dumps(schema)) == schema
    assert set(Recipe.model_fields) | {"extends"} == set(schema["properties"])
    assert schema["additionalProperties"] is False
    assert "required" not in schema
    tags = schema["properties"]["method"]["discriminator"]["mapping"]
    assert set(tags) >= {"jepa/vjepa", "jepa/leworldmodel", "renderers/video_diffusion"}
    assert schema["properties"]["train"]["description"] == "Length, batch and hardware of the run."


def test_a_method_that_does_not_act_is_refused_for_episodes_that_a_run_acts_out(tmp_path):
    recipe = Path(__file__).parents[1] / "recipes" / "leworldmodel_two_rooms.yaml"
    before, _, after = recipe.read_text().partition("data:\n")
    collected = (
        "data: {name: data/collected, env: envs/two_rooms, steps: 2, random_episodes: 1, "
        "every_steps: 9}\n"
    )
    path = tmp_path / "walker.yaml"
    path.write_text(before + collected + "\noptim:" + after.partition("\noptim:")[2])
    message = (
        r"walker\.yaml:\d+: data\.name.* acts by the method's policy, and jepa/leworldmodel has"
    )
    with pytest.raises(RecipeError, match=message):
        load_recipe(str(path))


def test_a_world_that_there_is_not_is_named_before_anything_is_built():
    recipe = load_recipe("tdmpc2_pendulum", ["data.env=Pendulm-v1"])
    with pytest.raises(ValueError, match=r"data\.env=Pendulm-v1: .*Did you mean: `Pendulum`"):
        check_data(recipe)

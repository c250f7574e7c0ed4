"""Every shipped recipe can be trusted: it parses, says where it is from and what it costs."""

import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

from worldmodel_train.config.origins import FileLine
from worldmodel_train.jepa.masked_cost import MaskedCost
from worldmodel_train.recipe import load_recipe, read_recipe

FOLDER = Path(__file__).parents[2] / "recipes"
FILES = sorted(FOLDER.glob("*.yaml"))
NAMES = [path.stem for path in FILES]

PROMISED = {
    "demo", "vjepa2_vits", "vjepa2_vitb", "vjepa2_vitl", "vjepa2_vith", "vjepa2_vitg",
    "vjepa2_vitl_cooldown", "vjepa2_vith_cooldown", "vjepa2_vitg_cooldown", "vjepa_vitl",
    "ijepa_vith14", "video_diffusion_tiny", "vjepa2_ac_vitg_droid", "vjepa2_ac_bridge_tiny",
    "pldm_wall", "pldm_two_rooms", "dino_wm_wall", "dino_wm_two_rooms", "vjepa21_vitb",
    "vjepa21_vitl", "vjepa21_vitg", "vjepa21_vitgigantic", "vjepa21_vitl_cooldown",
    "vjepa21_vitg_cooldown", "vjepa21_vitgigantic_cooldown", "vjepa21_films", "vjepa_films",
}  # fmt: skip


class Stated(NamedTuple):
    """The size of a run as its source states it."""

    nodes: int
    gpus: int
    micro_batch: int
    epochs: int
    steps_an_epoch: int


RELEASED = {
    # facebookresearch/vjepa2 c2963a4, configs/train: nodes, tasks_per_node, batch_size, epochs, ipe
    "vjepa2_vitg": Stated(16, 8, 24, 800, 300),
    "vjepa2_vitl_cooldown": Stated(32, 8, 12, 40, 300),
    "vjepa2_vith_cooldown": Stated(32, 8, 12, 40, 300),
    # cooldown-384px-64f: that for 256 px differs in its 4 epochs of 30 steps
    "vjepa2_vitg_cooldown": Stated(64, 8, 6, 40, 300),
    # the files say 10 epochs of 300; 240k steps are the paper's (arXiv 2506.09985) for ViT-g
    "vjepa2_vitl": Stated(16, 8, 24, 800, 300),
    "vjepa2_vith": Stated(16, 8, 24, 800, 300),
    # facebookresearch/jepa 51c59d5, configs/pretrain/vitl16.yaml
    "vjepa_vitl": Stated(16, 8, 24, 300, 300),
    # facebookresearch/ijepa 52c1ae9, configs/in1k_vith14_ep300.yaml and README (2 nodes of 8)
    "ijepa_vith14": Stated(2, 8, 128, 300, 1_281_167 // 2048),
}
OWN = {
    "demo": Stated(1, 1, 32, 1, 400),
    "vjepa2_vits": Stated(1, 4, 64, 1, 80_000),
    "vjepa2_vitb": Stated(1, 8, 32, 1, 80_000),
}

EVALUATED = {
    # the same, configs/eval/vitl: nodes, tasks_per_node, batch_size, num_epochs, and the videos of
    # the set over the batch
    "eval_ssv2_vitl": Stated(8, 8, 4, 20, round(168_913 / 256)),
    "eval_k400_vitl": Stated(8, 8, 4, 20, round(240_618 / 256)),
    "eval_diving48_vitl": Stated(8, 8, 2, 100, round(15_027 / 128)),
    "eval_in1k_vitl": Stated(8, 8, 16, 20, round(1_281_167 / 1024)),
}
ANTICIPATED = {
    # configs/eval/vitl/ek100.yaml, and EPIC_100_train.csv
    "eval_ek100_vitl": Stated(8, 8, 2, 20, 67_217 // 128),
}
ACTION_CONDITIONED = {
    # configs/train/vitg16/droid-256px-8f.yaml
    "vjepa2_ac_vitg_droid": Stated(4, 8, 8, 315, 300),
    # wall/icml/seqlen17_3M.yaml: epochs and one more, of 3 million transitions by 16
    "pldm_wall": Stated(1, 1, 64, 11, 3_000_000 // 16 // 64 + 1),
    # 1728 episodes of 41 windows (recalled)
    "dino_wm_wall": Stated(1, 1, 32, 100, 1728 * 41 // 32),
}
# facebookresearch/vjepa2, configs/train_2_1: nodes, tasks_per_node, videos and images of a rank in
# the mean (half of the ranks have twice batch_size videos, the others img_data.batch_size images)
WITH_IMAGES = {
    "vjepa21_vitb": Stated(8, 8, 48 + 144 // 2, 1000, 300),
    "vjepa21_vitl": Stated(16, 8, 24 + 72 // 2, 1000, 300),
    "vjepa21_vitg": Stated(16, 8, 24 + 72 // 2, 1000, 300),
    "vjepa21_vitgigantic": Stated(32, 8, 12 + 36 // 2, 1000, 300),
    "vjepa21_vitl_cooldown": Stated(32, 8, 12 + 72 // 2, 40, 300),
    "vjepa21_vitg_cooldown": Stated(32, 8, 12 + 72 // 2, 40, 300),
    "vjepa21_vitgigantic_cooldown": Stated(64, 8, 6 + 36 // 2, 40, 300),
}
# batch and epochs of the papers (of VICReg's and SimCLR's, which are of a ResNet-50, the batch
# alone), on 1,281,167 images, or VideoMAE's 240k videos; nodes and micro-batches are our choice
BASELINES = {
    "simclr_vitb": Stated(4, 8, 128, 300, 313),
    "mocov3_vitb": Stated(4, 8, 128, 300, 313),
    "vicreg_vitb": Stated(2, 8, 128, 300, 626),
    "dino_vits": Stated(2, 8, 64, 100, 1251),
    "mae_vitb": Stated(2, 8, 256, 800, 313),
    "videomae_vitb": Stated(4, 8, 32, 800, 235),
    "image_world_model_vitb": Stated(2, 8, 64, 300, 1251),
    # configs/dseqjepa/vitb16_in1k.yaml: batch_size_per_replica, epochs; 8 GPUs are our choice
    "dseq_jepa_vitb": Stated(1, 8, 256, 600, 1_281_167 // 2048),
    # scripts/script_transformed_views.sh, one GPU; an epoch of Tiny ImageNet has 100,000 images
    "seq_jepa_tiny_imagenet": Stated(1, 1, 512, 1000, 195),
}
WITHOUT_COST = ANTICIPATED | ACTION_CONDITIONED | WITH_IMAGES | BASELINES

OURS = re.compile(r"our own\b")
"""How the source of a recipe begins whose sizes are from nowhere else."""

BUDGET = re.compile(
    r"# Budget \(`wmt show --cost (\w+)`\): ([\d,]+) tokens a clip,\n"
    r"# ([\d,]+) steps of ([\d,]+) clips, ([\d.,]+) GFLOP a clip, ([\d.e+]+) FLOP a run"
)


@cache
def load(name):
    """A recipe, read once: reading draws masks of its size."""
    return load_recipe(str(FOLDER / f"{name}.yaml"))


def number(text):
    return float(text.replace(",", ""))


def test_every_promised_recipe_is_shipped():
    assert set(NAMES) >= PROMISED


@pytest.fixture(params=FILES, ids=NAMES)
def path(request):
    return request.param


def test_it_parses_and_is_named_as_its_file(path):
    assert load(path.stem).name == path.stem


def test_it_begins_with_a_comment_that_says_its_source(path):
    comment = path.read_text().partition("\nname:")[0]
    assert re.match(r"# .+", comment)
    assert re.search(r"^# Source: .+", comment, flags=re.MULTILINE)


def test_its_budget_is_what_the_cost_code_says(path):
    match = BUDGET.search(path.read_text())
    recipe = load(path.stem)
    cost = recipe.method.cost(recipe.facts)
    if not isinstance(cost, MaskedCost):
        assert path.stem not in RELEASED | OWN, "what has a size has a cost"
        assert match is None, f"{path.name} states a budget that nothing counts"
        return
    (length,) = cost.lengths
    gflop = cost.clip.total.total / 1e9
    run_flops = 1e9 * gflop * recipe.train.steps * recipe.train.global_batch
    expected = (
        f"# Budget (`wmt show --cost {recipe.name}`): {length.grid.num_tokens:,} tokens a clip,\n"
        f"# {recipe.train.steps:,} steps of {recipe.train.global_batch:,} clips, "
        f"{gflop:,.{0 if gflop >= 10 else 1}f} GFLOP a clip, {run_flops:.2g} FLOP a run"
    )
    assert match, f"write into {path.name}:\n{expected}"
    assert match[1] == recipe.name
    stated = [number(text) for text in match.groups()[1:]]
    counted = [length.grid.num_tokens, recipe.train.steps, recipe.train.global_batch]
    assert stated[:3] == counted, f"write into {path.name}:\n{expected}"
    assert stated[3:] == pytest.approx([gflop, run_flops], rel=0.05), expected


def test_it_is_our_own_or_its_source_states_its_size(path):
    assert path.stem in RELEASED | EVALUATED | WITHOUT_COST or OURS.match(load(path.stem).source)


@pytest.mark.parametrize("name", RELEASED | OWN | WITHOUT_COST)
def test_its_micro_batch_and_steps_are_those_of_its_source(name):
    stated, train = (RELEASED | OWN | WITHOUT_COST)[name], load(name).train
    assert train.micro_batch == stated.micro_batch
    assert train.global_batch == stated.nodes * stated.gpus * stated.micro_batch
    assert train.steps == stated.epochs * stated.steps_an_epoch


@pytest.mark.parametrize("name", EVALUATED)
def test_an_evaluation_sees_all_clips_of_a_video_and_as_many_videos_as_its_source(name):
    stated, recipe = EVALUATED[name], load(name)
    segments = recipe.method.segments
    assert recipe.data.loader.clips_per_video == segments
    assert recipe.train.micro_batch == stated.micro_batch * segments
    assert recipe.train.global_batch == stated.nodes * stated.gpus * recipe.train.micro_batch
    assert recipe.train.steps == stated.epochs * stated.steps_an_epoch
    assert recipe.data.held_out.protocol == "vjepa2"


@pytest.mark.parametrize(
    ("name", "rates", "decays"),
    [
        ("eval_ssv2_vitl", [5e-3, 3e-3, 1e-3, 3e-4, 1e-4], [0.01, 0.1, 0.4, 0.8]),
        ("eval_k400_vitl", [5e-3, 3e-3, 1e-3, 3e-4, 1e-4], [0.01, 0.1, 0.4, 0.8]),
        ("eval_diving48_vitl", [1e-3, 3e-4, 1e-4], [0.8]),
        ("eval_in1k_vitl", [2e-3, 1.5e-3, 1e-3, 5e-4], [8e-3, 4e-3, 2e-3, 1e-3, 5e-4]),
        ("eval_ek100_vitl", [5e-3, 3e-3, 1e-3, 3e-4, 1e-4], [1e-4, 1e-3, 1e-2, 1e-1]),
    ],
)
def test_probes_try_the_released_rates_and_decays(name, rates, decays):
    recipe = load(name)
    rate, decay = recipe.optim.lr.at(0, 1), recipe.optim.weight_decay.at(0, 1)
    assert [rate * scale for scale in recipe.method.grid.rates] == pytest.approx(rates)
    assert [decay * scale for scale in recipe.method.grid.decays] == pytest.approx(decays)


def test_probes_of_diving_see_four_layers_as_released():
    """Counted from 0, out_layers are 17, 19, 21 and 23; other probes see the last alone."""
    assert load("eval_diving48_vitl").method.layers == (18, 20, 22, 24)
    assert load("eval_ssv2_vitl").method.layers is None


@pytest.mark.parametrize("name", EVALUATED | ANTICIPATED)
def test_evaluations_augment_as_released(name):
    """rand-m7-n4-mstd0.5-inc1 for videos, and a box erased from a quarter of all clips."""
    augment = load(name).data.augment
    changes, erasing = augment.rand_augment, augment.erasing
    if name == "eval_in1k_vitl":
        assert changes is None  # AutoAugment there
    else:
        assert (changes.operations, changes.magnitude, changes.magnitude_std) == (4, 7, 0.5)
    assert erasing.probability == 0.25
    assert erasing.area == pytest.approx((0.02, 1 / 3), rel=1e-3)
    assert erasing.aspect == pytest.approx((0.3, 1 / 0.3), rel=1e-3)
    assert augment.scale == (0.08, 1.0)


def test_all_of_it_stands_in_shipped_recipes(path):
    origins = read_recipe(str(path)).origins.values()
    files = {Path(origin.file).resolve().parent for origin in origins}
    assert all(isinstance(origin, FileLine) for origin in origins)
    assert files == {FOLDER}


@pytest.mark.parametrize("size", ["l", "h", "g"])
def test_a_cooldown_changes_clips_length_and_learning_rate_only(size):
    parent, child = load(f"vjepa2_vit{size}"), load(f"vjepa2_vit{size}_cooldown")
    assert child.method == parent.method
    assert child.method.masks == parent.method.masks
    assert child.optim.model_copy(update={"lr": parent.optim.lr}) == parent.optim
    assert {source.clip.frames for source in child.data.sources} == {64}
    assert child.train.init is not None
    assert child.train.init.optimizer
    assert child.train.init.checkpoint == parent.run_path


def test_the_cooldown_ends_where_the_released_schedule_ends():
    recipe = load("vjepa2_vitl_cooldown")
    start, end = (recipe.optim.lr.at(step, recipe.train.steps) for step in (0, recipe.train.steps))
    assert start == pytest.approx(5.25e-4)
    assert end == pytest.approx(1.06e-4, rel=2e-3)


@pytest.mark.parametrize("name", RELEASED | OWN)
def test_reproductions_truncate_as_released_and_our_own_without_bias(name):
    expected = "random" if name in OWN else "late"
    assert {mask.truncate for mask in load(name).method.masks} == {expected}


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("vjepa2")])
def test_our_own_training_uses_the_correct_rotation(name):
    method = load(name).method
    rotated = method.predictor if name.startswith("vjepa2_ac") else method.encoder
    expected = "rope3d_interpolated" if name.startswith("vjepa21") else "rope3d"
    assert rotated.position.name == expected


@pytest.mark.parametrize("name", ["vjepa_vitl", "ijepa_vith14"])
def test_the_first_jepas_warm_up_for_forty_epochs(name):
    assert load(name).optim.lr.warmup_steps == 40 * RELEASED[name].steps_an_epoch


def test_the_first_vjepa_takes_every_fourth_frame():
    sources = load("vjepa_vitl").data.sources
    rates = {"k710": 30, "ssv2": 12, "howto": 30}
    assert {source.name: source.clip.fps * 4 for source in sources} == rates


def test_the_first_vjepa_clips_each_network_at_ten_an_epoch_after_the_warmup():
    optim = load("vjepa_vitl").optim
    assert optim.clipping_at(41 * 300 - 1) is None
    clip = optim.clipping_at(41 * 300)
    assert clip is not None
    assert (clip.norm, clip.of) == (10, "each_part")


@pytest.mark.parametrize("name", RELEASED)
def test_residual_streams_are_as_released(name):
    method = load(name).method
    assert method.predictor.stream == "fp32"
    assert method.encoder.stream == ("fp32" if name == "ijepa_vith14" else "train")


@pytest.mark.parametrize("name", WITH_IMAGES)
def test_vjepa21_weighs_videos_and_images_as_their_shares_of_the_released_batch(name):
    recipe, stated = load(name), WITH_IMAGES[name]
    weights = {source.name: source.weight for source in recipe.data.sources}
    videos = 3072 / (stated.nodes * stated.gpus * stated.micro_batch)
    expected = {"k710": 0.335 * videos, "ssv2": 0.1 * videos, "howto": 0.565 * videos}
    assert weights == pytest.approx(expected | {"imagenet": 1 - videos}, rel=1e-6)


@pytest.mark.parametrize("size", ["l", "g", "gigantic"])
def test_a_cooldown_of_vjepa21_has_longer_videos_and_counts_visible_tokens_alike(size):
    parent, child = load(f"vjepa21_vit{size}"), load(f"vjepa21_vit{size}_cooldown")
    changed = {"context": child.method.context}
    assert child.method == parent.method.model_copy(update=changed)
    assert (child.method.context.weight_at(0), child.method.context.far) == (0.5, "alike")
    assert [source.clip.frames for source in child.data.sources] == [64, 64, 64, 1]
    assert child.optim.model_copy(update={"lr": parent.optim.lr}) == parent.optim
    assert child.train.init.checkpoint == parent.run_path


def test_the_numbers_of_vjepa21_are_the_released_ones():
    recipe = load("vjepa21_vitg")
    method, lr = recipe.method, recipe.optim.lr
    size = method.predictor
    assert (size.width, size.depth, size.heads, size.stream) == (384, 24, 12, "fp32")
    assert (lr.start, lr.peak, lr.warmup_steps) == (1e-4, 6e-4, 12_000)
    assert (recipe.optim.ema.value, recipe.optim.weight_decay.value) == (0.99925, 0.04)
    context = method.context
    assert [context.weight_at(step) for step in (15_000, 22_500, 30_000)] == [0, 0.25, 0.5]
    assert [mask.num_blocks for mask in (*method.masks, *method.image_masks)] == [8, 2, 10]
    assert {mask.truncate for mask in (*method.masks, *method.image_masks)} == {"late"}


def test_ijepa_does_not_flip():
    assert load("ijepa_vith14").data.augment.flip == 0.0


def test_the_numbers_of_vjepa2_are_the_published_ones():
    recipe = load("vjepa2_vitg")
    assert recipe.train.global_batch == 3072
    assert recipe.train.steps == 240_000
    assert recipe.optim.betas == (0.9, 0.999)
    assert recipe.optim.eps == 1e-8
    assert recipe.optim.clipping is None
    lr = recipe.optim.lr
    assert (lr.start, lr.peak, lr.warmup_steps) == (1e-4, 5.25e-4, 12_000)
    assert (recipe.optim.ema.value, recipe.optim.weight_decay.value) == (0.99925, 0.04)
    assert [source.weight for source in recipe.data.sources] == [0.335, 0.1, 0.565]


def test_the_numbers_of_vjepa2_ac_are_the_published_ones():
    """Eight frames, of which the last is predicted only; warmup and decay of 15 epochs of 300."""
    recipe = load("vjepa2_ac_vitg_droid")
    method, optim, data = recipe.method, recipe.optim, recipe.data
    size = method.predictor
    assert (size.width, size.depth, size.heads, size.mlp_ratio) == (1024, 24, 16, 4.0)
    assert (data.steps, method.history, method.rollout) == (8, 7, 2)
    assert (data.size, data.frameskip) == (256, 1)  # packed as every fourth of 15 rows a second
    assert [optim.lr.at(step, recipe.train.steps) for step in (0, 4500, 90_000, 94_500)] == [
        7.5e-5, 4.25e-4, 4.25e-4, 0.0,
    ]  # fmt: skip
    assert optim.lr.at(2250, recipe.train.steps) == pytest.approx((7.5e-5 + 4.25e-4) / 2)
    assert (optim.betas, optim.eps, optim.weight_decay.value) == ((0.9, 0.999), 1e-8, 0.04)
    assert optim.ema is optim.clipping is None
    assert recipe.train.precision == "bf16"

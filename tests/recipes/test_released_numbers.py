"""What the sources of recipes say beside sizes: schedules, masks, clipping, streams, weights."""

import pytest

from tests.recipes.stated import NAMES, RELEASED, WITH_IMAGES, load

FIRST_VJEPAS = ("vjepa_vitl", "vjepa_vith", "vjepa_vith_384")
OF_22K = ("ijepa_vith14_in22k", "ijepa_vitg16")
FIRST_JEPAS = ("ijepa_vith14", "ijepa_vith16_448", *OF_22K)


COOLED = {f"vjepa2_vit{size}_cooldown": f"vjepa2_vit{size}" for size in "lhg"}
COOLED["vjepa2_vitg384_cooldown"] = "vjepa2_vitg"


@pytest.mark.parametrize(("child", "parent"), COOLED.items())
def test_a_cooldown_changes_clips_length_and_learning_rate_only(child, parent):
    parent, child = load(parent), load(child)
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


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("vjepa2")])
def test_our_own_training_uses_the_correct_rotation(name):
    method = load(name).method
    rotated = method.predictor if name.startswith("vjepa2_ac") else method.encoder
    expected = "rope3d_interpolated" if name.startswith("vjepa21") else "rope3d"
    assert rotated.position.name == expected


@pytest.mark.parametrize("name", [*FIRST_VJEPAS, *FIRST_JEPAS])
def test_the_first_jepas_warm_up_for_forty_epochs_or_three_of_many_images(name):
    epochs = 3 if name in OF_22K else 40
    assert load(name).optim.lr.warmup_steps == epochs * RELEASED[name].steps_an_epoch


@pytest.mark.parametrize("name", FIRST_VJEPAS)
def test_the_first_vjepa_takes_every_fourth_frame(name):
    sources = load(name).data.sources
    rates = {"k710": 30, "ssv2": 12, "howto": 30}
    assert {source.name: source.clip.fps * 4 for source in sources} == rates


@pytest.mark.parametrize("name", FIRST_VJEPAS)
def test_the_first_vjepa_clips_each_network_at_ten_an_epoch_after_the_warmup(name):
    optim = load(name).optim
    assert optim.clipping_at(41 * 300 - 1) is None
    clip = optim.clipping_at(41 * 300)
    assert clip is not None
    assert (clip.norm, clip.of) == (10, "each_part")


@pytest.mark.parametrize("name", RELEASED)
def test_residual_streams_are_as_released(name):
    method = load(name).method
    assert method.predictor.stream == "fp32"
    assert method.encoder.stream == ("fp32" if name in FIRST_JEPAS else "train")


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


@pytest.mark.parametrize(
    ("name", "patch", "size", "blocks"),
    [
        ("ijepa_vith14", 14, 224, 12),
        ("ijepa_vith16_448", 16, 448, 12),
        ("ijepa_vith14_in22k", 14, 224, 12),
        ("ijepa_vitg16", 16, 224, 16),
    ],
)
def test_ijepas_differ_in_patch_size_and_predictor_and_none_flips(name, patch, size, blocks):
    recipe, first = load(name), load("ijepa_vith14")
    assert recipe.data.augment == first.data.augment.model_copy(update={"size": size})
    assert recipe.data.augment.flip == 0.0
    assert (recipe.method.encoder.patch, recipe.method.predictor.depth) == (patch, blocks)
    assert recipe.method.predictor.width == 384
    assert recipe.method.masks == first.method.masks
    assert recipe.optim.ema == first.optim.ema


def test_the_vit_g_of_ijepa_is_the_released_one():
    blocks = load("ijepa_vitg16").method.encoder.blocks
    assert (blocks.width, blocks.depth, blocks.heads, blocks.mlp_width) == (1408, 40, 16, 6144)


def test_the_larger_first_vjepas_differ_in_encoder_and_size_only():
    first, huge, larger = (load(name) for name in FIRST_VJEPAS)
    assert huge.method.masks == first.method.masks
    assert huge.optim == larger.optim == first.optim
    assert huge.data == first.data
    assert larger.method == huge.method
    assert larger.data.augment == huge.data.augment.model_copy(update={"size": 384})
    assert load("vjepa2_vitg384_cooldown").data.augment.size == 384


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

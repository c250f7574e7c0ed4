"""V-JEPA 2.1 as a run on videos with images among them."""

import pytest
import torch

from worldmodel_train.cli.run_spec import pretrain_parts
from worldmodel_train.recipe import load_recipe
from worldmodel_train.training.checkpoints.reader import read_weights
from worldmodel_train.training.run import pretrain

METHOD = (
    "method={name: jepa/vjepa21,"
    " encoder: {size: {width: 48, depth: 4, heads: 2}, patch: 16, tubelet: 2},"
    " predictor: {width: 32, depth: 1, heads: 2}, context: {from_step: 1, full_at: 3},"
    " masks: [{name: multiblock3d, num_blocks: 2}],"
    " image_masks: [{name: multiblock3d, num_blocks: 4}]}"
)
SHARDS = "shards: 'assets:demo/train/*.tar'"
SOURCES = (
    f"data.sources=[{{name: videos, {SHARDS}, clip: {{frames: 4, fps: 8}}}},"
    f" {{name: images, {SHARDS}, clip: {{frames: 1}}}}]"
)
SMALL = (
    "data.held_out=null", "evaluation=null", "data.loader.workers=0", "data.augment.size=64",
    "log.every_steps=1", "log.image_every=null", "checkpoint={every_steps: 2, keep_last: 2}",
    "train.global_batch=6", "train.micro_batch=3", "optim.lr={name: constant, value: 1e-3}",
    "optim.ema={name: constant, value: 0.99}",
)  # fmt: skip


@pytest.fixture
def pretrained(tmp_path):
    def train(folder, steps):
        more = (f"train.steps={steps}", f"run_dir={tmp_path / folder}")
        recipe = load_recipe("demo", (METHOD, SOURCES, *SMALL, *more))
        return pretrain(pretrain_parts(recipe, "auto"))

    return train


@pytest.mark.slow
def test_it_learns_from_videos_and_images_and_is_resumed_exactly(pretrained, tmp_path):
    """The weight of visible tokens is 0, 0, 1/4 and 1/2 in the four steps, in both runs."""
    whole = pretrained("whole", 4)
    pretrained("resumed", 2)
    resumed = pretrained("resumed", 4)
    one, other = (read_weights(result.checkpoint) for result in (whole, resumed))
    assert all(torch.equal(one[name], other[name]) for name in one)
    first = read_weights(tmp_path / "whole" / "checkpoints" / "step_00000002")
    for tokenizer in ("patch_embed", "image_embed"):
        name = f"context_encoder.{tokenizer}.proj.weight"
        assert not torch.equal(first[name], one[name])

"""The sizes of runs as the sources of shipped recipes state them."""

from functools import cache
from pathlib import Path
from typing import NamedTuple

from worldmodel_train.recipe import load_recipe

FOLDER = Path(__file__).parents[2] / "recipes"
FILES = sorted(FOLDER.glob("*.yaml"))
NAMES = [path.stem for path in FILES]


@cache
def load(name):
    """A recipe, read once: reading draws masks of its size."""
    return load_recipe(str(FOLDER / f"{name}.yaml"))


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
    "vjepa2_vitg384_cooldown": Stated(64, 8, 6, 40, 300),
    # the files say 10 epochs of 300; 240k steps are the paper's (arXiv 2506.09985) for ViT-g
    "vjepa2_vitl": Stated(16, 8, 24, 800, 300),
    "vjepa2_vith": Stated(16, 8, 24, 800, 300),
    # facebookresearch/jepa 51c59d5, configs/pretrain/vitl16.yaml
    "vjepa_vitl": Stated(16, 8, 24, 300, 300),
    "vjepa_vith": Stated(16, 8, 24, 300, 300),
    "vjepa_vith_384": Stated(30, 8, 10, 300, 300),
    # facebookresearch/ijepa 52c1ae9, configs/in1k_vith14_ep300.yaml and README (2 nodes of 8)
    "ijepa_vith14": Stated(2, 8, 128, 300, 1_281_167 // 2048),
    # the same, batch_size, epochs and the README's batch of 2048; ImageNet-22k by its 2011 release
    "ijepa_vith16_448": Stated(16, 8, 16, 300, 1_281_167 // 2048),
    "ijepa_vith14_in22k": Stated(8, 8, 32, 66, 14_197_122 // 2048),
    "ijepa_vitg16": Stated(16, 8, 16, 44, 14_197_122 // 2048),
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
    # scripts/script_transformed_views.sh, one GPU; an epoch of Tiny ImageNet has 100,000 images
    "seq_jepa_tiny_imagenet": Stated(1, 1, 512, 1000, 195),
    # configs/dseqjepa/vitb16_in1k.yaml: batch_size_per_replica, epochs; 8 GPUs are our choice
    "dseq_jepa_vitb": Stated(1, 8, 256, 600, 1_281_167 // 2048),
    "mc_jepa_convnext_t": Stated(1, 8, 48, 100, 1_281_167 // 384),
}
# galilai-group/cjepa at 1415830: one process each; 10,000 training videos of CLEVRER an epoch for
# train_cjepa_from_slot.sh, and 230k steps in 8 epochs for stosavi_clevrer_params.py
WITH_SLOTS = {
    "causal_jepa_clevrer": Stated(1, 1, 256, 30, 10_000 // 256),
    "slots_clevrer": Stated(1, 1, 32, 8, 230_000 // 8),
}
WITHOUT_BUDGET = ANTICIPATED | ACTION_CONDITIONED | WITH_IMAGES | BASELINES | WITH_SLOTS

import pytest
import torch

from benchmarks.learning.latent_decoder import learn, score_table
from worldmodel_train.cli.objectives import build_objective
from worldmodel_train.recipe import load_recipe, resolved_yaml
from worldmodel_train.training.checkpoints.folder import CheckpointFolder
from worldmodel_train.training.checkpoints.imported import save_imported

TINY = ("method.encoder.size={width: 48, depth: 1, heads: 2}", "method.predictor.width=24",
        "method.predictor.depth=1")  # fmt: skip
SMALL = (
    "train.steps=2", "train.global_batch=4", "train.micro_batch=4", "optim.lr.warmup_steps=1",
    "data.loader.workers=0", "method.size={width: 48, depth: 1, heads: 2}", "log.image_every=null",
    "method.perceptual.depth=1",
    "evaluation=[{name: decoded_prediction, max_clips: 9, train_clips: 8, picture_clips: 1}]",
)  # fmt: skip


@pytest.mark.slow
def test_decoders_of_all_models_are_trained_and_measured_alike(tmp_path):
    recipe = load_recipe("demo", TINY)
    torch.manual_seed(0)
    state = build_objective(recipe).state_dict()
    save_imported(CheckpointFolder(tmp_path / "run"), state, resolved_yaml(recipe))
    found = learn(tmp_path / "run", tmp_path / "decoders", range(1), SMALL)
    assert found.keys() == {"trained", "perceptual", "untrained"}
    (numbers,) = found["trained"]
    means = [[n.baselines["mean picture"] for n in of_model[0]] for of_model in found.values()]
    assert means[0] == means[1] == means[2]  # it knows nothing of latents
    assert score_table("both", found["trained"]).row_count == len(
        {name for number in numbers for name in number.contenders}
    )

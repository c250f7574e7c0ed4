import pytest
import torch
from pydantic import ValidationError

from worldmodel_train.jepa.ijepa import Config
from worldmodel_train.models.vit import EncoderConfig


@pytest.mark.parametrize(("residual_init", "divisor"), [("rescaled", 2.0), ("plain", 1.0)])
def test_residual_init(residual_init, divisor):
    torch.manual_seed(0)
    config = Config.tiny().model_copy(update={"residual_init": residual_init})
    objective = config.build()
    for part in (objective.context_encoder, objective.target_encoder, objective.predictor):
        spread = part.blocks[1].mlp.fc2.weight.std().item()
        assert spread == pytest.approx(0.02 / divisor, rel=0.05)
    assert objective.predictor.mask_tokens.std().item() > 0


def test_video_tubelets_are_refused():
    tiny = Config.tiny()
    with pytest.raises(ValidationError, match="use tubelet: 1"):
        Config(
            encoder=EncoderConfig(size="vit_tiny", tubelet=2),
            predictor=tiny.predictor,
            masks=tiny.masks,
        )


def test_the_loss_is_quadratic_near_zero_and_linear_far_away():
    loss = Config.tiny().loss.loss
    zeros = torch.zeros(1, 1, 1, 4)
    assert loss(zeros + 0.5, zeros).item() == pytest.approx(0.125)
    assert loss(zeros + 3.0, zeros).item() == pytest.approx(2.5)

import pytest
import torch

from worldmodel_train.models.predictor import PredictorConfig
from worldmodel_train.models.vit import EncoderConfig
from worldmodel_train.types import Masks, TokenGrid

GRID = TokenGrid(frames=2, height=4, width=4)


@pytest.fixture(params=["rope3d", "rope3d_vjepa2", "sincos3d"])
def predictor(request):
    torch.manual_seed(0)
    size = {"width": 48, "depth": 1, "heads": 2}
    encoder = EncoderConfig.model_validate({"size": size, "position": {"name": request.param}})
    predictor = PredictorConfig(width=24, depth=2, heads=2, mask_tokens=2).build(encoder)
    for parameter in predictor.parameters():  # fresh weights hardly attend
        torch.nn.init.normal_(parameter, std=0.3)
    return predictor


@pytest.fixture
def context():
    return torch.randn(2, 9, 48, generator=torch.Generator().manual_seed(1))


def predict(predictor, context, masks, mask_token=0):
    (predicted,) = predictor([context], [masks], GRID, [mask_token])
    return predicted


@pytest.fixture
def masks():
    order = torch.stack([torch.randperm(32) for _ in range(2)])
    return Masks(context_index=order[:, :9], target_index=order[:, 9:29].unflatten(1, (4, 5)))


def test_shuffled_context_gives_the_same_predictions(predictor, context, masks):
    order = torch.randperm(9)
    shuffled = Masks(context_index=masks.context_index[:, order], target_index=masks.target_index)
    torch.testing.assert_close(
        predict(predictor, context[:, order], shuffled),
        predict(predictor, context, masks),
        rtol=1e-4,
        atol=1e-5,
    )


def test_shuffled_targets_give_shuffled_predictions(predictor, context, masks):
    order = torch.randperm(5)
    shuffled = Masks(context_index=masks.context_index, target_index=masks.target_index[..., order])
    torch.testing.assert_close(
        predict(predictor, context, shuffled),
        predict(predictor, context, masks)[:, :, order],
        rtol=1e-4,
        atol=1e-5,
    )


def test_predictions_depend_on_the_place_of_the_target(predictor, context, masks):
    predicted = predict(predictor, context, masks)
    assert torch.pdist(predicted[0, 0]).min() > 1e-2


def test_each_mask_token_predicts_its_own(predictor, context, masks):
    first, second = (predict(predictor, context, masks, i) for i in (0, 1))
    assert not torch.allclose(first, second)


def test_mask_tokens_start_at_zero_as_in_v_jepa():
    encoder = EncoderConfig.model_validate({"size": {"width": 48, "depth": 1, "heads": 2}})
    predictor = PredictorConfig(width=24, depth=1, heads=2, mask_tokens=3).build(encoder)
    assert torch.equal(predictor.mask_tokens, torch.zeros(3, 24))


def test_the_published_predictor_has_22_million_parameters():
    with torch.device("meta"):
        config = PredictorConfig(width=384, depth=12, heads=12, mask_tokens=2)
        predictor = config.build(EncoderConfig(size="vit_large"))
    assert sum(p.numel() for p in predictor.parameters()) / 1e6 == pytest.approx(22.1, abs=0.1)

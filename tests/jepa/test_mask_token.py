import pytest
import torch

from worldmodel_train.jepa.vjepa import Config
from worldmodel_train.types import ClipGroup, Masks


def group_of(num_masks):
    clips = torch.randint(0, 256, (2, 4, 16, 16, 3), dtype=torch.uint8)
    masks = Masks(
        context_index=torch.tensor([[0, 1], [2, 3]]), target_index=torch.tensor([[[4]], [[5]]])
    )
    return ClipGroup(clips=clips, masks=(masks,) * num_masks)


def test_a_shared_mask_token_serves_every_mask_group_and_the_others_none():
    torch.manual_seed(0)
    objective = Config.tiny().model_copy(update={"mask_token": "shared"}).build()
    torch.nn.init.normal_(objective.predictor.mask_tokens)
    first, second = objective.predict(group_of(2))
    assert torch.equal(first.predicted, second.predicted)
    (first.predicted.sum() + second.predicted.sum()).backward()
    gradient = objective.predictor.mask_tokens.grad
    assert gradient is not None
    assert gradient[0].any()
    assert not gradient[1].any()


def test_mask_groups_with_tokens_of_their_own_need_enough_of_them():
    torch.manual_seed(0)
    objective = Config.tiny().build()
    torch.nn.init.normal_(objective.predictor.mask_tokens)
    first, second = objective.predict(group_of(2))
    assert not torch.equal(first.predicted, second.predicted)
    with pytest.raises(ValueError, match=r"mask_tokens=2.*3 mask groups.*shared"):
        objective.predict(group_of(3))

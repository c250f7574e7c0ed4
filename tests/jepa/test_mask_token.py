from dataclasses import replace

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


def shared(mask_tokens):
    torch.manual_seed(0)
    config = Config.tiny()
    predictor = config.predictor.model_copy(update={"mask_tokens": mask_tokens})
    objective = config.model_copy(update={"mask_token": "shared", "predictor": predictor}).build()
    torch.nn.init.normal_(objective.predictor.mask_tokens)
    return objective


@pytest.mark.parametrize("length", [0, 1])
def test_a_shared_mask_token_serves_every_mask_group_of_its_clip_length_and_no_other(length):
    objective = shared(mask_tokens=2)
    group = replace(group_of(2), length_index=length)
    first, second = objective.predict(group)
    assert torch.equal(first.predicted, second.predicted)
    (first.predicted.sum() + second.predicted.sum()).backward()
    gradient = objective.predictor.mask_tokens.grad
    assert gradient is not None
    assert gradient[length].any()
    assert not gradient[1 - length].any()


def test_a_single_shared_mask_token_serves_all_clip_lengths():
    objective = shared(mask_tokens=1)
    short = group_of(1)
    (one,), (other,) = objective.predict(short), objective.predict(replace(short, length_index=1))
    assert torch.equal(one.predicted, other.predicted)


def test_mask_groups_with_tokens_of_their_own_need_enough_of_them():
    torch.manual_seed(0)
    objective = Config.tiny().build()
    torch.nn.init.normal_(objective.predictor.mask_tokens)
    first, second = objective.predict(group_of(2))
    assert not torch.equal(first.predicted, second.predicted)
    with pytest.raises(ValueError, match=r"mask_tokens=2.*3 mask groups.*shared"):
        objective.predict(group_of(3))

import torch

from worldmodel_train.jepa.monitored_tokens import MONITORED_TOKENS, monitored_tokens
from worldmodel_train.types import LatentPair


def _pair(total, valid=None):
    """Latents that tell their own row."""
    rows = torch.arange(float(total), requires_grad=True).reshape(1, 1, total, 1)
    return LatentPair(predicted=rows, target=rows.detach() + 0.5, valid=valid)


def test_few_tokens_are_all_kept():
    predicted, target, _ = monitored_tokens([[_pair(5), _pair(3)]])
    assert predicted.flatten().tolist() == [0, 1, 2, 3, 4, 0, 1, 2]
    assert torch.equal(target, predicted + 0.5)
    assert not predicted.requires_grad


def test_many_tokens_are_thinned_evenly():
    predicted, *_ = monitored_tokens([[_pair(100)]], limit=10)
    assert predicted.flatten().tolist() == list(range(0, 100, 10))
    assert len(monitored_tokens([[_pair(9000), _pair(9000)]])[0]) == MONITORED_TOKENS


def test_padding_is_left_out():
    valid = torch.tensor([False, True, True, False, True, False]).reshape(1, 1, 6)
    predicted, *_ = monitored_tokens([[_pair(6, valid)]], limit=3)
    assert predicted.flatten().tolist() == [1, 2, 4]
    predicted, *_ = monitored_tokens([[_pair(6, valid)]])
    assert set(predicted.flatten().tolist()) == {1, 2, 4}


def test_each_token_tells_its_sample_through_masks_and_lengths():
    short, long = torch.zeros(2, 1, 3, 1), torch.zeros(1, 2, 2, 1)
    short, long = (LatentPair(predicted=rows, target=rows) for rows in (short, long))
    watched = monitored_tokens([[short, short], [long, long]])
    of_short = [0, 0, 0, 1, 1, 1]
    assert watched.samples.tolist() == [*of_short, *of_short, 2, 2, 2, 2, 2, 2, 2, 2]

import math

import pytest
import torch
from pydantic import ValidationError

from worldmodel_train.losses.two_hot import TwoHot, symexp, symlog

BINS = TwoHot(bins=5, low=-2.0, high=2.0)  # centres -2, -1, 0, 1, 2


def test_symexp_undoes_symlog():
    numbers = torch.tensor([-1e4, -1.0, -1e-3, 0.0, 0.5, 1e4])
    torch.testing.assert_close(symexp(symlog(numbers)), numbers)
    assert symlog(torch.tensor(math.e - 1)) == pytest.approx(1.0)


def test_the_loss_is_the_cross_entropy_with_the_two_bins_around_a_number():
    logits = torch.randn(5, generator=torch.Generator().manual_seed(0))
    number = torch.tensor(math.exp(1.25) - 1)  # symlog 1.25: three quarters of bin 3, one of bin 4
    logs = logits - logits.exp().sum().log()
    expected = -(0.75 * logs[3] + 0.25 * logs[4])
    torch.testing.assert_close(BINS.loss(logits, number), expected)


@pytest.mark.parametrize(("number", "bin"), [(-1e6, 0), (0.0, 2), (1e6, 4)])
def test_numbers_at_a_bin_or_beyond_the_last_have_one_bin(number, bin):
    logits = torch.randn(5, generator=torch.Generator().manual_seed(0))
    expected = -logits.log_softmax(dim=0)[bin]
    torch.testing.assert_close(BINS.loss(logits, torch.tensor(number)), expected)


def test_what_the_loss_finds_is_what_is_decoded():
    numbers = torch.tensor([-300.0, -0.7, 0.0, 3.0, 20.0])
    bins = TwoHot()
    logits = torch.zeros(5, 101, requires_grad=True)
    optimizer = torch.optim.Adam([logits], lr=0.3)
    for _ in range(200):
        optimizer.zero_grad()
        bins.loss(logits, numbers).sum().backward()
        optimizer.step()
    torch.testing.assert_close(bins.decode(logits.detach()), numbers, rtol=0.02, atol=0.02)


def test_bins_from_high_to_low_are_refused():
    with pytest.raises(ValidationError, match=r"low=1\.0 is not below high=-1\.0; swap them"):
        TwoHot(low=1.0, high=-1.0)

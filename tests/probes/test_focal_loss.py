"""The focal loss is its formula, and binary cross-entropy where nothing is weighted."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from worldmodel_train.probes.focal_loss import ALPHA, GAMMA, focal_loss


@pytest.fixture
def answered():
    generator = torch.Generator().manual_seed(0)
    logits = 4 * torch.randn(6, 9, generator=generator, dtype=torch.float64)
    return logits, torch.rand(6, 9, generator=generator) < 0.2


def test_it_is_the_formula_of_the_paper(answered):
    logits, labels = answered
    loss = 0.0
    for row, true in zip(logits.numpy(), labels.numpy(), strict=True):
        for logit, is_true in zip(row, true, strict=True):
            p = 1 / (1 + np.exp(-logit))
            if is_true:
                loss -= ALPHA * (1 - p) ** GAMMA * np.log(p)
            else:
                loss -= (1 - ALPHA) * p**GAMMA * np.log(1 - p)
    assert focal_loss(logits, labels).item() == pytest.approx(loss / 6, rel=1e-12)


def test_without_focus_and_balance_it_is_half_of_binary_cross_entropy(answered):
    logits, labels = answered
    entropy = functional.binary_cross_entropy_with_logits(logits, labels.double(), reduction="sum")
    loss = focal_loss(logits, labels, alpha=0.5, gamma=0.0)
    torch.testing.assert_close(loss, 0.5 * entropy / 6)


def test_certainty_that_is_wrong_stays_finite():
    logits = torch.tensor([[200.0, -200.0]], requires_grad=True)
    loss = focal_loss(logits, torch.tensor([[False, True]]))
    loss.backward()
    assert loss.item() == pytest.approx(200 * (1 - ALPHA) + 200 * ALPHA)
    assert torch.isfinite(logits.grad).all()

import pytest
import torch

from tests.contracts.methods import build


@pytest.fixture
def objective(config):
    torch.manual_seed(0)
    return build(config)

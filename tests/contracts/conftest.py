import pytest
import torch


@pytest.fixture
def objective(config):
    torch.manual_seed(0)
    return config.build()

import torch

from worldmodel_train.models.noise_level import LevelEmbed, waves


def test_close_levels_are_told_apart_and_far_ones_too():
    level = torch.tensor([0.5, 0.501, 0.9])
    first, near, far = waves(level)
    assert (first - near).norm() > 0.1
    assert (first - far).norm() > (first - near).norm()


def test_waves_are_fp32_whatever_a_run_computes_in():
    level = torch.linspace(0, 1, 5)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(waves(level), waves(level.float()))
        assert waves(level).dtype == torch.float32
    torch.testing.assert_close(waves(level).square().sum(-1), torch.full((5,), 128.0))


def test_each_level_has_a_vector_of_its_own():
    torch.manual_seed(0)
    embedded = LevelEmbed(16)(torch.tensor([0.1, 0.1, 0.7]))
    assert torch.equal(embedded[0], embedded[1])
    assert not torch.allclose(embedded[0], embedded[2])

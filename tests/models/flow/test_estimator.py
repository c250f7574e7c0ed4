import torch

from worldmodel_train.models.flow.estimator import FlowConfig

WIDTHS = (4, 6, 8)


def levels(seed, height=8, width=12):
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.randn(2, channels, height >> level, width >> level, generator=generator)
        for level, channels in enumerate(WIDTHS)
    ]


def estimator(**changes):
    torch.manual_seed(0)
    return FlowConfig(width=8, depth=1, reach=1, **changes).build(WIDTHS)


def test_every_level_has_a_flow_of_its_size():
    flows = estimator()(levels(0), levels(1))
    assert [flow.shape for flow in flows] == [(2, 2, 8, 12), (2, 2, 4, 6), (2, 2, 2, 3)]


def test_at_the_beginning_next_to_nothing_moves():
    flows = estimator()(levels(0), levels(1))
    assert max(flow.abs().max() for flow in flows) < 0.1


def test_a_coarse_level_that_says_so_moves_all_finer_ones():
    model = estimator()
    with torch.no_grad():
        model.mend.weight.zero_()
        model.mend.bias.copy_(torch.tensor([1.0, 0.0]))  # each level adds a pixel of its own
    finest, *_, coarsest = model(levels(0), levels(1))
    torch.testing.assert_close(coarsest[:, 0], torch.ones(2, 2, 3))
    torch.testing.assert_close(finest[:, 0], torch.full((2, 8, 12), 1.0 + 2.0 + 4.0))
    assert not finest[:, 1].any()


def test_levels_finer_than_the_finest_take_the_flow_as_it_is():
    model = estimator(finest=1)
    with torch.no_grad():
        model.mend.weight.zero_()
        model.mend.bias.fill_(1.0)
    finest, *_ = model(levels(0), levels(1))
    torch.testing.assert_close(finest, torch.full((2, 2, 8, 12), 2.0 + 4.0))

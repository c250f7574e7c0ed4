import torch

from worldmodel_train.models.views.views import CHANGE, ViewConfig


def clips():
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (4, 2, 16, 16, 3), dtype=torch.uint8, generator=generator)


def test_a_view_is_made_again_from_its_numbers():
    torch.manual_seed(0)
    config = ViewConfig(size=8)
    view = config.draw(clips())
    assert view.pixels.shape == (4, 2, 8, 8, 3)
    assert view.change.shape == (4, CHANGE)
    assert torch.equal(config.made(clips(), view.change).pixels, view.pixels)


def test_frames_of_a_clip_are_changed_alike():
    still = clips()[:, :1].expand(-1, 3, -1, -1, -1)
    torch.manual_seed(0)
    seen = ViewConfig().draw(still).pixels
    assert torch.equal(seen[:, 0], seen[:, 1])
    assert torch.equal(seen[:, 0], seen[:, 2])


def test_two_views_differ_and_are_drawn_again_from_a_seed():
    drawn = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        drawn.append(ViewConfig().draw(clips()).pixels)
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])

import torch

from worldmodel_train.jepa.appearance import AppearanceJitter


def _clips(frames=3):
    generator = torch.Generator().manual_seed(0)
    still = torch.randint(0, 256, (4, 1, 12, 16, 3), dtype=torch.uint8, generator=generator)
    return still.expand(-1, frames, -1, -1, -1).contiguous()


def test_what_stands_still_keeps_standing_still():
    torch.manual_seed(0)
    seen = AppearanceJitter().draw(_clips())
    assert (seen == seen[:, :1]).all()
    assert (seen != _clips()).any()


def test_without_strength_only_the_channels_change_places():
    torch.manual_seed(0)
    clips = _clips()
    seen = AppearanceJitter(contrast=0, brightness=0, light=0).draw(clips)
    close = seen.int().sort(dim=-1).values - clips.int().sort(dim=-1).values
    assert close.abs().max() <= 1  # cut down to whole grey levels


def test_each_clip_is_changed_in_its_own_way():
    torch.manual_seed(0)
    alike = _clips()[:1].expand(4, -1, -1, -1, -1).contiguous()
    seen = AppearanceJitter().draw(alike)
    assert all((seen[0] != other).any() for other in seen[1:])

import pytest
import torch
from matplotlib.image import imread

from worldmodel_train.data.fixed import FixedClips
from worldmodel_train.evaluation.tasks.level_horizons import Config
from worldmodel_train.types import LevelAhead


class TwoLevels(torch.nn.Module):
    """Two steps of one frame below, one of two above; answers are off by `error`."""

    def __init__(self, error):
        super().__init__()
        self.error = torch.nn.Parameter(torch.tensor(error))

    def token_grid(self, clips):
        raise NotImplementedError

    encode = token_grid

    def predict_levels(self, clips):
        means = clips.float().mean(dim=(2, 3))[:, :, None] / 255  # b t 1 c
        past, future = means.chunk(2, dim=1)
        above = future.mean(dim=1, keepdim=True)
        return (
            LevelAhead(predicted=future + self.error, target=future, last=past[:, -1], frames=1),
            LevelAhead(predicted=above + self.error, target=above, last=past.mean(dim=1), frames=2),
        )

    def training_losses(self, content):
        raise NotImplementedError

    def ema_pairs(self):
        return ()

    parameter_groups = ema_pairs


@pytest.fixture
def held_out():
    """Four pictures that fade; the third and fourth are lighter by what each clip has as a pace."""
    pace = torch.tensor([0.0, 10.0, 20.0, 30.0, 40.0])
    grey = 50 + pace[:, None] * torch.arange(4)
    clips = grey.byte()[:, :, None, None, None].expand(-1, -1, 8, 8, 3).contiguous()
    return FixedClips(clips=clips, keys=tuple("abcde"), labels=(None,) * 5, skipped=())


def by_name(result):
    return {number.name: number for number in result.numbers}


def test_each_level_has_its_own_numbers_beside_copying_and_the_mean(subject):
    numbers = by_name(Config(batch_size=2).run(subject(TwoLevels(0.0), TwoLevels(0.5))))
    assert set(numbers) == {
        f"level {level} explained, {name}"
        for level in (1, 2)
        for name in ("nearest", "farthest", "mean")
    }
    for number in numbers.values():
        assert number.trained.mean == 1.0
        assert number.baselines["mean latent"].mean == 0.0
        assert number.baselines["untrained"].mean < 0


def test_copying_is_worth_what_a_sum_written_out_says(subject):
    numbers = by_name(Config(batch_size=3).run(subject(TwoLevels(0.0), TwoLevels(0.5))))
    pace = torch.tensor([0.0, 10.0, 20.0, 30.0, 40.0])
    for name, ahead, frames in (("nearest", 1, 2), ("farthest", 2, 3)):
        target = frames * pace
        explained = 1 - (ahead * pace).square().sum() / (target - target.mean()).square().sum()
        copied = numbers[f"level 1 explained, {name}"].baselines["copy last step"].mean
        assert copied == pytest.approx(explained.item(), rel=1e-5)


def test_steps_are_named_by_the_frame_they_end_with_and_drawn(subject):
    models = subject(TwoLevels(0.1), TwoLevels(0.5))
    result = Config().run(models)
    lower, upper = result.sections[0].tables
    assert [row.name for row in lower.rows] == ["1", "2"]
    assert [row.name for row in upper.rows] == ["2"]
    ((picture,),) = (gallery.pictures for gallery in result.galleries)
    drawn = imread(models.run_dir / picture.file)
    assert drawn.shape[:2] == (picture.height, picture.width)

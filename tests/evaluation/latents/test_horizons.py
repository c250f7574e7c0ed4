from dataclasses import replace

import pytest
import torch
from einops import rearrange
from torch import nn

from worldmodel_train.data.fixed import FixedClips
from worldmodel_train.evaluation.latents.horizon_result import tubelet_seconds
from worldmodel_train.evaluation.latents.horizons import future_group, measure_horizons
from worldmodel_train.jepa import vjepa
from worldmodel_train.types import LatentPair

SEEN, HIDDEN, PLACES = 2, 3, 4


@pytest.fixture
def held_out():
    """Clips of five tubelets of four places, which drift as they do in videos."""
    generator = torch.Generator().manual_seed(0)
    start = torch.randint(0, 100, (7, 1, 16, 16, 3), generator=generator)
    speed = torch.randint(0, 9, (7, 1, 16, 16, 3), generator=generator)
    clips = (start + speed * torch.arange(10)[:, None, None, None]).to(torch.uint8)
    return FixedClips(clips=clips, keys=tuple("aaabbcc"), labels=(None,) * 7, skipped=())


class KnowsTheClip(nn.Module):
    """The latents of another model, each shifted by what the whole clip that is given shows."""

    def __init__(self, local: nn.Module) -> None:
        super().__init__()
        self.local = local
        self.token_grid = local.token_grid

    def encode(self, clips):
        return self.local.encode(clips) + clips.float().std(dim=(1, 2, 3))[:, None, :1] / 255

    def predict(self, group):
        (masks,) = group.masks
        target = torch.stack(
            [
                latents[index]
                for latents, index in zip(self.encode(group.clips), masks.target_index, strict=True)
            ]
        )
        return [LatentPair(predicted=target, target=target)]


class CopiesTheLastTubelet(KnowsTheClip):
    def predict(self, group):
        (pair,) = super().predict(group)
        last = self.encode(group.clips[:, : 2 * SEEN])[:, -PLACES:]
        copied = last.repeat(1, HIDDEN, 1)[:, None]
        return [LatentPair(predicted=copied, target=pair.target)]


def measured(model, held_out, batch_size=3):
    return measure_horizons(model, held_out, num_seen=SEEN, batch_size=batch_size)


def explained(targets, answers):
    """1 - SSE / SST of lists of latents, one by one, in float64."""
    mean = sum(targets) / len(targets)
    error = sum(((t - a) ** 2).sum() for t, a in zip(targets, answers, strict=True))
    return float(1 - error / sum(((t - mean) ** 2).sum() for t in targets))


def test_all_of_the_past_is_seen_and_each_later_token_is_a_target_once(patch_means, held_out):
    group = future_group(patch_means(error=0.0), held_out, slice(2, 5), SEEN)
    (masks,) = group.masks
    assert (group.clips == held_out.clips[2:5]).all()
    assert masks.context_index.tolist() == [list(range(8))] * 3
    assert masks.target_index.tolist() == [[list(range(8, 20))]] * 3


def test_a_model_sees_nothing_of_the_future_and_answers_with_its_first_mask_token(held_out):
    torch.manual_seed(0)
    model = vjepa.Config.tiny().build().eval()
    others = replace(held_out, clips=held_out.clips.clone())
    others.clips[:, 2 * SEEN :] = 0
    with torch.no_grad():
        (pair,) = model.predict(future_group(model, held_out, slice(3), SEEN))
        model.predictor.mask_tokens[1] += 1
        (same,) = model.predict(future_group(model, others, slice(3), SEEN))
        model.predictor.mask_tokens[0] += 1
        (other,) = model.predict(future_group(model, others, slice(3), SEEN))
    assert (pair.predicted == same.predicted).all()
    assert not pair.target.allclose(same.target)
    assert not pair.predicted.allclose(other.predicted)


def test_a_perfect_predictor_explains_everything_at_each_horizon(patch_means, held_out):
    assert measured(patch_means(error=0.0), held_out).predictor == (1.0, 1.0, 1.0)


def test_a_predictor_that_copies_scores_as_copying_does(patch_means, held_out):
    scores = measured(CopiesTheLastTubelet(patch_means(error=0.0)), held_out)
    assert scores.predictor == scores.copy_last
    assert scores.copy_last[0] > scores.copy_last[1] > scores.copy_last[2]


def test_baselines_are_those_of_a_plain_loop_over_clips_that_sees_the_past_alone(
    patch_means, held_out
):
    model = KnowsTheClip(patch_means(error=0.0))
    scores = measured(model, held_out)
    for horizon in range(HIDDEN):
        targets, copies, lines, told = [], [], [], []
        for clip in held_out.clips:
            with torch.no_grad():
                whole = rearrange(model.encode(clip[None])[0], "(t p) d -> t p d", p=PLACES)
                past = rearrange(model.encode(clip[None, :4])[0], "(t p) d -> t p d", p=PLACES)
            whole, past = whole.double(), past.double()
            for place in range(PLACES):
                step = past[1, place] - past[0, place]
                targets.append(whole[SEEN + horizon, place])
                copies.append(past[1, place])
                lines.append(past[1, place] + (horizon + 1) * step)
                told.append(whole[SEEN - 1, place])
        assert scores.copy_last[horizon] == pytest.approx(explained(targets, copies), abs=1e-5)
        assert scores.line[horizon] == pytest.approx(explained(targets, lines), abs=1e-5)
        assert scores.copy_last_of_whole[horizon] == pytest.approx(explained(targets, told), 1e-5)
    assert scores.copy_last != pytest.approx(scores.copy_last_of_whole, abs=1e-3)


def test_what_moves_steadily_lies_on_the_line(patch_means, held_out):
    assert measured(patch_means(error=0.0), held_out).line == pytest.approx((1.0,) * 3, abs=1e-6)


def test_scores_do_not_depend_on_the_batch_size(patch_means, held_out):
    small, large = (measured(patch_means(error=0.1), held_out, size) for size in (2, 64))
    assert small.predictor == pytest.approx(large.predictor)
    assert small.copy_last == pytest.approx(large.copy_last)
    assert small.over_videos == pytest.approx(large.over_videos)


def test_the_model_is_measured_in_evaluation_mode_and_left_as_it_was(patch_means, held_out):
    model = patch_means(error=0.0).train()
    measured(model, held_out)
    assert not any(model.modes)
    assert model.training


def test_seconds_are_those_of_the_pictures_where_they_are_known(held_out):
    assert tubelet_seconds(held_out, 5, fps=4.0) == 0.5
    rates = torch.tensor([10.0, 10, 10, 12.5, 12.5, 12.5, 12.5])  # of each clip's video
    timed = replace(held_out, times=3.0 + torch.arange(10) / rates[:, None])
    assert tubelet_seconds(timed, 5, fps=4.0) == pytest.approx(2 / 12.5, rel=1e-5)  # of fp32 times

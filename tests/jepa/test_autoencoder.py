import torch

from tests.jepa.random_clips import random_clips
from worldmodel_train.jepa.autoencoder import Config


def built():
    torch.manual_seed(0)
    return Config.tiny().build()


def test_to_say_the_mean_colour_of_all_costs_1():
    objective, clips = built(), random_clips()
    with torch.no_grad():
        objective.pixels.weight.zero_()
        objective.pixels.bias.fill_(clips.pixels.float().mean() / 255)
    assert abs(objective.training_losses(clips).total.item() - 1) < 1e-3


def test_all_that_is_painted_goes_through_the_narrow_place():
    objective, clips = built(), random_clips()
    with torch.no_grad():
        objective.narrow.weight.zero_()
    grid = objective.token_grid(clips.pixels)
    painted = objective._painted(objective._kept(clips.pixels), grid)
    torch.testing.assert_close(painted, painted[:1].expand_as(painted))
    assert objective._kept(clips.pixels).shape == (6, grid.num_tokens, 8)


def test_it_learns_to_paint_a_few_clips():
    objective, clips = built(), random_clips(2)
    smooth = clips.pixels[:, :1, :1, :1].expand_as(clips.pixels).contiguous()
    clips = type(clips)(pixels=smooth, samples=clips.samples)
    optimizer = torch.optim.AdamW(objective.parameters(), lr=3e-3)
    for _ in range(60):
        optimizer.zero_grad()
        loss = objective.training_losses(clips).total
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.1

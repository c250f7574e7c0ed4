from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image

from tests.evaluation.planning.seeing import Seeing
from worldmodel_train.data.trajectories.config import ActionScale
from worldmodel_train.data.trajectories.scaling import real
from worldmodel_train.envs.two_room_goals import TwoRoomGoals
from worldmodel_train.evaluation.planning.closed_loop import Attempts
from worldmodel_train.evaluation.planning.first_plans import (
    GRID,
    Search,
    first_actions_changed,
    first_plans,
)
from worldmodel_train.evaluation.planning.imagined_and_done import (
    decoded_strips,
    nearest_seen,
    nearest_strips,
    seen_states,
)
from worldmodel_train.evaluation.planning.pictures_of_plans import correlation, plan_galleries
from worldmodel_train.evaluation.planning.pilots import ModelPilot
from worldmodel_train.planners import cem
from worldmodel_train.planners.bounds import Bounds
from worldmodel_train.planners.energies import nearness
from worldmodel_train.planners.replanning import Replanning

WORLD = TwoRoomGoals(size=32)
STARTS = np.array([[0.2, 0.2], [0.3, 0.8]])
# one action away: 0.1 is how far an action of 1 moves
ASKED = np.array([[0.5, -0.3], [-0.7, 0.2]])
SCALE = ActionScale(mean=(0.5, -0.5), std=(0.5, 2.0))


def search(horizon):
    config = cem.Config(horizon=horizon, candidates=48, elites=6, iterations=3)
    return Search(build=config.build, distance="l2", distance_called="l2", seed=0)


def pilot(goals, model=None):
    bounds = Bounds(low=-torch.ones(2), high=torch.ones(2))
    return ModelPilot(
        model=model or Seeing(WORLD),
        search=Replanning(search(2).build(bounds), seed=0),
        world=WORLD,
        goals=goals,
        energy=partial(nearness, distance="l2"),
        memory=3,
    )


def attempts():
    """Of two goals, with a state of each at every action."""
    way = np.linspace(0, 1, 9)[:, None, None] * 0.25 * np.array([[1.0, 0.5], [-0.5, -1.0]])
    states = STARTS + way
    return Attempts(states=states, arrival=np.array([8, 8]), seconds_per_action=0.0)


class Scaled(Seeing):
    """Takes its actions scaled."""

    def rollout(self, belief, actions):
        return super().rollout(belief, real(actions, SCALE))


@pytest.mark.parametrize("scale", [None, SCALE])
def test_energy_is_lowest_where_the_true_best_first_action_is(scale):
    goals = STARTS + WORLD.layout.step * ASKED
    who = pilot(goals, Seeing(WORLD) if scale is None else Scaled(WORLD))
    plans = first_plans(replace(who, scale=scale), STARTS, search(1))
    values = np.linspace(-1, 1, GRID)
    for energies, asked in zip(plans.slices, ASKED, strict=True):
        first, second = np.unravel_index(int(energies.argmin()), (GRID, GRID))
        # the place is read from a picture, so that it may be the next of the grid
        np.testing.assert_allclose(values[[first, second]], asked, atol=0.11)
    np.testing.assert_allclose(plans.actions[:, 0], ASKED, atol=0.2)


def test_only_the_first_action_of_a_plan_is_changed_and_only_two_numbers_of_it():
    plans = torch.rand(2, 3, 4)
    low, high = torch.tensor([-2.0, 0, -1, -1]), torch.tensor([4.0, 1, 1, 1])
    changed = first_actions_changed(plans, Bounds(low=low, high=high))
    assert changed.shape == (2, GRID**2, 3, 4)
    rest = changed.clone()
    rest[:, :, 0, :2] = plans[:, None, 0, :2]
    assert torch.equal(rest, plans[:, None].expand_as(rest))
    assert changed[0, 0, 0, :2].tolist() == [-2, 0]
    assert changed[0, 1, 0, :2].tolist() == [-2, pytest.approx(1 / (GRID - 1))]
    assert changed[1, -1, 0, :2].tolist() == [4, 1]


def test_an_action_of_one_number_gives_a_curve():
    plans, end = torch.zeros(1, 2, 1), torch.ones(1)
    changed = first_actions_changed(plans, Bounds(low=-end, high=end))
    torch.testing.assert_close(changed[0, :, 0, 0], torch.linspace(-1, 1, GRID))


def test_who_knows_the_world_is_promised_what_comes():
    plans = first_plans(pilot(STARTS + 0.2), STARTS, search(4))
    promised, kept = plans.promised("l2"), plans.kept("l2")
    torch.testing.assert_close(promised, kept, atol=2e-3, rtol=0)
    assert correlation(promised, kept) > 0.999
    np.testing.assert_allclose(plans.states[:, 1:], plans.imagined, atol=5e-3)


def test_who_imagines_the_contrary_is_seen_to():
    class Contrary(Seeing):
        def rollout(self, belief, actions):
            return super().rollout(belief, -actions)

    plans = first_plans(pilot(STARTS + 0.2, Contrary(WORLD)), STARTS, search(4))
    assert correlation(plans.promised("l2"), plans.kept("l2")) < -0.9


def test_what_is_shown_of_a_latent_is_the_nearest_of_what_was_seen():
    bank = seen_states(attempts(), 512)
    assert len(bank) == 18
    beside = torch.from_numpy(bank[[3, 11]]).float() + 0.004
    np.testing.assert_array_equal(nearest_seen(pilot(STARTS), beside, bank, "l2"), bank[[3, 11]])
    assert len(seen_states(attempts(), 5)) == 5


def test_numbers_that_are_all_the_same_have_no_correlation():
    assert np.isnan(correlation(torch.ones(2, 3), torch.rand(2, 3)))
    assert correlation(torch.arange(3.0), torch.tensor([1.0, 3, 5])) == pytest.approx(1)


def test_of_a_model_that_diverged_it_is_said_that_nothing_can_be(tmp_path):
    class Diverged(Seeing):
        def rollout(self, belief, actions):
            return torch.full_like(super().rollout(belief, actions), torch.nan)

    who = pilot(STARTS + 0.2, Diverged(WORLD))
    *_, cost = plan_galleries(who, attempts(), search(2), tmp_path, "planning")
    assert "their correlation cannot be told" in cost.note
    assert len(cost.pictures) == 2


def test_the_files_are_there_in_their_sizes_and_the_same_again(tmp_path):
    def drawn(run_dir):
        who = pilot(STARTS + 0.2)
        return list(plan_galleries(who, attempts(), search(4), run_dir, "evaluation/planning"))

    galleries = drawn(tmp_path / "once")
    assert galleries == drawn(tmp_path / "again")
    assert [len(gallery.pictures) for gallery in galleries] == [2, 2, 2]
    for gallery in galleries:
        for picture in gallery.pictures:
            file = tmp_path / "once" / picture.file
            with Image.open(file) as image:
                assert image.size == (picture.width, picture.height)
            assert file.read_bytes() == (tmp_path / "again" / picture.file).read_bytes()
    assert "the nearest of 18 pictures that were seen" in galleries[1].note
    assert "correlation is 1.00" in galleries[2].note
    # start, four actions and the goal, in two rows, with edges of 1 pixel and gaps of 3
    assert galleries[1].pictures[0].width == 6 * (66 + 3) + 3
    assert galleries[1].pictures[0].height == 2 * (66 + 3) + 3


class Painting(torch.nn.Module):
    """Paints a latent that is a state as the world does."""

    def frame_size(self):
        return 32, 32

    def render(self, latents):
        return torch.from_numpy(WORLD.pictures(latents.double().numpy()))


def test_a_decoder_paints_what_is_imagined_above_what_it_makes_of_what_is_seen_and_that_itself():
    class Elsewhere(Seeing):
        """Imagines the corner."""

        def rollout(self, belief, actions):
            return torch.full_like(super().rollout(belief, actions), 0.1)

    who = pilot(STARTS + 0.2, Elsewhere(WORLD))
    plans = first_plans(who, STARTS, search(2))
    strips = decoded_strips(who, plans, Painting())
    sheet = next(strips.sheets).float()
    cells = [
        [sheet[3 + 69 * row :, 3 + 69 * column :][:66, :66] for column in range(4)]
        for row in range(3)
    ]
    corner = torch.from_numpy(WORLD.pictures(np.array([[0.1, 0.1]])))[0]
    painted = corner.repeat_interleave(2, dim=0).repeat_interleave(2, dim=1).float()
    for column in (1, 2):
        assert torch.equal(cells[0][column][1:-1, 1:-1], painted)
        assert not torch.equal(cells[0][column], cells[1][column])
    for column in range(4):  # the place is read from a picture, to half a pixel
        assert (cells[1][column] - cells[2][column]).abs().mean() < 3
    for name in ("imagined, decoded", "done, decoded"):
        assert name in strips.note
    assert "no decoder" in nearest_strips(who, plans, attempts(), "l2").note
    assert next(nearest_strips(who, plans, attempts(), "l2").sheets).shape[0] == 2 * 69 + 3


def test_the_page_has_what_a_decoder_paints_in_place_of_the_nearest(tmp_path):
    who, looked_for = pilot(STARTS + 0.2), search(2)
    _, shown, _ = plan_galleries(
        who, attempts(), looked_for, tmp_path, "planning", decoder=Painting()
    )
    assert "imagined, decoded" in shown.note
    assert shown.pictures[0].height == 3 * 69 + 3

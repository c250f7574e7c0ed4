import numpy as np
import pytest
import torch

from benchmarks.learning.collisions import draw_collisions, straight_on
from benchmarks.learning.counterfactual import LAWS, SCENE, without_slot
from benchmarks.learning.slot_worlds import PlaceReader, StateWorld, matched, random_scenes
from benchmarks.learning.slots import things_of
from worldmodel_train.envs.balls import film


@pytest.fixture(scope="module")
def cases():
    return draw_collisions(SCENE, LAWS, count=8, seen=4, frames=8, seed=0)


def test_b_is_seen_alike_in_both_worlds_and_goes_elsewhere_after(cases):
    there, gone = cases.of_b(cases.with_a), cases.of_b(cases.without_a)
    assert torch.equal(there[:, :4], gone[:, :4])
    assert ((there - gone)[:, 4:].norm(dim=-1).mean(dim=1) > 0.1).all()
    assert (cases.a != cases.b).all()


def test_the_slot_that_is_left_out_is_as_if_it_had_not_been():
    slots = torch.arange(2 * 3 * 4.0).view(2, 1, 4, 3)
    left, number = without_slot(slots, torch.tensor([1, 3]), torch.tensor([2, 0]))
    assert torch.equal(left[0, 0], slots[0, 0, [0, 2, 3]])
    assert torch.equal(left[1, 0], slots[1, 0, [0, 1, 2]])
    assert number.tolist() == [1, 0]
    assert torch.equal(left[0, 0, 1], slots[0, 0, 2])


def test_places_can_be_read_from_states_exactly():
    world, states = StateWorld(), random_scenes(SCENE, 40, 1)
    slots = world.slots(states, LAWS, 8, 4)
    places = torch.from_numpy(film(states, LAWS, 8).place).float()
    read = PlaceReader.fitted(slots, places)(slots)
    torch.testing.assert_close(read, places, rtol=0, atol=1e-4)


def test_straight_on_is_mirrored_at_the_border_as_things_are():
    path = torch.tensor([[[0.7, 0.5], [0.8, 0.5], [0.9, 0.5], [0.8, 0.5]]])
    free = straight_on(path, 2)
    torch.testing.assert_close(free[0, :, 0], torch.tensor([0.9, 1.0]))
    turned = straight_on(path, 2, torch.tensor([0.1]))
    torch.testing.assert_close(turned, path[:, 2:])


def test_slots_are_those_of_the_things_that_they_look_at():
    places = torch.rand(5, 3, 2, generator=torch.Generator().manual_seed(0))
    centres = torch.cat((places[:, [2, 0]], torch.full((5, 1, 2), 9.0), places[:, [1]]), dim=1)
    assert matched(centres, places).tolist() == [[1, 3, 0, 2]] * 5


def test_a_disc_is_where_its_colour_is():
    states = random_scenes(SCENE, 3, 2)
    films = film(states, LAWS, 2)
    inside = things_of(films, states.radius) > 0
    coloured = np.ptp(films.pictures.astype(int), axis=-1) > 30
    # but for pixels of which a part is covered
    assert (inside == coloured).mean() > 0.97

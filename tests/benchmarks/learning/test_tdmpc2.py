import pytest

from benchmarks.learning.tdmpc2 import measure, unseen_table
from worldmodel_train.recipe import load_recipe

SMALL = (
    "train.steps=4", "train.global_batch=4", "train.micro_batch=4", "data.random_episodes=1",
    "data.every_steps=2", "data.longest=6", "checkpoint.every_steps=4", "method.latent=16",
    "method.planner={horizon: 2, candidates: 12, elites: 4, iterations: 1}", "method.proposals=2",
)  # fmt: skip


@pytest.mark.slow
def test_all_policies_act_in_the_same_unseen_episodes(tmp_path):
    recipe = load_recipe("tdmpc2_pendulum", [*SMALL, f"run_dir={tmp_path}"])
    found = measure(recipe, episodes=2)
    assert len(found.acting) == 1 + 2
    assert found.unseen.keys() == {"random", "untrained", "trained"}
    assert all(len(values) == 2 and max(values) < 0 for values in found.unseen.values())
    again = measure(recipe, episodes=2)  # the run has ended, and is measured again
    assert again == found
    assert unseen_table({0: found}).row_count == 3

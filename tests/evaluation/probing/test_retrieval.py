from itertools import permutations

import pytest
import torch
from torchmetrics.functional.retrieval import retrieval_average_precision, retrieval_hit_rate

from worldmodel_train.evaluation.probing.retrieval import (
    average_precision,
    found_by_chance,
    found_within,
    precision_by_chance,
    ranked_relevance,
)


def test_precision_and_recall_are_those_of_torchmetrics():
    generator = torch.Generator().manual_seed(0)
    relevant = torch.rand(40, 23, generator=generator) < 0.2
    relevant[0] = False
    falling = torch.arange(23, 0, -1).float()
    ours = average_precision(relevant)
    theirs = [retrieval_average_precision(falling, row) for row in relevant]
    assert torch.allclose(ours, torch.stack(theirs))
    assert ours[0] == 0
    for k in (1, 5, 30):
        hits = [retrieval_hit_rate(falling, row, top_k=k) for row in relevant]
        assert torch.equal(found_within(relevant, k), torch.stack(hits))


@pytest.mark.parametrize("num_relevant", [0, 1, 3, 6])
def test_chance_is_the_mean_over_all_orders(num_relevant):
    row = [place < num_relevant for place in range(6)]
    orders = torch.tensor(list(permutations(row)))
    asked = torch.tensor([num_relevant])
    assert float(precision_by_chance(asked, 6)) == pytest.approx(
        float(average_precision(orders).mean()), abs=1e-6
    )
    for k in (1, 5):
        assert float(found_by_chance(asked, 6, k)) == pytest.approx(
            float(found_within(orders, k).mean()), abs=1e-6
        )


def test_the_likest_come_first_whatever_all_clips_share():
    gallery = torch.tensor([[1.0, 0.0, 7.0], [0.0, 1.0, 7.0], [0.9, 0.1, 7.0]]) + 1000
    ranked = ranked_relevance(
        gallery, torch.tensor([0, 1, 0]), gallery[1:2] + 0.01, torch.tensor([1])
    )
    assert ranked.tolist() == [[True, False, False]]

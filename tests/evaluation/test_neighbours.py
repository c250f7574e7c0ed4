import torch

from worldmodel_train.evaluation.neighbours import nearest_clips, neighbour_sheet, other_videos


def test_nearest_come_first_and_excluded_clips_never():
    features = torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.6, 0.8], [-1.0, 0.0], [-0.9, -0.5]])
    queries = torch.tensor([0, 3])
    excluded = other_videos(["a", "a", "b", "c", "d"], queries)
    nearest, cosine = nearest_clips(features, queries, excluded, k=2)
    assert nearest[0].tolist()[0] == 2
    assert nearest[1].tolist()[0] == 4
    assert 1 not in nearest[0].tolist()
    assert (cosine[:, 0] >= cosine[:, 1]).all()


def test_an_offset_shared_by_all_clips_changes_nothing():
    features = torch.randn(8, 5, generator=torch.Generator().manual_seed(0))
    queries = torch.arange(8)
    own = torch.eye(8, dtype=torch.bool)
    plain, _ = nearest_clips(features, queries, own, k=3)
    moved, _ = nearest_clips(features + 100, queries, own, k=3)
    assert (plain == moved).all()


def test_the_sheet_begins_each_row_with_the_query():
    clips = torch.arange(4, dtype=torch.uint8)[:, None, None, None, None].expand(4, 2, 8, 8, 3)
    sheet = neighbour_sheet(clips, torch.tensor([2, 0]), torch.tensor([[1], [3]]))
    assert sheet.shape == (25, 25, 3)
    centers = sheet[[7, 7, 18, 18], [7, 18, 7, 18], 0]
    assert centers.tolist() == [2, 1, 0, 3]

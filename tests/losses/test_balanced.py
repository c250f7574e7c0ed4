import torch

from worldmodel_train.losses.balanced import balanced


def test_each_sample_has_a_distribution_and_each_prototype_its_share():
    torch.manual_seed(0)
    shares = balanced(torch.randn(12, 5), passes=200)
    torch.testing.assert_close(shares.sum(dim=1), torch.ones(12))
    # a fixed point is met linearly: after 200 passes only fp32's roundings are left
    torch.testing.assert_close(shares.sum(dim=0), torch.full((5,), 12 / 5), atol=1e-4, rtol=0)


def test_it_is_what_scaling_rows_and_columns_in_turns_gives():
    torch.manual_seed(1)
    logits = torch.randn(6, 4, dtype=torch.float64)
    plain = logits.exp()
    for _ in range(3):
        plain = plain / plain.sum(dim=0)
        plain = plain / plain.sum(dim=1, keepdim=True)
    # logits are rounded to fp32 first
    torch.testing.assert_close(balanced(logits, passes=3), plain.float(), atol=1e-6, rtol=1e-5)


def test_what_all_samples_say_alike_tells_nothing():
    shares = balanced(torch.tensor([[80.0, -3.0, 0.5]] * 4), passes=1)
    torch.testing.assert_close(shares, torch.full((4, 3), 1 / 3))


def test_logits_that_exp_cannot_hold_are_shared_out():
    shares = balanced(torch.tensor([[2000.0, 0.0], [1900.0, 0.0]]), passes=100)
    # the ends of the set of distributions are neared as 1 / passes
    torch.testing.assert_close(shares, torch.eye(2), atol=0.02, rtol=0)

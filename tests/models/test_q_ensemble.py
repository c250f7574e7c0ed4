import torch

from worldmodel_train.models.q_ensemble import QEnsemble


def test_members_begin_with_one_answer_and_are_drawn_in_pairs():
    torch.manual_seed(0)
    values = QEnsemble(members=4, inputs=5, width=8, outputs=3, dropout=0.0)
    latents, actions = torch.randn(6, 3), torch.randn(6, 2)
    assert not values(latents, actions).any()
    for member in values.members:
        torch.nn.init.normal_(member[-1].weight)
    everyone = values(latents, actions)
    assert everyone.shape == (4, 6, 3)
    generator = torch.Generator().manual_seed(1)
    pairs = {tuple(values.draw_two(generator).tolist()) for _ in range(200)}
    assert len(pairs) == 4 * 3
    two = values(latents, actions, torch.tensor([3, 1]))
    torch.testing.assert_close(two, everyone[[3, 1]])

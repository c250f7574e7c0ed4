import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from worldmodel_train.models.gather import gather_tokens


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 4), st.integers(1, 9), st.integers(0, 12))
def test_each_sample_is_gathered_from_its_own_row(batch, num_tokens, kept):
    tokens = torch.randn(batch, num_tokens, 3)
    index = torch.randint(num_tokens, (batch, kept))
    expected = [[tokens[b, i].tolist() for i in row] for b, row in enumerate(index.tolist())]
    assert gather_tokens(tokens, index).tolist() == expected

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from worldmodel_kernels.rope import rope_groups


class BytesWritten(TorchDispatchMode):
    """Bytes of all results that are no views, and of those that are written in place."""

    def __init__(self):
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, operation, _types, args=(), kwargs=None):
        results = operation(*args, **(kwargs or {}))
        made = operation not in (torch.ops.aten.new_empty.default,)
        for result in results if isinstance(results, list | tuple) else [results]:
            if made and not operation.is_view and isinstance(result, torch.Tensor):
                self.bytes += result.nbytes
        return results


def backward_bytes(groups, op):
    qkv = groups.qkv.detach().requires_grad_()
    heads = [one for group in op(qkv, groups.shapes, groups.tables) for one in group]
    with BytesWritten() as written:
        torch.autograd.grad(heads, qkv, groups.gradients)
    return written.bytes


@pytest.mark.parametrize("turned", [False, True])
def test_heads_and_gradient_are_bit_for_bit_those_of_split_and_unbind(make_groups, turned):
    groups = make_groups(turned=turned)
    results, gradient = groups.run(rope_groups)
    exact, expected = groups.run(groups.by_definition)
    assert all(map(torch.equal, results, exact))
    assert torch.equal(gradient, expected)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_rounded_gradient_is_rounded_once(make_groups, dtype):
    groups = make_groups().to(dtype)
    _, gradient = groups.run(rope_groups)
    _, exact = groups.to(torch.float64).run(groups.by_definition)
    assert torch.equal(gradient, exact.float().to(dtype))


def test_without_turns_the_gradient_is_written_once(make_groups):
    groups = make_groups(turned=False)
    size = groups.qkv.nbytes
    assert backward_bytes(groups, rope_groups) == size
    assert backward_bytes(groups, groups.by_definition) >= 2 * size


def test_turned_gradients_are_not_packed_again(make_groups):
    groups = make_groups()
    spared = backward_bytes(groups, groups.by_definition) - backward_bytes(groups, rope_groups)
    assert spared >= groups.qkv.nbytes


def test_results_without_a_gradient_count_as_zero(make_groups):
    groups = make_groups()
    qkv = groups.qkv.detach().requires_grad_()
    rope_groups(qkv, groups.shapes, groups.tables)[1][0].sum().backward()
    assert not qkv.grad[:10].any()
    assert not qkv.grad[10:, 1:].any()
    assert qkv.grad[10:, 0].all()


@pytest.mark.gpu
@pytest.mark.parametrize("turned", [False, True])
def test_groups_on_a_gpu_are_their_definition(make_groups, turned):
    groups = make_groups(turned=turned, width=64).to("cuda").to(torch.bfloat16)
    results, gradient = groups.run(rope_groups)
    exact, expected = groups.to(torch.float64).run(groups.by_definition)
    for result, definition in zip([*results, gradient], [*exact, expected], strict=True):
        assert (result.double() - definition).norm() <= 2e-3 * definition.norm()

"""Run apart, with JAXTYPING_DISABLE=1: torch.compile cannot trace the shape checks."""

import copy
from collections import Counter
from functools import partial

import pytest
import torch
from torch._dynamo.utils import counters
from torch.utils._python_dispatch import TorchDispatchMode

from worldmodel_train.models.blocks import Blocks, BlocksConfig
from worldmodel_train.models.checkpointing import MixedCheckpointing
from worldmodel_train.models.position import Places
from worldmodel_train.models.rope import Rope3d
from worldmodel_train.types import TokenGrid

pytestmark = [
    pytest.mark.compile,
    # Dynamo looks at .grad of the tokens that go from one graph into the next.
    pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf"),
]

GRID = TokenGrid(4, 8, 8)
# tokens of two mask groups, step by step; some come twice in a step, some again later
SIZES = [(108, 48), (104, 60), (128, 128), (60, 160), (108, 48), (33, 97), (160, 20), (96, 104)]


@pytest.fixture(autouse=True)
def only_the_graphs(monkeypatch):
    """The graphs are what is tested here; aot_eager needs no C++ compiler."""
    torch.compiler.reset()
    counters.clear()
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))


def stacks(policy="none"):
    """The same blocks twice, the second compiled."""
    torch.manual_seed(0)
    eager = Blocks(BlocksConfig(width=48, depth=4, heads=3))
    eager.set_activation_checkpointing(policy)
    compiled = copy.deepcopy(eager)
    compiled.compile_regions()
    assert list(compiled.state_dict()) == list(eager.state_dict())
    return eager, compiled


def step(blocks, sizes, *, bf16=False):
    """The gradients of one step."""
    torch.manual_seed(sum(sizes))
    places = Places(Rope3d(), 16)
    ids = [torch.stack([torch.randperm(256)[:size] for _ in range(2)]) for size in sizes]
    groups = [places.group(index, None, GRID, 2) for index in ids]
    tokens = torch.randn(2 * sum(sizes), 48, requires_grad=True)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
        output = blocks(tokens, groups)
    output.float().square().sum().backward()
    gradients = [tokens.grad, *(parameter.grad for parameter in blocks.parameters())]
    blocks.zero_grad()
    return gradients


def num_graphs():
    return counters["stats"]["unique_graphs"]


def graphs_of_steps(plan):
    """How many graphs there are after each step, whose gradients are those of eager blocks."""
    eager, compiled = stacks(plan)
    graphs = []
    for sizes in SIZES:
        for actual, expected in zip(step(compiled, sizes), step(eager, sizes), strict=True):
            torch.testing.assert_close(actual, expected)
        graphs.append(num_graphs())
    assert graphs[2:] == [graphs[2]] * (len(SIZES) - 2)
    assert not counters["graph_break"]
    return graphs


@pytest.mark.parametrize("policy", ["none", "selective", "full"])
def test_one_graph_serves_all_blocks_and_none_is_made_once_the_sizes_have_changed(policy):
    graphs = graphs_of_steps(policy)
    assert graphs[0] == 1
    assert graphs[-1] <= 3


def test_two_policies_make_at_most_twice_as_many_graphs():
    graphs = graphs_of_steps(MixedCheckpointing(lighter="none", heavier="full", percent=50))
    assert graphs[0] == 2
    assert graphs[-1] <= 2 * 3


def test_encoder_teacher_and_predictor_have_a_few_graphs_together():
    torch.manual_seed(0)
    _, encoder = stacks()
    teacher = copy.deepcopy(encoder).requires_grad_(requires_grad=False)
    graphs = []
    for sizes in SIZES[:5]:
        step(encoder, sizes)
        with torch.no_grad():
            teacher(torch.randn(512, 48), [Places(Rope3d(), 16).group(_all(), None, GRID, 2)])
        graphs.append(num_graphs())
    assert graphs[2:] == [graphs[2]] * 3
    assert graphs[-1] <= 4


def test_a_copy_of_compiled_blocks_computes_with_weights_of_its_own():
    eager, compiled = stacks()
    step(compiled, SIZES[0])
    compiled = copy.deepcopy(compiled)
    for stack in (eager, compiled):
        for parameter in stack.parameters():
            parameter.data.mul_(0.5)
    for actual, expected in zip(step(compiled, SIZES[0]), step(eager, SIZES[0]), strict=True):
        torch.testing.assert_close(actual, expected)


def _all():
    return torch.arange(256)[None]


class _Operations(TorchDispatchMode):
    """Counts the operations that really run."""

    supports_higher_order_operators = True

    def __init__(self):
        super().__init__()
        self.count = Counter()

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        # a higher-order one runs attention with the random state of the forward pass
        plain = operation if isinstance(operation, torch._ops.OpOverload) else args[1]
        self.count[plain.overloadpacket.__name__] += 1
        return operation(*args, **(kwargs or {}))


HALF = MixedCheckpointing(lighter="selective", heavier="full", percent=50)


@pytest.mark.parametrize(
    ("policy", "again"), [("none", 0), ("selective", 0), ("full", 4), (HALF, 2)], ids=str
)
def test_checkpointing_computes_the_same_products_again_as_without_compilation(policy, again):
    _, compiled = stacks(policy)
    step(compiled, SIZES[0])
    tokens = torch.randn(14, 48, requires_grad=True)
    loss = compiled(tokens, [Places(Rope3d(), 16).group(_all()[:, :7], None, GRID, 2)]).sum()
    with _Operations() as operations:
        loss.backward()
    attention = operations.count["_scaled_dot_product_flash_attention_for_cpu"]
    assert attention == again
    assert (operations.count["addmm"] > 0) == bool(again)
    assert operations.count["gelu"] == (0 if policy == "none" else 4)

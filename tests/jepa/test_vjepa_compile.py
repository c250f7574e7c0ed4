"""Run apart, with JAXTYPING_DISABLE=1: torch.compile cannot trace the shape checks."""

import copy

import pytest
import torch

from worldmodel_train.jepa.vjepa import Config
from worldmodel_train.types import ClipGroup, MaskedClips, Masks

pytestmark = [
    pytest.mark.compile,
    # Dynamo looks at .grad of the latents that go from one graph into the next.
    pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf"),
]


@pytest.mark.parametrize("policy", ["none", "selective", "full"])
@pytest.mark.parametrize("ragged", [False, True])
def test_blocks_compile_to_one_graph_with_the_same_gradients(policy, ragged):
    torch.manual_seed(0)
    objective = Config.tiny().build()
    objective.context_encoder.blocks.set_activation_checkpointing(policy)
    objective.predictor.blocks.set_activation_checkpointing(policy)
    compiled = copy.deepcopy(objective)
    torch.compiler.reset()
    for module in (compiled.context_encoder, compiled.target_encoder, compiled.predictor):
        for block in module.blocks:
            # The graph is what is tested here; aot_eager needs no C++ compiler.
            block.compile(fullgraph=True, backend="aot_eager")
    batch = _batch(ragged=ragged)
    for actual, expected in zip(
        _gradients(compiled, batch), _gradients(objective, batch), strict=True
    ):
        torch.testing.assert_close(actual, expected)


def _batch(*, ragged):
    order = torch.stack([torch.randperm(32) for _ in range(2)])
    masks = Masks(
        context_index=order[:, :8],
        target_index=order[:, None, 8:],
        context_valid=torch.arange(8).expand(2, 8) < 5 if ragged else None,
    )
    clips = torch.randint(0, 256, (2, 4, 32, 32, 3), dtype=torch.uint8)
    return MaskedClips(groups=(ClipGroup(clips=clips, masks=(masks,)),))


def _gradients(objective, batch):
    objective.training_losses(batch).total.backward()
    return [p.grad for p in objective.parameters() if p.requires_grad]

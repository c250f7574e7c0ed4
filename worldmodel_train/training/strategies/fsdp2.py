"""PyTorch's FSDP2: every block of every network is a unit, gathered when it computes."""

import torch
from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor


def shard(objective: nn.Module, mesh: DeviceMesh, *, in_bf16: bool) -> None:
    """Shards `objective` in place by rows over the data-parallel ranks of `mesh`.

    Weights stay fp32; under bf16 they are gathered in bf16, and gradients are averaged in fp32.
    Each child is a unit of its own with its blocks inside, because training calls the objective's
    method and not its `forward`, which a unit at the top would need. Of a list, which has no
    `forward` either, each module is one.
    """
    policy = MixedPrecisionPolicy(
        param_dtype=torch.bfloat16 if in_bf16 else None,
        reduce_dtype=torch.float32,
        # autocast rounds what linear maps take; an fp32 residual stream stays fp32
        cast_forward_inputs=False,
    )
    ranks = mesh["data_parallel"]
    for child in objective.children():
        lists = [module for module in child.modules() if isinstance(module, nn.ModuleList)]
        # a unit takes what those inside it have left, so lists inside modules of lists come first
        units = [block for blocks in reversed(lists) for block in blocks]
        for unit in units if isinstance(child, nn.ModuleList) else (*units, child):
            fully_shard(unit, mesh=ranks, mp_policy=policy, reshard_after_forward=True)
    for name, parameter in objective.named_parameters():
        if parameter.requires_grad and not isinstance(parameter, DTensor):
            raise ValueError(
                f"train.strategy=fsdp2: {name} belongs to the objective itself and to none of its "
                "modules, so its gradients would not be averaged; use another strategy"
            )

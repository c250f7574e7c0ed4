"""How wrong gradients are where the residual stream is bf16, and where it is fp32. No GPU needed.

    python -m benchmarks.residual_stream               # 12 and 24 blocks of width 96
    python -m benchmarks.residual_stream --branches 4  # what blocks add is 4 x as large

Fresh blocks under autocast in bf16 are compared with the same in fp64, on random tokens: the norm
of the difference of a block's gradients, as a share of their norm.
"""

import argparse
import copy

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.nn import functional

from worldmodel_train.models.blocks import (
    Block,
    Blocks,
    BlocksConfig,
    Stream,
    begin_stream,
    init_linear,
    rescale_residuals,
)
from worldmodel_train.models.layer_norm import LastNorm
from worldmodel_train.models.position import Places
from worldmodel_train.models.rope import Rope3d
from worldmodel_train.types import TokenGrid

WIDTH, HEADS, CLIPS, GRID = 96, 3, 4, TokenGrid(4, 8, 8)
LOSSES = ("a given gradient", "L1")
STREAMS: dict[Stream, str] = {"train": "bf16", "fp32": "fp32"}


class Network(nn.Module):
    """A stack of blocks and its last norm."""

    def __init__(self, depth: int, branches: float) -> None:
        super().__init__()
        self.blocks = Blocks(BlocksConfig(width=WIDTH, depth=depth, heads=HEADS))
        self.norm = LastNorm(WIDTH, eps=1e-6)
        self.apply(init_linear)
        rescale_residuals(self.blocks)
        for block in self.blocks:
            assert isinstance(block, Block)
            for linear in (block.attn.proj, block.mlp.fc2):
                linear.weight.data *= branches

    def gradients(self, tokens: Tensor, target: Tensor, loss: str, stream: Stream) -> list[Tensor]:
        """Of each block, flattened, in the precision that autocast and the stream give."""
        network = copy.deepcopy(self)
        index = torch.arange(GRID.num_tokens)[None]
        group = Places(Rope3d(), WIDTH // HEADS).group(index, None, GRID, CLIPS)
        latents = network.norm(network.blocks(begin_stream(tokens, stream), [group]))
        if loss == "L1":
            functional.l1_loss(latents, target).backward()
        else:
            (latents * target).mean().backward()
        return [_gradients(block) for block in network.blocks]


def _gradients(block: nn.Module) -> Tensor:
    gradients = [parameter.grad for parameter in block.parameters()]
    return torch.cat([one.double().flatten() for one in gradients if one is not None])


def errors(depth: int, branches: float, loss: str, seed: int) -> dict[Stream, list[float]]:
    """The error of each block's gradient, by the stream's precision."""
    torch.manual_seed(seed)
    network = Network(depth, branches)
    tokens = torch.randn(CLIPS * GRID.num_tokens, WIDTH).bfloat16()
    target = torch.randn(CLIPS * GRID.num_tokens, WIDTH)
    exact = (
        copy.deepcopy(network).double().gradients(tokens.double(), target.double(), loss, "train")
    )
    found: dict[Stream, list[float]] = {}
    for stream in STREAMS:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            rounded = network.gradients(tokens, target, loss, stream)
        found[stream] = [
            float((one - other).norm() / other.norm())
            for one, other in zip(rounded, exact, strict=True)
        ]
    return found


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--depths", type=int, nargs="+", default=[12, 24])
    parser.add_argument("--branches", type=float, default=1.0)
    parser.add_argument("--seeds", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    table = Table("loss", "blocks", "stream", "first block", "middle", "last")
    for loss in LOSSES:
        for depth in arguments.depths:
            runs = [
                errors(depth, arguments.branches, loss, seed) for seed in range(arguments.seeds)
            ]
            for stream in STREAMS:
                mean = torch.tensor([run[stream] for run in runs]).mean(0)
                shown = [f"{mean[block]:.2%}" for block in (0, depth // 2, depth - 1)]
                table.add_row(loss, str(depth), STREAMS[stream], *shown)
    Console().print(table)


if __name__ == "__main__":
    main()

"""What the released V-JEPA 2.1 computes from its weights, in plain PyTorch, without our parts.

Convolutions, LayerNorm of eps 1e-6, softmax attention in the open, and each axis of a place turns
its third of a head.
"""

import torch
from torch.nn import functional

MEAN = torch.tensor([0.485, 0.456, 0.406])
STD = torch.tensor([0.229, 0.224, 0.225])
REFERENCE = 16


def encode(state, clips, *, heads, depths, index=None):
    """Latents of the levels after so many blocks each, end to end, of all tokens or of some."""
    pixels = ((clips.float() / 255 - MEAN) / STD).movedim(-1, 1)
    image = clips.shape[1] == 1
    kind, embed = ("img", "patch_embed_img") if image else ("video", "patch_embed")
    weight = state[f"{embed}.proj.weight"]
    cut = functional.conv3d(pixels, weight, state[f"{embed}.proj.bias"], stride=weight.shape[2:])
    grid = cut.shape[2:]
    tokens = cut.flatten(2).transpose(1, 2) + state[f"{kind}_mod_embed"]
    if index is None:
        index = torch.arange(tokens.shape[1]).expand(len(tokens), -1)
    tokens = torch.stack([of[ids] for of, ids in zip(tokens, index, strict=True)])
    levels = []
    for number in range(max(depths)):
        tokens = block(state, f"blocks.{number}", tokens, places(index, grid), heads)
        if number + 1 in depths:
            levels.append(norm(state, f"norms_block.{len(levels)}", tokens))
    return torch.cat(levels, dim=-1), grid


def predict(state, context, indices, *, grid, heads, image):
    """What is said of targets and of context, from the levels of the context."""
    context_index, target_index = indices
    depth = len({name.split(".")[1] for name in state if name.startswith("predictor_blocks.")})
    fused = linear(state, "predictor_embed.0", context)
    fused = linear(state, "predictor_embed.2", functional.gelu(fused))
    blanks = state["mask_tokens.0"].expand(*target_index.shape, -1)
    tokens = torch.cat((fused, blanks), dim=1)
    tokens = tokens + state["img_mod_embed" if image else "video_mod_embed"]
    at = places(torch.cat((context_index, target_index), dim=1), grid)
    for number in range(depth):
        tokens = block(state, f"predictor_blocks.{number}", tokens, at, heads)
    tokens = norm(state, "predictor_norm", tokens)
    seen = context_index.shape[1]
    return (
        linear(state, "predictor_proj", tokens[:, seen:]),
        linear(state, "predictor_proj_context", tokens[:, :seen]),
    )


def places(index, grid):
    """Frame, row and column; rows and columns as on a grid of 16."""
    _, height, width = grid
    row, column = index % (height * width) // width, index % width
    return (
        (index // (height * width)).float(),
        row * (REFERENCE - 1) / (height - 1),
        column * (REFERENCE - 1) / (width - 1),
    )


def block(state, name, tokens, at, heads):
    """Attention and MLP, each behind its norm."""
    part = {key.removeprefix(f"{name}."): v for key, v in state.items() if key.startswith(name)}
    queries, keys, values = (
        each.unflatten(-1, (heads, -1)).transpose(1, 2)
        for each in linear(part, "attn.qkv", norm(part, "norm1", tokens)).chunk(3, dim=-1)
    )
    queries, keys = turned(queries, at), turned(keys, at)
    scores = queries @ keys.transpose(-2, -1) / queries.shape[-1] ** 0.5
    gathered = (scores.softmax(dim=-1) @ values).transpose(1, 2).flatten(2)
    tokens = tokens + linear(part, "attn.proj", gathered)
    hidden = functional.gelu(linear(part, "mlp.fc1", norm(part, "norm2", tokens)))
    return tokens + linear(part, "mlp.fc2", hidden)


def turned(heads, at):
    """Neighbouring channels as one complex number, turned by place times frequency."""
    width = 2 * (heads.shape[-1] // 3 // 2)
    parts = list(heads.split([width] * 3 + [heads.shape[-1] - 3 * width], dim=-1))
    frequencies = 10000 ** -(torch.arange(width // 2) / (width / 2))
    for axis, place in enumerate(at):
        angle = place[:, None, :, None] * frequencies
        pairs = torch.view_as_complex(parts[axis].unflatten(-1, (-1, 2)).contiguous())
        turned = pairs * torch.polar(torch.ones_like(angle), angle)
        parts[axis] = torch.view_as_real(turned).flatten(-2)
    return torch.cat(parts, dim=-1)


def linear(state, name, tokens):
    return functional.linear(tokens, state[f"{name}.weight"], state[f"{name}.bias"])


def norm(state, name, tokens):
    weight, bias = state[f"{name}.weight"], state[f"{name}.bias"]
    return functional.layer_norm(tokens, tokens.shape[-1:], weight, bias, eps=1e-6)

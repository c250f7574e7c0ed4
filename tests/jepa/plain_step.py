"""V-JEPA 2's training step as one would first write it: no packing, tables, fusion or library.

Every tubelet is convolved and most are then dropped, each mask group goes through the networks by
itself, every layer computes its rotation, the predictor sorts its tokens by place, the optimizer
and the EMA go through the weights one by one.
"""

import math

import torch
from torch.nn import functional

MEAN, STD = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])


class PlainStep:
    """Trains copies of an objective's weights; one frame of tokens has `place` x `place`."""

    def __init__(self, objective, *, place, lr, weight_decay, momentum):
        state = {name: tensor.clone() for name, tensor in objective.state_dict().items()}
        self.weights = {k: v.requires_grad_("target" not in k) for k, v in state.items()}
        self.objective, self.place, self.momentum = objective, place, momentum
        trained = [v for v in self.weights.values() if v.requires_grad]
        groups = [
            {"params": [v for v in trained if v.ndim > 1], "weight_decay": weight_decay},
            {"params": [v for v in trained if v.ndim <= 1], "weight_decay": 0.0},
        ]
        self.optimizer = torch.optim.AdamW(groups, lr=lr, foreach=False, fused=False)

    def __call__(self, group):
        everything = torch.arange(32).expand(len(group.clips), -1)
        with torch.no_grad():
            seen = self.encode("target_encoder", group.clips, everything)
        seen = functional.layer_norm(seen, seen.shape[-1:])
        losses = []
        for token, masks in enumerate(group.masks):
            context = self.encode("context_encoder", group.clips, masks.context_index)
            predicted = self.predict(context, masks, token)
            losses.append((predicted - take(seen, masks.target_index[:, 0])).abs().mean())
        loss = torch.stack(losses).mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.follow()
        return loss.item()

    @torch.no_grad()
    def follow(self):
        for name, teacher in self.weights.items():
            if name.startswith("target_encoder"):
                student = self.weights[name.replace("target", "context")]
                teacher.mul_(self.momentum).add_(student, alpha=1 - self.momentum)

    def encode(self, part, clips, index):
        pixels = ((clips / 255 - MEAN) / STD).movedim(-1, 1)
        weight = self.weights[f"{part}.patch_embed.proj.weight"]
        kernel = weight.unflatten(1, (3, 2, 8, 8))
        bias = self.weights[f"{part}.patch_embed.proj.bias"]
        tokens = functional.conv3d(pixels, kernel, bias, stride=(2, 8, 8))
        tokens = take(tokens.flatten(2).transpose(1, 2), index)
        return self.blocks(part, tokens, index, self.objective.context_encoder.blocks)

    def predict(self, context, masks, token):
        context = self.linear("predictor.embed", context)
        index = torch.cat([masks.context_index, masks.target_index[:, 0]], dim=1)
        blank = self.weights["predictor.mask_tokens"][token]
        blank = blank.expand(*masks.target_index[:, 0].shape, -1)
        order = index.argsort(dim=1)
        tokens = take(torch.cat([context, blank], dim=1), order)
        filled = self.blocks(
            "predictor", tokens, index.sort(dim=1).values, self.objective.predictor.blocks
        )
        filled = take(filled, order.argsort(dim=1))[:, context.shape[1] :]
        return self.linear("predictor.proj", filled)

    def blocks(self, part, tokens, index, blocks):
        for i, block in enumerate(blocks):
            name = f"{part}.blocks.{i}"
            tokens = tokens + self.attend(name, self.norm(f"{name}.norm1", tokens), index, block)
            hidden = functional.gelu(
                self.linear(f"{name}.mlp.fc1", self.norm(f"{name}.norm2", tokens))
            )
            tokens = tokens + self.linear(f"{name}.mlp.fc2", hidden)
        return self.norm(f"{part}.norm", tokens)

    def attend(self, name, tokens, index, block):
        qkv = self.linear(f"{name}.attn.qkv", tokens).chunk(3, dim=-1)
        q, k, v = (x.unflatten(-1, (block.attn.heads, -1)).transpose(1, 2) for x in qkv)
        q, k = self.turn(q, index), self.turn(k, index)
        scores = (q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])).softmax(dim=-1)
        return self.linear(f"{name}.attn.proj", (scores @ v).transpose(1, 2).flatten(2))

    def turn(self, heads, index):
        width = heads.shape[-1] // 3 // 2 * 2
        places = (index // self.place**2, index // self.place % self.place, index % self.place)
        turned = heads.clone()
        for axis, position in enumerate(places):
            for pair in range(width // 2):
                angle = position[:, None] * 10_000 ** (-pair / (width // 2))
                first = axis * width + 2 * pair
                x, y = heads[..., first], heads[..., first + 1]
                turned[..., first] = x * angle.cos() - y * angle.sin()
                turned[..., first + 1] = y * angle.cos() + x * angle.sin()
        return turned

    def linear(self, name, x):
        return x @ self.weights[f"{name}.weight"].T + self.weights[f"{name}.bias"]

    def norm(self, name, x):
        weight, bias = self.weights[f"{name}.weight"], self.weights[f"{name}.bias"]
        spread = x.var(dim=-1, keepdim=True, unbiased=False) + 1e-6
        return (x - x.mean(dim=-1, keepdim=True)) / spread.sqrt() * weight + bias


def take(tokens, index):
    return tokens[torch.arange(len(tokens))[:, None], index]

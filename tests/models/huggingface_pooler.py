"""Weights of Hugging Face's attentive pooler under the names that ours has."""

import torch


def pooler_state(theirs):
    """Our state dict of their `VJEPA2AttentivePooler`."""
    source, state = theirs.state_dict(), {}

    def take(ours, name):
        for kind in ("weight", "bias"):
            state[f"{ours}.{kind}"] = source[f"{name}.{kind}"]

    for block in range(len(theirs.self_attention_layers)):
        layer, ours = f"self_attention_layers.{block}", f"blocks.{block}"
        for kind in ("weight", "bias"):
            parts = [source[f"{layer}.self_attn.{part}_proj.{kind}"] for part in "qkv"]
            state[f"{ours}.attn.qkv.{kind}"] = torch.cat(parts)
        take(f"{ours}.attn.proj", f"{layer}.self_attn.out_proj")
        for name, other in (("norm1", "layer_norm1"), ("norm2", "layer_norm2"),
                            ("mlp.fc1", "mlp.fc1"), ("mlp.fc2", "mlp.fc2")):  # fmt: skip
            take(f"{ours}.{name}", f"{layer}.{other}")
    cross = "cross_attention_layer"
    for name, other in (("query", "cross_attn.q_proj"), ("key", "cross_attn.k_proj"),
                        ("value", "cross_attn.v_proj"), ("norm1", "layer_norm1"),
                        ("norm2", "layer_norm2"), ("mlp.fc1", "mlp.fc1"),
                        ("mlp.fc2", "mlp.fc2")):  # fmt: skip
        take(name, f"{cross}.{other}")
    state["queries"] = source["query_tokens"][0]
    return state

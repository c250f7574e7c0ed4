"""The recipe `demo` made as small as it goes."""

SMALL = (
    "method.encoder.size={width: 16, depth: 1, heads: 2}",
    "method.predictor={width: 16, depth: 1, heads: 2, mask_tokens: 2}",
    "method.encoder.position.name=sincos3d", "data.held_out.clip.frames=2",
    "data.sources.0.clip.frames=2", "data.augment.size=64",
)  # fmt: skip

"""What a frozen encoder made of clips, kept on disk: `wmt data latents` writes it.

A folder holds `latents.json`, which says what the latents are of, and shards `00000.safetensors`.
A shard has `tokens` (clips, tokens, channels) and, where classes were given, `labels` (clips), and
in its header the key of each clip's video. A shard is there whole or not at all; `latents.json`
counts their clips once all are there. Rows are read at random through memory maps.
"""

"""Video: shards, order, decoding, clips, batches. Kept empty: decoding processes import it."""

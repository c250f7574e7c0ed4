"""From shard strings to encoded samples: tars that can seek, and streams that cannot."""

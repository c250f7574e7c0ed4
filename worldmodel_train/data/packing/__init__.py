"""Videos -> tar shards: what `wmt data pack`, `wmt data check` and `wmt data show` do."""

"""Episodes of an agent in a world: shards to windows of observations and actions.

A sample of a shard is an episode: `<key>.npz` holds `observations` (uint8 T h w c, or floats T d),
`actions` (floats or integers, T-1 or T-1 a; action t is taken at observation t and leads to t+1),
and, where they are known, `states` (floats T s), `rewards` (floats T-1) and `ends` (bools T-1, true
at most for the last). `<key>.json` may say anything. Where the recipe has `data.size`, frames lie
in `<key>.mp4` instead, one for each observation; of several cameras in `<key>.left.mp4` and the
like, of which `data.camera` names one. All episodes of a run have the same arrays, of the same
shapes but for T; `write_episodes` makes such shards, and `formats/` reads what others record.
"""

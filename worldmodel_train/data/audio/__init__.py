"""Recordings of sound in shards: of each a stretch is heard, as one channel at one rate.

A sample is `<key>.wav`, `.flac`, `.ogg` or the like, beside it a `<key>.json` where it has a label.
"""

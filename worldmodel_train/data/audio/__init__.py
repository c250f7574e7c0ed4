"""Recordings of sound: shards of `<key>.wav`, `.flac`, `.ogg` ..., each with a `<key>.json` if it
has a label; of each a stretch of one length is heard, as one channel at one rate.
"""

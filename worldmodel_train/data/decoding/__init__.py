"""From the bytes of a video to a uint8 clip, by either of two decoders that can be killed."""

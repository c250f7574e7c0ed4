"""What counts as a recording of sound: packing takes nothing that training cannot read."""

AUDIO_SUFFIXES = frozenset((".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3"))

# plain containers alone, as of videos: a playlist could name other files or hosts
AUDIO_CONTAINERS = "wav,flac,ogg,mp3"

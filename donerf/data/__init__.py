"""Data sets: the format on disk, depth ranges, one-file packs, a procedural scene."""

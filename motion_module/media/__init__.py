"""Frames in, files out: clips, their formats, names and metadata. Knows nothing of torch or of the host."""

"""Frames become files and an answer."""

"""The JSON API under /sdapi/v1."""

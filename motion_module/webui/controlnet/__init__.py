"""ControlNet's units and hints, for each frame."""

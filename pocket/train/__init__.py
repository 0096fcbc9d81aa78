"""Training of the bundled model; `python3 pocket/train/run.py` makes all of it."""

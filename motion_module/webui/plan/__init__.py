"""What a run will do, as values."""

"""What a unit is, and the functions by which other extensions reach the units of a run."""

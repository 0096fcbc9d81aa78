"""A video becomes frames."""

"""Output of a run: its frames saved as files, and the result that names them."""

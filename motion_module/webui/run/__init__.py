"""The hooks of the host, and the run that they drive."""

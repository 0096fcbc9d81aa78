"""What is changed around `p.sample`."""

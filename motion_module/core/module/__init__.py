"""What is in a file of weights, and how it becomes layers in a UNet."""

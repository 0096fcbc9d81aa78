"""What a person sees of us in the WebUI: panel, settings, axes of the plot."""

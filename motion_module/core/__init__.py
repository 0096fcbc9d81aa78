"""The motion modules and their place in a UNet: torch only, nothing of the WebUI."""

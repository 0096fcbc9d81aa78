"""AnimateDiff for the WebUI: videos from text, pictures and videos with Stable Diffusion."""

__version__ = "0.1.0"

"""The glue to the WebUI: besides `scripts/` the only place that imports the host's `modules` and gradio."""

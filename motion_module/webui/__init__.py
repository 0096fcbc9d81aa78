"""The glue to the WebUI: the only place that imports the host's `modules` and gradio."""

"""The kinds of WebUI, one class each, behind the `Host` protocol."""

"""How events of the panel are asked of the server."""

from __future__ import annotations

SILENT = {"queue": False, "show_progress": "hidden", "api_name": False}
"""For what answers at once beside a run: no place in the queue, nothing that spins, and no name in gradio's own API."""

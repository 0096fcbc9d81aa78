"""What the page's live-preview slot asks for while a video is sampled."""

from __future__ import annotations

from fastapi import FastAPI
from fastapi.responses import Response

from modules import progress
from motion_module.webui.sampling import live_preview

ROUTE = "/animatediff/live-preview"
NUMBER = "animatediff-preview"  # the header with the preview's number


def add(app: FastAPI) -> None:
    """Add the route beside that of the host's own progress, which pages ask without an API and without its password."""
    app.get(ROUTE, include_in_schema=False)(moving)


def moving(id_task: str, known: int = 0) -> Response:
    """The newest preview of a task as an animated WEBP; no content where there is none newer than number `known`.

    Only the page that has begun a task knows its name.
    """
    shown = live_preview.newest(known) if id_task == progress.current_task else None
    if shown is None:
        return Response(status_code=204)
    headers = {NUMBER: str(shown.number), "Cache-Control": "no-store"}
    return Response(shown.webp, media_type="image/webp", headers=headers)

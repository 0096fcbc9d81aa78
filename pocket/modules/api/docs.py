"""`/docs`: what the API can be asked, as a plain page. FastAPI's own loads its program from the internet."""

import html
from typing import Any

from fastapi import FastAPI
from fastapi.responses import HTMLResponse, RedirectResponse

_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{title}: the API</title>
<style>
body {{ font-family: sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em }}
td {{ padding: 0.2em 1em 0.2em 0; vertical-align: top }}
code {{ white-space: nowrap }}
</style></head><body>
<h1>{title}: the API</h1>
<p>Every field of every request, for people and programs: <a href="openapi.json">openapi.json</a>.</p>
<table>
{rows}
</table></body></html>
"""


def add_docs(app: FastAPI) -> None:
    """Adds the page; it lists the routes that the app has when it is asked for. `/redoc` leads there."""

    @app.get("/docs", include_in_schema=False)
    def docs() -> HTMLResponse:
        return HTMLResponse(page_of(app.openapi()))

    @app.get("/redoc", include_in_schema=False)
    def redoc() -> RedirectResponse:
        return RedirectResponse("docs")


def page_of(schema: dict[str, Any]) -> str:
    """The page for an OpenAPI schema: method, path, and what the route does."""
    rows = [
        f"<tr><td><code>{html.escape(f'{method.upper()} {path}')}</code></td><td>{html.escape(_about(route))}</td></tr>"
        for path, routes in sorted(schema["paths"].items())
        for method, route in routes.items()
    ]
    return _PAGE.format(title=html.escape(schema["info"]["title"]), rows="\n".join(rows))


def _about(route: dict[str, Any]) -> str:
    return route.get("description") or route.get("summary") or ""

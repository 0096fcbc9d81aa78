"""Loads the page's scripts and styles, the host's and the extensions'."""

import os
from typing import Any
from urllib.parse import quote

import gradio as gr

from modules import scripts
from modules.paths_internal import script_path


def webpath(path: str) -> str:
    """The address of a file in the page; it changes when the file does."""
    return f"file={quote(os.path.abspath(path))}?{os.path.getmtime(path)}"


def javascript_html() -> str:
    """The tags that load all scripts."""
    kinds = {".js": "text/javascript", ".mjs": "module"}
    files = [(os.path.join(script_path, "script.js"), kinds[".js"])]
    for extension, kind in kinds.items():
        files += [(file.path, kind) for file in scripts.list_scripts("javascript", extension)]
    return "".join(f'<script type="{kind}" src="{webpath(path)}"></script>\n' for path, kind in files)


def css_html() -> str:
    """The tags that load all styles."""
    files = scripts.list_files_with_name("style.css")
    return "".join(f'<link rel="stylesheet" property="stylesheet" href="{webpath(path)}">' for path in files)


_original_response = gr.routes.templates.TemplateResponse


def reload_javascript() -> None:
    """Makes gradio's page carry the tags as they are now."""
    head = (javascript_html() + css_html()).encode("utf-8")

    def with_tags(*args: Any, **kwargs: Any) -> Any:
        response = _original_response(*args, **kwargs)
        response.body = response.body.replace(b"</head>", head + b"</head>")
        response.init_headers()
        return response

    gr.routes.templates.TemplateResponse = with_tags


def allowed_paths() -> list[str]:
    """Folders from which the page may load files: the host's script and the extensions' scripts and styles."""
    files = [os.path.join(script_path, "script.js"), *scripts.list_files_with_name("style.css")]
    for extension in (".js", ".mjs"):
        files += [file.path for file in scripts.list_scripts("javascript", extension)]
    return files

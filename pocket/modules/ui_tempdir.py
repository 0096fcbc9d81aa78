"""Where the page's pictures lie: a picture that is saved already is shown from there, others keep their infotext."""

import os
import tempfile
from pathlib import Path
from typing import Any

import gradio.components
from PIL import Image, PngImagePlugin

from modules import shared


def register_tmp_file(demo: Any, filename: str) -> None:
    """Lets the page show a file."""
    if hasattr(demo, "temp_file_sets"):
        demo.temp_file_sets[0] = demo.temp_file_sets[0] | {os.path.abspath(filename)}


def check_tmp_file(demo: Any, filename: str) -> bool:
    """Whether the page may show a file."""
    return any(filename in files for files in getattr(demo, "temp_file_sets", []))


def _chosen_folder() -> str:
    return getattr(shared.opts, "temp_dir", "")


def temp_folders() -> list[str]:
    """The folders for the page's own pictures and for the files that were dropped on it."""
    folders = [_chosen_folder(), os.environ.get("GRADIO_TEMP_DIR"), os.path.join(tempfile.gettempdir(), "gradio")]
    return [folder for folder in folders if folder]


def is_gradio_temp_path(path: str | os.PathLike[str]) -> bool:
    """Whether a path lies in a folder for the page's own pictures."""
    return any(Path(folder).resolve() in Path(path).resolve().parents for folder in temp_folders())


def save_pil_to_file(self: Any, pil_image: Image.Image, dir: str | None = None, format: str = "png") -> str:
    """The path from which the page shows a picture; written with its texts unless it has been saved before."""
    saved = getattr(pil_image, "already_saved_as", None)
    if saved and os.path.isfile(saved):
        # The time makes the browser load a file again that was written again.
        with_time = f"{saved}?{os.path.getmtime(saved)}"
        register_tmp_file(shared.demo, saved)
        register_tmp_file(shared.demo, with_time)
        return with_time
    folder = _chosen_folder() or dir
    if folder:
        os.makedirs(folder, exist_ok=True)
    texts = {key: value for key, value in pil_image.info.items() if isinstance(key, str) and isinstance(value, str)}
    metadata = PngImagePlugin.PngInfo()
    for key, value in texts.items():
        metadata.add_text(key, value)
    with tempfile.NamedTemporaryFile(delete=False, suffix=".png", dir=folder) as file:
        pil_image.save(file, format="png", pnginfo=metadata if texts else None)
    return file.name


def install_ui_tempdir_override() -> None:
    """Makes gradio write pictures in this way."""
    gradio.components.IOComponent.pil_to_temp_file = save_pil_to_file

"""The section "AnimateDiff" of the host's settings page."""

from __future__ import annotations

from typing import Any

import gradio as gr

from modules import shared
from motion_module import formats
from motion_module.core.denoising.schedule import KEEP, SCHEDULES
from motion_module.media.writing import LOSSLESS, TEN_BIT
from motion_module.webui.request.allowed_paths import PATH_SETTINGS, SETTING
from motion_module.webui.request.motion_modules import DEFAULT_FOLDER

AS_TRAINED = "as the motion module was trained"
SECTION = ("animatediff", "AnimateDiff")
_Settings = dict[str, tuple[Any, str, Any, dict[str, Any]]]  # name -> default, label, component, its arguments
_PRESETS = ["", "veryslow", "slower", "slow", "medium", "fast", "faster", "veryfast", "superfast", "ultrafast"]
_TUNES = ["", "film", "animation", "grain"]


def register() -> None:
    """Add the settings; the host calls this once when it builds its settings."""
    for name, (default, label, component, arguments) in {**_of_models(), **_of_saving(), **_of_mp4()}.items():
        names_folders = name in PATH_SETTINGS
        shown = {**arguments, **shared.hide_dirs} if names_folders else arguments
        info = shared.OptionInfo(default, label, component, shown, section=SECTION, restrict_api=names_folders)
        shared.opts.add_option(name, info)


def _of_models() -> _Settings:
    return {
        "animatediff_model_path": (str(DEFAULT_FOLDER), "Folder of the motion modules", gr.Textbox, {}),
        SETTING: (
            "",
            "Folders that paths of videos and frames may lead into, one in a line, besides the WebUI's own output and "
            "temporary folders (empty: every folder, as long as only this machine reaches the WebUI)",
            gr.Textbox,
            {"lines": 3},
        ),
        "animatediff_alpha_schedule": (
            AS_TRAINED,
            "Noise schedule while the motion module is in the model",
            gr.Radio,
            {"choices": [AS_TRAINED, *SCHEDULES, KEEP]},
        ),
    }


def _of_saving() -> _Settings:
    return {
        "animatediff_default_save_formats": (
            list(formats.DEFAULT),
            "Default save formats",
            gr.CheckboxGroup,
            {"choices": list(formats.WRITTEN)},
        ),
        "animatediff_save_to_custom": (
            True,
            "Save frames beside the videos, not in the WebUI's own place",
            gr.Checkbox,
            {},
        ),
        "animatediff_frame_extract_path": (
            "",
            "Folder for the frames of a video source (empty: among the system's temporary files)",
            gr.Textbox,
            {},
        ),
        "animatediff_frame_extract_remove": (
            False,
            "Remove the frames of a video source after each run, instead of keeping them for the next one",
            gr.Checkbox,
            {},
        ),
        "animatediff_frame_extract_days": (
            7,
            "Keep the frames of a video source for so many days after their last use (0: for ever)",
            gr.Number,
            {"precision": 0, "minimum": 0},
        ),
        "animatediff_frame_extract_gb": (
            10,
            "Keep so many GB of frames of video sources, those that were used last (0: any number)",
            gr.Number,
            {"minimum": 0},
        ),
        "animatediff_optimize_gif_palette": (False, "GIF: the best-looking palette (slower)", gr.Checkbox, {}),
        "animatediff_optimize_gif_gifsicle": (False, "GIF: make smaller with gifsicle, if installed", gr.Checkbox, {}),
        "animatediff_webp_quality": (
            80,
            "WEBP: quality; with lossless: effort",
            gr.Slider,
            {"minimum": 1, "maximum": 100, "step": 1},
        ),
        "animatediff_webp_lossless": (False, "WEBP: lossless", gr.Checkbox, {}),
        "animatediff_interp_slow": (
            False,
            "Frame interpolation: as many frames per second as before, so the video plays slower",
            gr.Checkbox,
            {},
        ),
    }


def _of_mp4() -> _Settings:
    return {
        "animatediff_mp4_crf": (
            23,
            "MP4: quality (crf), less is better",
            gr.Slider,
            {"minimum": 0, "maximum": 51, "step": 1},
        ),
        "animatediff_mp4_preset": ("", "MP4: encoding preset", gr.Dropdown, {"choices": _PRESETS}),
        "animatediff_mp4_tune": ("", "MP4: tune for a kind of film", gr.Dropdown, {"choices": _TUNES}),
        "animatediff_mp4_for_editors": (
            "",
            "MP4: more than players and browsers can show, for editing programs",
            gr.Dropdown,
            {"choices": ["", TEN_BIT, LOSSLESS]},
        ),
    }

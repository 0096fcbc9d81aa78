"""The first part of the table of parameters: the fields that people know, and that their JSON and infotexts hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from motion_module import formats
from motion_module.field_table import FieldTable, row
from motion_module.windows import CLOSED_LOOPS, ClosedLoop, WindowPlan

WINDOWS = WindowPlan()
REVERSE_LABELS = ("Add Reverse Frame", "Remove head", "Remove tail")

_I2I = {"group": "Image to video", "tabs": ("img2img",)}
_FREEINIT = {"group": "Noise", "needs": ("freeinit_enable",)}
_LAST = {"group": "Image to video", "tabs": ("img2img",), "needs": ("last_frame",)}
_VIDEO_IN = {"group": "Video in"}


@dataclass
class FamiliarParams(FieldTable):
    """The fields that people bring along, in the order in which their clients and infotexts have them."""

    enable: bool = row(False, "bool", "Enable AnimateDiff", "Generate a video instead of single images.")
    model: str = row(
        "",
        "text",
        "Motion module",
        "Which motion module to use. Leave empty for the first one that fits your checkpoint.",
        group="Motion",
    )
    video_length: int = row(
        0,
        "int",
        "Number of frames",
        "How many frames to make. 0 takes as many as your video, folder or pictures have, else one context batch.",
        limits=(0, 10_000),
    )
    fps: float = row(
        8,
        "number",
        "FPS",
        f"Frames per second. Some formats drop frames to keep the length: {formats.limits_text()}.",
        limits=(1, 120),
    )
    loop_number: int = row(
        0, "int", "Display loop number", "How many times the video plays; 0 repeats it forever.", limits=(0, 65_535)
    )
    closed_loop: ClosedLoop = row(
        ClosedLoop(WINDOWS.closed_loop),
        "choice",
        "Closed loop",
        "A: the last frame leads back into the first. R+P: only the prompts return to their start. R-P and N: no loop.",
        choices=CLOSED_LOOPS,
        off_on=(ClosedLoop("R-P"), ClosedLoop("A")),
        group="Context",
    )
    batch_size: int = row(
        WINDOWS.context,
        "int",
        "Context batch size",
        "How many frames the motion module sees at once, 16 for most; longer videos are cut into windows.",
        limits=(1, 256),
        group="Context",
    )
    stride: int = row(
        WINDOWS.stride,
        "int",
        "Stride",
        "Above 1, windows also take every 2nd, 4th, ... frame (up to 2 to the power stride - 1), so distant frames "
        "influence each other.",
        limits=(1, 64),
        group="Context",
    )
    overlap: int = row(
        WINDOWS.overlap,
        "int",
        "Overlap",
        "How many frames neighbouring windows share; more is smoother and slower, -1 is a quarter of the context.",
        limits=(-1, 256),
        group="Context",
    )
    format: list[str] = row(
        list(formats.DEFAULT),
        "choices",
        "Save format",
        f"What is written; {formats.FRAME} also returns every frame to API clients.",
        choices=formats.NAMES,
    )
    interp: str = row(
        "Off",
        "choice",
        "Frame interpolation",
        "Adds frames in between: FILM with a neural network (needs its file), FFMPEG by following the motion.",
        choices=("Off", "FILM", "FFMPEG"),
    )
    interp_x: int = row(
        10, "int", "Interp X", "How many frames to add between two frames.", limits=(1, 60), needs=("interp",)
    )
    video_source: str | None = row(
        None,
        "video",
        "Video source",
        "A video to work from (MP4, WEBM, MOV, MKV, GIF, ...). The result gets its frame rate.",
        recorded=False,  # on the panel it is a temporary file
        **_VIDEO_IN,
    )
    video_path: str = row(
        "",
        "path",
        "Video path",
        "A folder of frames to work from; it may have folders image and mask inside, for frames and inpaint masks.",
        **_VIDEO_IN,
    )
    mask_path: str = row(
        "", "path", "Mask path", "A folder of inpaint masks: one for all frames, or one for each frame.", **_VIDEO_IN
    )
    freeinit_enable: bool = row(
        False, "bool", "FreeInit", "Smoother, steadier motion, by sampling the video several times.", group="Noise"
    )
    freeinit_filter: str = row(
        "butterworth",
        "choice",
        "Filter type",
        "The filter that decides what each pass keeps of the one before.",
        choices=("butterworth", "gaussian", "ideal", "box"),
        **_FREEINIT,
    )
    freeinit_ds: float = row(
        0.25,
        "number",
        "d_s",
        "Spatial cut-off of the filter: higher keeps more of the picture from the pass before.",
        step=0.05,
        limits=(0, 1),
        **_FREEINIT,
    )
    freeinit_dt: float = row(
        0.25,
        "number",
        "d_t",
        "Temporal cut-off of the filter: higher keeps more of the motion from the pass before.",
        step=0.05,
        limits=(0, 1),
        **_FREEINIT,
    )
    freeinit_iters: int = row(
        3, "int", "FreeInit iterations", "How many times the video is sampled.", limits=(2, 5), **_FREEINIT
    )
    latent_power: float = row(
        1,
        "number",
        "Latent power",
        "How quickly the frames leave the first picture: frame i starts from a share of 1 - i ** power / scale of it; "
        "the rest is noise.",
        step=0.1,
        limits=(0.1, 10),
        **_I2I,
    )
    latent_scale: float = row(
        32,
        "number",
        "Latent scale",
        "How many frames it takes to leave the first picture, at power 1.",
        limits=(1, 128),
        **_I2I,
    )
    last_frame: Any = row(None, "image", "Last frame", "A picture for the video to end on.", recorded=False, **_I2I)
    latent_power_last: float = row(
        1,
        "number",
        "Latent power for last frame",
        "How quickly the frames approach the last picture, counted from the end.",
        step=0.1,
        limits=(0.1, 10),
        **_LAST,
    )
    latent_scale_last: float = row(
        32,
        "number",
        "Latent scale for last frame",
        "How many frames it takes to approach the last picture, at power 1.",
        limits=(1, 128),
        **_LAST,
    )
    request_id: str = row(
        "",
        "text",
        "Request id",
        "Becomes part of the file names, so that clients can find their files.",
        pattern=r"[A-Za-z0-9_-]{0,64}",
        pattern_help="at most 64 letters, digits, _ and -",
        recorded=False,
    )
    reverse: list[int] = row(
        [],
        "choices",
        "Reverse",
        "Plays the video back: 0 appends the frames in reverse, 1 drops the first of those, 2 the last.",
        choices=(0, 1, 2),
        labels=REVERSE_LABELS,
    )

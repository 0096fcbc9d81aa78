"""The first part of the table of parameters: the fields that people know, and that their JSON and infotexts hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from motion_module import formats
from motion_module.field_table import FieldTable, row
from motion_module.windows import CLOSED_LOOPS, ClosedLoop, WindowPlan

WINDOWS = WindowPlan()
REVERSE_LABELS = ("Add Reverse Frame", "Remove head", "Remove tail")

LONG, PICTURES, VIDEO_IN = "Looping and long videos", "Start and end pictures", "Video in"
MOTION, FILES, MEMORY = "Motion and noise", "Interpolation and files", "Module and memory"
GROUPS = ("", LONG, PICTURES, VIDEO_IN, MOTION, FILES, MEMORY)
"""The parts of the panel, in the order of work."""

_I2I = {"group": PICTURES, "tabs": ("img2img",)}
_FREEINIT = {"group": MOTION, "line": 3, "needs": ("freeinit_enable",)}
_LAST = {"group": PICTURES, "line": 1, "tabs": ("img2img",), "needs": ("last_frame",)}


@dataclass
class FamiliarParams(FieldTable):
    """The fields that people bring along, in the order in which their clients and infotexts have them."""

    enable: bool = row(False, "bool", "Enable AnimateDiff", "Generate a video instead of single images.", always=True)
    model: str = row(
        "",
        "text",
        "Motion module",
        "Which motion module to use. Leave empty for the first one that fits your checkpoint.",
        always=True,
    )
    video_length: int = row(
        0,
        "int",
        "Number of frames",
        "0: one context batch, or as many as your video has.",
        more="A folder of frames and pictures for ControlNet count as a video does.",
        limits=(0, 10_000),
        slider=(0, 256),
        line=1,
        always=True,
    )
    fps: float = row(
        8,
        "number",
        "FPS",
        "Frames per second.",
        more=f"At high rates some are left out of {formats.limits_text()}.",
        limits=(1, 120),
        slider=(1, 60),
        line=1,
        always=True,
    )
    loop_number: int = row(
        0,
        "int",
        "Display loop number",
        "How many times the video plays; 0 repeats it forever.",
        limits=(0, 65_535),
        group=FILES,
        line=1,
        always=True,
    )
    closed_loop: ClosedLoop = row(
        ClosedLoop(WINDOWS.closed_loop),
        "choice",
        "Closed loop",
        "A: the last frame leads into the first. R+P: only the prompts return to their start. R-P and N: no loop.",
        choices=CLOSED_LOOPS,
        off_on=(ClosedLoop("R-P"), ClosedLoop("A")),
        group=LONG,
        always=True,
    )
    batch_size: int = row(
        WINDOWS.context,
        "int",
        "Context batch size",
        "How many frames the motion module sees at once, 16 for most.",
        more="Longer videos are cut into windows of so many.",
        limits=(1, 256),
        slider=(1, 32),
        group=LONG,
        line=1,
        always=True,
    )
    stride: int = row(
        WINDOWS.stride,
        "int",
        "Stride",
        "Above 1, frames that lie further apart influence each other, too.",
        more="Some windows then take every second, every fourth, ... frame.",
        limits=(1, 64),
        slider=(1, 8),
        group=LONG,
        line=2,
        always=True,
    )
    overlap: int = row(
        WINDOWS.overlap,
        "int",
        "Overlap",
        "How many frames neighbouring windows share; -1 is a quarter of the context.",
        more="More is smoother and slower.",
        limits=(-1, 256),
        slider=(-1, 32),
        group=LONG,
        line=1,
        always=True,
    )
    format: list[str] = row(
        list(formats.DEFAULT),
        "choices",
        "Save format",
        f"The files that are written; {formats.FRAME} returns every frame to API clients.",
        choices=formats.NAMES,
        line=2,
    )
    interp: str = row(
        "Off",
        "choice",
        "Frame interpolation",
        "Adds frames in between, for smoother motion.",
        more="FLOW and FFMPEG follow the motion (FLOW is faster and truer), FILM is a neural network (needs its file).",
        choices=("Off", "FILM", "FFMPEG", "FLOW"),
        group=FILES,
        always=True,
    )
    interp_x: int = row(
        10,
        "int",
        "Interp X",
        "How many frames to add between two frames.",
        limits=(1, 60),
        slider=(1, 60),
        group=FILES,
        needs=("interp",),
        always=True,
    )
    video_source: str | None = row(
        None,
        "video",
        "Video source",
        "A video to start from (img2img), or for ControlNet to look at. The result gets its frame rate.",
        more="MP4, WEBM, MOV, GIF, ... On img2img a ControlNet unit without a picture of its own takes it first.",
        recorded=False,  # on the panel it is a temporary file
        group=VIDEO_IN,
    )
    video_path: str = row(
        "",
        "path",
        "Video path",
        "A folder of frames, in the place of a video.",
        more="It may have folders image and mask inside, for frames and inpaint masks.",
        group=VIDEO_IN,
        line=3,
    )
    mask_path: str = row(
        "",
        "path",
        "Mask path",
        "A folder of inpaint masks: one for all frames, or one for each frame.",
        group=VIDEO_IN,
        line=3,
    )
    freeinit_enable: bool = row(
        False,
        "bool",
        "FreeInit",
        "Smoother, steadier motion, by sampling the video several times.",
        group=MOTION,
        line=2,
    )
    freeinit_filter: str = row(
        "butterworth",
        "choice",
        "Filter type",
        "The filter that decides what each pass keeps of the one before.",
        choices=("butterworth", "gaussian", "ideal", "box"),
        folded=True,
        **_FREEINIT,
    )
    freeinit_ds: float = row(
        0.25,
        "number",
        "d_s",
        "Spatial cut-off of the filter: higher keeps more of the picture from the pass before.",
        step=0.05,
        limits=(0, 1),
        slider=(0, 1),
        **_FREEINIT,
    )
    freeinit_dt: float = row(
        0.25,
        "number",
        "d_t",
        "Temporal cut-off of the filter: higher keeps more of the motion from the pass before.",
        step=0.05,
        limits=(0, 1),
        slider=(0, 1),
        **_FREEINIT,
    )
    freeinit_iters: int = row(
        3,
        "int",
        "FreeInit iterations",
        "How many times the video is sampled.",
        limits=(2, 5),
        slider=(2, 5),
        **_FREEINIT,
    )
    latent_power: float = row(
        1,
        "number",
        "Latent power",
        "How quickly the frames leave the first picture: higher is sooner.",
        step=0.1,
        limits=(0.1, 10),
        slider=(0.1, 10),
        **_I2I,
    )
    latent_scale: float = row(
        32,
        "number",
        "Latent scale",
        "How many frames it takes to leave the first picture, at power 1.",
        limits=(1, 128),
        slider=(1, 128),
        **_I2I,
    )
    last_frame: Any = row(
        None, "image", "Last frame", "A picture for the video to end on.", recorded=False, line=1, **_I2I
    )
    latent_power_last: float = row(
        1,
        "number",
        "Latent power for last frame",
        "How quickly the frames approach the last picture: higher is later.",
        step=0.1,
        limits=(0.1, 10),
        slider=(0.1, 10),
        **_LAST,
    )
    latent_scale_last: float = row(
        32,
        "number",
        "Latent scale for last frame",
        "How many frames it takes to approach the last picture, at power 1.",
        limits=(1, 128),
        slider=(1, 128),
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
        group=FILES,
        line=1,
    )
    reverse: list[int] = row(
        [],
        "choices",
        "Reverse",
        "Plays the video back to its first frame.",
        more="The frames are appended in reverse, without the first (head) or the last (tail) of them.",
        choices=(0, 1, 2),
        labels=REVERSE_LABELS,
        group=LONG,
    )

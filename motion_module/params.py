"""The one table of parameters: panel, API, infotext and documentation are all made from `VideoParams`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from motion_module import formats
from motion_module.errors import ParamError
from motion_module.field_table import FieldTable, row
from motion_module.windows import AUTO, BLENDS, CLOSED_LOOPS, SCHEDULES, ClosedLoop, WindowPlan
from motion_module.wording import mention, value_text

WINDOWS = WindowPlan()
RETURNED = ("all", "pictures")
REVERSE_LABELS = ("Add Reverse Frame", "Remove head", "Remove tail")


_I2I = {"group": "Image to video", "tabs": ("img2img",)}
_FREEINIT = {"group": "Noise", "needs": ("freeinit_enable",)}
_LAST = {"group": "Image to video", "tabs": ("img2img",), "needs": ("last_frame",)}
_VIDEO_IN = {"group": "Video in"}
_OF_SOURCE = {"group": "Video in", "needs": ("video_source", "video_path")}


@dataclass
class VideoParams(FieldTable):
    """Every field of a request, with the defaults of a new panel."""

    enable: bool = row(False, "bool", "Enable AnimateDiff", "Make a video instead of single pictures.")
    model: str = row(
        "",
        "text",
        "Motion module",
        "A name inside the model folders; empty takes the first one that fits the checkpoint.",
        group="Motion",
    )
    video_length: int = row(
        0,
        "int",
        "Number of frames",
        "0 takes as many as the video, the shortest ControlNet folder or img2img has, else the context batch size.",
        limits=(0, 10_000),
    )
    fps: float = row(
        8,
        "number",
        "FPS",
        f"Frames per second. To last as long, some formats leave frames out: {formats.limits_text()}.",
        limits=(1, 120),
    )
    loop_number: int = row(
        0, "int", "Display loop number", "How often the video plays; 0 is for ever.", limits=(0, 65_535)
    )
    closed_loop: ClosedLoop = row(
        ClosedLoop(WINDOWS.closed_loop),
        "choice",
        "Closed loop",
        "N: no window wraps round the end; R-P: few do; R+P: few, and prompt travel is closed; A: wraps fully.",
        choices=CLOSED_LOOPS,
        off_on=(ClosedLoop("R-P"), ClosedLoop("A")),
        group="Context",
    )
    batch_size: int = row(
        WINDOWS.context,
        "int",
        "Context batch size",
        "Frames the motion module sees at once.",
        limits=(1, 256),
        group="Context",
    )
    stride: int = row(
        WINDOWS.stride,
        "int",
        "Stride",
        "Windows also take every 2nd, 4th, ... frame, up to 2 to the power of stride - 1.",
        limits=(1, 64),
        group="Context",
    )
    overlap: int = row(
        WINDOWS.overlap,
        "int",
        "Overlap",
        "Frames two windows share; -1 is a quarter of the context batch size.",
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
        "Frames made between frames: FILM by its network, FFMPEG along the motion that ffmpeg finds.",
        choices=("Off", "FILM", "FFMPEG"),
    )
    interp_x: int = row(10, "int", "Interp X", "Frames made between two frames.", limits=(1, 60), needs=("interp",))
    video_source: str | None = row(
        None,
        "video",
        "Video source",
        "A video to start from (MP4, WEBM, MOV, MKV, GIF, ...); its FPS is taken over.",
        recorded=False,  # on the panel it is a temporary file
        **_VIDEO_IN,
    )
    video_path: str = row(
        "",
        "path",
        "Video path",
        "A folder of frames to start from; with folders image and mask inside, of frames and inpaint masks.",
        **_VIDEO_IN,
    )
    mask_path: str = row(
        "", "path", "Mask path", "A folder of inpaint masks: one for all frames, or one for each.", **_VIDEO_IN
    )
    freeinit_enable: bool = row(False, "bool", "FreeInit", "Smoother motion for more passes.", group="Noise")
    freeinit_filter: str = row(
        "butterworth",
        "choice",
        "Filter type",
        "The low-pass filter of FreeInit.",
        choices=("butterworth", "gaussian", "ideal", "box"),
        **_FREEINIT,
    )
    freeinit_ds: float = row(
        0.25, "number", "d_s", "Spatial cut-off of FreeInit.", step=0.05, limits=(0, 1), **_FREEINIT
    )
    freeinit_dt: float = row(
        0.25, "number", "d_t", "Temporal cut-off of FreeInit.", step=0.05, limits=(0, 1), **_FREEINIT
    )
    freeinit_iters: int = row(3, "int", "FreeInit iterations", "Passes of FreeInit.", limits=(2, 5), **_FREEINIT)
    latent_power: float = row(
        1,
        "number",
        "Latent power",
        "Frame i starts from 1 - i ** power / scale of the picture, the rest is noise.",
        step=0.1,
        limits=(0.1, 10),
        **_I2I,
    )
    latent_scale: float = row(
        32,
        "number",
        "Latent scale",
        "Over how many frames the picture fades, where the power is 1.",
        limits=(1, 128),
        **_I2I,
    )
    last_frame: Any = row(None, "image", "Last frame", "The picture the video ends on.", recorded=False, **_I2I)
    latent_power_last: float = row(
        1,
        "number",
        "Latent power for last frame",
        "The same for the last frame, backwards in time.",
        step=0.1,
        limits=(0.1, 10),
        **_LAST,
    )
    latent_scale_last: float = row(
        32,
        "number",
        "Latent scale for last frame",
        "The same for the last frame, backwards in time.",
        limits=(1, 128),
        **_LAST,
    )
    request_id: str = row(
        "",
        "text",
        "Request id",
        "A part of the file names, for clients that look for their files.",
        pattern=r"[A-Za-z0-9_-]{0,64}",
        pattern_help="at most 64 letters, digits, _ and -",
        recorded=False,
    )
    reverse: list[int] = row(
        [],
        "choices",
        "Reverse",
        "0: append the frames backwards; 1: without the first of them; 2: without the last of them.",
        choices=(0, 1, 2),
        labels=REVERSE_LABELS,
    )
    blend: str = row(
        WINDOWS.blend, "choice", "Blend", "How overlapping windows are joined.", choices=BLENDS, group="Context"
    )
    schedule: str = row(
        WINDOWS.schedule,
        "choice",
        "Window schedule",
        "uniform moves the windows from step to step; static keeps them; auto is static with R-P (no stride, blended), "
        "so that a video does not return to its start.",
        choices=(AUTO, *SCHEDULES),
        group="Context",
    )
    windows_per_call: int = row(
        WINDOWS.windows_per_call,
        "int",
        "Windows per call",
        "Windows in one UNet call.",
        limits=(1, 64),
        group="Context",
    )
    motion_scale: float = row(
        1.0,
        "number",
        "Motion scale",
        "More or less motion: multiplies what frames give on each other.",
        step=0.05,
        limits=(0, 10),
        group="Motion",
    )
    effect: float = row(
        1.0,
        "number",
        "Effect",
        "What the motion module adds; 0 is plain Stable Diffusion.",
        step=0.05,
        limits=(0, 2),
        group="Motion",
    )
    freenoise_enable: bool = row(False, "bool", "FreeNoise", "Noise that repeats over windows.", group="Noise")
    same_noise: bool = row(False, "bool", "Same noise for every frame", "All frames start alike.", group="Noise")
    drop_duplicates: bool = row(
        False, "bool", "Drop duplicates", "Leave out frames that repeat the one before.", **_OF_SOURCE
    )
    video_start: int = row(
        0,
        "int",
        "First frame of the source",
        "The first frame that is taken, counted from 0.",
        limits=(0, 10_000_000),
        **_OF_SOURCE,
    )
    video_end: int = row(
        0,
        "int",
        "Last frame of the source",
        "The last frame that is taken, counted from 0; 0 is to the end.",
        limits=(0, 10_000_000),
        **_OF_SOURCE,
    )
    every_nth: int = row(
        1,
        "int",
        "Every n-th frame",
        "2 takes every other frame of the source; the video lasts as long.",
        limits=(1, 1000),
        **_OF_SOURCE,
    )
    keep_sound: bool = row(
        False,
        "bool",
        "Keep sound",
        f"The sound of Video source goes into {formats.listed(formats.WITH_SOUND)}.",
        group="Video in",
        needs=("video_source",),
    )
    returned: str = row(
        "all",
        "choice",
        "Returned",
        f"What images holds in the API: pictures leaves {formats.listed(formats.NO_PICTURES)} out, for clients that "
        "open every entry as a picture; a video that is nothing else is there as its first frame. The paths of all "
        "files are in info.",
        choices=RETURNED,
        tabs=(),  # the page shows what it can
        recorded=False,
    )

    def __post_init__(self) -> None:
        self.closed_loop = ClosedLoop(self.closed_loop)

    @property
    def windows(self) -> WindowPlan:
        """How the video is cut into windows."""
        return WindowPlan(
            context=self.batch_size,
            stride=self.stride,
            overlap=self.overlap,
            closed_loop=self.closed_loop,
            schedule=self.schedule,
            blend=self.blend,
            windows_per_call=self.windows_per_call,
        )

    def check(self) -> None:
        """Refuse what each field of a video allows but all of them together do not.

        Raises:
            ParamError: one sentence that names the field.
        """
        if not self.enable:
            return
        if not set(self.format) - set(formats.TEXTS):
            texts = formats.listed(formats.TEXTS)
            raise ParamError(
                f"AnimateDiff: {mention('format')} is {value_text(self.format)}; choose at least one besides {texts}."
            )
        if self.video_source and self.video_path:
            both = f"{mention('video_source')} and {mention('video_path')}"
            raise ParamError(f"AnimateDiff: {both} are both set; choose one of them.")
        if self.video_end and self.video_end < self.video_start:
            raise ParamError(
                f"AnimateDiff: {mention('video_end')} is {self.video_end}; allowed is 0, or what is not before "
                f"{mention('video_start')}, which is {self.video_start}."
            )
        if self.closed_loop == "N" and self.stride > 1:
            loop = f"{mention('closed_loop')} N"
            raise ParamError(f"AnimateDiff: {mention('stride')} is {self.stride}; with {loop} it has to be 1.")

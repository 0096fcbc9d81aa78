"""The one table of parameters: panel, API, infotext and documentation are all made from `VideoParams`.

Its first fields are those of `FamiliarParams`; the order is that of the panel, and must stay.
"""

from __future__ import annotations

from dataclasses import dataclass

from motion_module import formats
from motion_module.errors import ParamError
from motion_module.familiar_params import WINDOWS, FamiliarParams
from motion_module.field_table import row
from motion_module.windows import AUTO, BLENDS, SCHEDULES, ClosedLoop, WindowPlan
from motion_module.wording import mention, value_text

RETURNED = ("all", "pictures")
_OF_SOURCE = {"group": "Video in", "needs": ("video_source", "video_path")}


@dataclass
class VideoParams(FamiliarParams):
    """Every field of a request, with the defaults of a new panel."""

    blend: str = row(
        WINDOWS.blend,
        "choice",
        "Blend",
        "How overlapping windows are combined: overwrite takes the last one, the others average them.",
        choices=BLENDS,
        group="Context",
    )
    schedule: str = row(
        WINDOWS.schedule,
        "choice",
        "Window schedule",
        "static keeps the windows in place, uniform moves them from step to step; auto is static with R-P (without "
        "stride, and blended), so that a video does not drift back to its start.",
        choices=(AUTO, *SCHEDULES),
        group="Context",
    )
    windows_per_call: int = row(
        WINDOWS.windows_per_call,
        "int",
        "Windows per call",
        "How many windows go through the UNet in one call: faster, but needs more memory.",
        limits=(1, 64),
        group="Context",
    )
    motion_scale: float = row(
        1.0,
        "number",
        "Motion scale",
        "How strongly frames attend to each other; above 1 means more motion.",
        step=0.05,
        limits=(0, 10),
        group="Motion",
    )
    effect: float = row(
        1.0,
        "number",
        "Effect",
        "How much the motion module adds to the picture; 0 is plain Stable Diffusion.",
        step=0.05,
        limits=(0, 2),
        group="Motion",
    )
    freenoise_enable: bool = row(
        False,
        "bool",
        "FreeNoise",
        "Shuffles the same noise through the whole video, so that a long one stays consistent.",
        group="Noise",
    )
    same_noise: bool = row(
        False,
        "bool",
        "Same noise for every frame",
        "Every frame starts from the same noise, for calmer videos.",
        group="Noise",
    )
    drop_duplicates: bool = row(
        False, "bool", "Drop duplicates", "Skip frames of the source that repeat the one before.", **_OF_SOURCE
    )
    video_start: int = row(
        0,
        "int",
        "First frame of the source",
        "The first frame to use, counted from 0.",
        limits=(0, 10_000_000),
        **_OF_SOURCE,
    )
    video_end: int = row(
        0,
        "int",
        "Last frame of the source",
        "The last frame to use, counted from 0; 0 means up to the end.",
        limits=(0, 10_000_000),
        **_OF_SOURCE,
    )
    every_nth: int = row(
        1,
        "int",
        "Every n-th frame",
        "Use only every n-th frame: 2 means every other one; the duration stays the same.",
        limits=(1, 1000),
        **_OF_SOURCE,
    )
    keep_sound: bool = row(
        False,
        "bool",
        "Keep sound",
        f"Puts the sound of the video source into {formats.listed(formats.WITH_SOUND)}.",
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
            raise ParamError(f"{mention('format')} is {value_text(self.format)}; choose at least one besides {texts}")
        if self.video_source and self.video_path:
            both = f"{mention('video_source')} and {mention('video_path')}"
            raise ParamError(f"{both} are both set; choose one of them")
        if self.video_end and self.video_end < self.video_start:
            raise ParamError(
                f"{mention('video_end')} is {self.video_end}; allowed is 0, or what is not before "
                f"{mention('video_start')}, which is {self.video_start}"
            )
        if self.closed_loop == "N" and self.stride > 1:
            loop = f"{mention('closed_loop')} N"
            raise ParamError(f"{mention('stride')} is {self.stride}; with {loop} it has to be 1")

"""The one table of parameters: panel, API, infotext and documentation are all made from `VideoParams`.

Its fields are those of `FamiliarParams`, `OwnParams` and `LaterParams`; the order is that of the panel, and must stay.
"""

from __future__ import annotations

from dataclasses import dataclass

from motion_module import formats, number_list, travel_values
from motion_module.errors import ParamError
from motion_module.later_params import LaterParams
from motion_module.step_range import StepRange
from motion_module.windows import ClosedLoop, WindowPlan, check_stride
from motion_module.wording import mention, value_text

SAME_NOISE, FREENOISE = "same", "FreeNoise"  # how the noise of the frames is alike


@dataclass
class VideoParams(LaterParams):
    """Every field of a request, with the defaults of a new panel."""

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
            elastic=self.elastic,
        )

    @property
    def noise(self) -> str:
        """How the noise of the frames is alike: `SAME_NOISE`, which goes before `FREENOISE`, or ""."""
        if self.same_noise:
            return SAME_NOISE
        return FREENOISE if self.freenoise_enable else ""

    def values_of(self, name: str, frames: int) -> list[float]:
        """What each of so many frames has of a field that travels; empty where it does not.

        Args:
            name: of a field of the kind `values`.
            frames: N, frames of the video.
        """
        travel = travel_values.read(getattr(self, name))
        return travel.values(frames, self.closed_loop.closes_travel) if travel else []

    @property
    def strength(self) -> float | None:
        """The denoising strength that the WebUI needs for frames of different ones: the highest; None for its own."""
        travel = travel_values.read(self.denoise_travel)
        return max(travel.keys.values()) if travel else None

    @property
    def motion_steps(self) -> StepRange:
        """In which part of the steps the motion module acts."""
        return StepRange(self.motion_start, self.motion_end)

    def effect_levels(self, levels: int) -> tuple[float, ...]:
        """What multiplies the effect in each level of a UNet, in its own order; empty where that is 1 everywhere.

        Args:
            levels: from the full size of the picture to the smallest.

        Raises:
            ParamError: there are more or fewer numbers than the UNet has levels.
        """
        numbers = number_list.read(self.effect_blocks)
        shares = number_list.of_levels(numbers, levels)
        if numbers and not shares:
            raise ParamError(
                f"{mention('effect_blocks')} is {value_text(self.effect_blocks)}; for a UNet of {levels} levels "
                f"allowed is nothing, {levels} numbers from fine to coarse, or {2 * levels + 1} for the way down, the "
                "middle and the way up"
            )
        return shares if any(share != 1 for share in shares) else ()

    def check_frames(self, frames: int) -> None:
        """Refuse what a video of so many frames does not have.

        Raises:
            ParamError: a value stands at a frame beyond the last one; the sentence names the field.
        """
        for name in (name for name, field in self.table().items() if field.kind == "values"):
            travel = travel_values.read(getattr(self, name))
            fault = travel.fault(frames) if travel else ""
            if fault:
                raise ParamError(f"{mention(name)} is {value_text(getattr(self, name))}; {fault}")

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
                f"{mention('format')} is {value_text(self.format or None)}; choose at least one besides {texts}"
            )
        if self.video_source and self.video_path:
            both = f"{mention('video_source')} and {mention('video_path')}"
            raise ParamError(f"{both} are both set; choose one of them")
        if self.video_end and self.video_end < self.video_start:
            raise ParamError(
                f"{mention('video_end')} is {self.video_end}; allowed is 0, or what is not before "
                f"{mention('video_start')}, which is {self.video_start}"
            )
        check_stride(self.stride, self.closed_loop)
        if self.pe_stretch == 1:
            raise ParamError(f"{mention('pe_stretch')} is 1; allowed is 0, which is off, or 2 and more, such as 16")
        if self.motion_start > self.motion_end:
            raise ParamError(
                f"{mention('motion_start')} is {value_text(self.motion_start)}; allowed is at most "
                f"{mention('motion_end')}, which is {value_text(self.motion_end)}"
            )

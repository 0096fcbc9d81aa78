"""The one table of settings: the settings page, what runs look at, and README are made from `Settings`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar, overload

from motion_module.fields import Field, Kind, read_titled
from motion_module.formats import DEFAULT, PNG, WRITTEN
from motion_module.params import VideoParams
from motion_module.wording import either

Value = TypeVar("Value")

PREFIX = "animatediff_"
DEFAULT_FOLDER = Path(__file__).resolve().parents[1] / "model"  # of the extension
AS_HOST, WAYS = "as the WebUI", ("sdp", "xformers", "split")  # those of core/module/attention_ways.py
AS_TRAINED, KEEP = "as the motion module was trained", "as the model"  # noise schedules that have no name of their own
TEN_BIT, LOSSLESS = "10 bit 4:2:2", "lossless RGB"  # MP4 for editors
_FOLDERS, _MAKING, _SAVING, _SOURCES = "Folders", "Making videos", "Saving", "Frames of video sources"
_MANY = 1_000_000
_KEPT = ("video_source", "video_path")  # whose frames, or copies of them, stand in the folder of frames


class Setting(Generic[Value]):
    """One row of the table. As an attribute of `Settings` it is the value, read anew and checked each time.

    Args:
        default: its value where nobody has chosen.
        kind: how a value is read, and which widget shows it.
        label: what the settings page calls it.
        formats: the formats that look at it; other runs do not.
        needs: the fields of a request one of which has to be set for a run to look at it.
        in_runs: runs look at it, and not only the page.
        names_folders: it says which folders are read, so that no request may change it.
        group: the title that it stands below on the settings page; its format, where nothing is said.
        reload: it is looked at only when the page is built.
        lines: of its text box.
        limits: `low`, `high` and `choices` of a `Field`.

    Attributes:
        key: its attribute of `Settings`.
        name: as the host stores it, and as requests name it in `override_settings`.
    """

    def __init__(
        self,
        default: Value,
        kind: Kind,
        label: str,
        *,
        formats: tuple[str, ...] = (),
        needs: tuple[str, ...] = (),
        in_runs: bool = True,
        names_folders: bool = False,
        group: str = "",
        reload: bool = False,
        lines: int = 1,
        **limits: Any,
    ) -> None:
        self.key = self.name = ""
        self.default = default
        self.field = Field(kind, label, "", **limits)
        self.formats, self.needs, self.in_runs = formats, needs, in_runs
        self.names_folders, self.lines = names_folders, lines
        self.group, self.reload = group or next(iter(formats), ""), reload

    def __set_name__(self, owner: type, name: str) -> None:
        self.key, self.name = name, f"{PREFIX}{name}"

    @overload
    def __get__(self, settings: None, owner: type) -> Setting[Value]: ...

    @overload
    def __get__(self, settings: Settings, owner: type) -> Value: ...

    def __get__(self, settings: Settings | None, owner: type) -> Setting[Value] | Value:
        return self if settings is None else self.read(settings.values.get(self.key, self.default))

    def read(self, value: Any) -> Value:
        """A value as the host has it, once it is known to be one that is allowed.

        Raises:
            ParamError: one sentence with the setting, the value and what is allowed.
        """
        if value is None and "" in self.field.choices:
            value = ""  # a list from which nothing is chosen
        title = either(f"the setting {self.name}", f'the setting "{self.field.label}"')
        return read_titled(title, self.field, value)

    def matters(self, params: VideoParams) -> bool:
        """Whether the run of a request looks at it."""
        if self.formats:
            return not set(self.formats).isdisjoint(params.format)
        set_now = [name for name in self.needs if getattr(params, name) != params.default_of(name)]
        return self.in_runs and (bool(set_now) or not self.needs)


@dataclass(frozen=True)
class Settings:
    """What the person has set, as far as the extension looks at it.

    A value is judged when it is looked at, so that a wrong one disturbs only who needs it.

    Attributes:
        values: key of a row -> value; what is missing has its default.
    """

    values: Mapping[str, Any] = field(default_factory=dict)

    model_path = Setting(
        str(DEFAULT_FOLDER),
        "path",
        "Folder of the motion modules (besides the extension's own)",
        names_folders=True,
        group=_FOLDERS,
    )
    allowed_folders = Setting(
        "",
        "text",
        "Folders that video and frame paths may point to, one per line, in addition to the WebUI's own output and "
        "temporary folders (empty: every folder, as long as only this machine reaches the WebUI)",
        names_folders=True,
        lines=3,
        group=_FOLDERS,
    )
    alpha_schedule = Setting(
        AS_TRAINED,
        "choice",
        "Noise schedule for videos",
        choices=(AS_TRAINED, "linear", "sqrt-linear", "sqrt-linear 0.020", KEEP),
        group=_MAKING,
    )
    attention = Setting(
        AS_HOST,
        "choice",
        "Attention between frames",
        choices=(AS_HOST, *WAYS),
        group=_MAKING,
    )
    least_memory = Setting(
        False,
        "bool",
        "Use as little graphics memory as possible (slower; --medvram, --lowvram and FP8 weight add to it)",
        group=_MAKING,
    )
    interp_slow = Setting(
        False,
        "bool",
        "Frame interpolation: keep the FPS, so that the video plays in slow motion",
        needs=("interp",),
        group=_MAKING,
    )
    default_save_formats = Setting(
        list(DEFAULT),
        "choices",
        "Default save formats",
        in_runs=False,
        reload=True,
        choices=WRITTEN,
        group=_SAVING,
    )
    keep_latents = Setting(
        False,
        "bool",
        "Keep the latents beside each video (32 kB a frame at 512x512), to continue from it exactly",
        group=_SAVING,
    )
    save_to_custom = Setting(
        True,
        "bool",
        "Save frames next to the videos, instead of in the WebUI's own folder",
        formats=(PNG,),
        group=_SAVING,
    )
    resume_after = Setting[float](
        60,
        "number",
        "Note the sampling of runs that take longer than this many seconds, so that they can be resumed (0: never)",
        low=0,
        high=_MANY,
        group=_SAVING,
    )
    resume_days = Setting[float](
        7,
        "number",
        "Days to keep what is noted of runs that broke off (0: forever)",
        low=0,
        high=_MANY,
        group=_SAVING,
    )
    resume_gb = Setting[float](
        2,
        "number",
        "GB to keep of what is noted of runs that broke off (0: no limit)",
        low=0,
        high=_MANY,
        group=_SAVING,
    )
    frame_extract_path = Setting(
        "",
        "path",
        "Folder for the frames of a video source (empty: the system's temporary folder)",
        names_folders=True,
        group=_SOURCES,
    )
    frame_extract_remove = Setting(
        False,
        "bool",
        "Delete the frames of a video source after each run, instead of keeping them for the next one",
        needs=("video_source",),
        group=_SOURCES,
    )
    frame_extract_days = Setting[float](
        7,
        "number",
        "Days to keep the frames of a video source after they were last used (0: forever)",
        needs=_KEPT,
        low=0,
        high=_MANY,
        group=_SOURCES,
    )
    frame_extract_gb = Setting[float](
        10,
        "number",
        "GB of video source frames to keep, the most recently used ones (0: no limit)",
        needs=_KEPT,
        low=0,
        high=_MANY,
        group=_SOURCES,
    )
    optimize_gif_palette = Setting(False, "bool", "GIF: best-looking palette (slower)", formats=("GIF",))
    optimize_gif_gifsicle = Setting(False, "bool", "GIF: shrink with gifsicle, if it is installed", formats=("GIF",))
    webp_quality = Setting(
        80, "int", "WEBP: quality (compression effort if lossless)", formats=("WEBP",), low=1, high=100
    )
    webp_lossless = Setting(False, "bool", "WEBP: lossless", formats=("WEBP",))
    mp4_crf = Setting(23, "int", "MP4: quality (crf), lower is better", formats=("MP4",), low=0, high=51)
    mp4_preset = Setting(
        "",
        "choice",
        "MP4: encoding preset (empty: medium)",
        formats=("MP4",),
        choices=(
            *("", "veryslow", "slower", "slow", "medium", "fast", "faster", "veryfast", "superfast", "ultrafast"),
        ),
    )
    mp4_tune = Setting(
        "",
        "choice",
        "MP4: tune for a type of content (empty: none)",
        formats=("MP4",),
        choices=("", "film", "animation", "grain"),
    )
    mp4_for_editors = Setting(
        "",
        "choice",
        "MP4: for editing software (most players and browsers cannot show it; empty: for everybody)",
        formats=("MP4",),
        choices=("", TEN_BIT, LOSSLESS),
    )

    @classmethod
    def rows(cls) -> list[Setting[Any]]:
        """The table, in the page's order."""
        return [row for row in vars(cls).values() if isinstance(row, Setting)]

    def check(self, params: VideoParams) -> None:
        """See that what the run of a request looks at is allowed.

        Raises:
            ParamError: one sentence with the setting, the value and what is allowed.
        """
        for row in self.rows():
            if row.matters(params):
                getattr(self, row.key)  # reading judges it

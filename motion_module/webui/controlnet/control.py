"""ControlNet's part in a video: which unit looks at which pictures, and what it holds for which frame."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from modules import errors
from motion_module.core.denoising.model_calls import AroundCall, ModelCall, nothing_around
from motion_module.errors import ParamError, UserError
from motion_module.media.errors import ReaderError
from motion_module.params import VideoParams
from motion_module.patching import assign, take_out
from motion_module.webui.controlnet.digest import digest_of
from motion_module.webui.controlnet.hints import handed_out
from motion_module.webui.controlnet.key_pictures import KeyPictures
from motion_module.webui.controlnet.known_units import units_of
from motion_module.webui.controlnet.lines import check_frames
from motion_module.webui.controlnet.units import Files, Unit, controlnet_of, listed
from motion_module.webui.host_types import Processing, init_images
from motion_module.webui.request.picture_files import PictureFiles
from motion_module.webui.request.sources import Source
from motion_module.webui.request.video_source import VideoIn
from motion_module.wording import either, mention

IMG2IMG = "img2img"  # the source that its own pictures are
_SAMPLE_BELOW = "sample_before_CN_hack"  # where ControlNet keeps the `sample` it has replaced


class Control:
    """The enabled ControlNet units of one run; none where ControlNet is not installed.

    Args:
        p: the host's processing object.
        params: what was asked for.
        source: the request's video or folder, which need not be read yet; see `take`.

    Attributes:
        is_there: ControlNet is installed.
        takes_source: a unit takes the frames of the request's video.
        has_units: units are enabled.

    Raises:
        ParamError: a unit has no picture, a bad folder, or a line in its *Batch* folder that is not allowed.
    """

    def __init__(self, p: Processing, params: VideoParams, source: Source | None) -> None:
        self._p, self._params = p, params
        self._all = units_of(p)
        self._units = [unit for unit in self._all if unit.is_on]
        self._last_error, self._given = _newest_error(), p.script_args
        self._offered = _offered(source)
        self._sources: dict[int, Files | None] = {unit.number: _source(p, unit, self._offered) for unit in self._units}
        self.is_there = controlnet_of(p) is not None
        self.takes_source = self._offered is not None and self._offered in self._sources.values()
        self.has_units = bool(self._units)

    def take(self, video: VideoIn) -> None:
        """The request's video has been read: units that wait for its frames take them."""
        frames = Files(video.name, video.files, _folder_of(video.masks))
        self._sources = {
            number: frames if source is not None and source is self._offered else source
            for number, source in self._sources.items()
        }

    @property
    def limits(self) -> dict[str, int]:
        """How many frames there are pictures for, by what holds them."""
        sources = filter(None, self._sources.values())
        return {source.name: source.limit for source in sources if source.limit and source.name != IMG2IMG}

    def script_args(self, frames: int, pictures: PictureFiles) -> Any:
        """The arguments of all scripts for a video of so many frames, with the units of this run in them.

        The units are copies, so that neither those of the page nor an API client's are ever changed.

        Args:
            frames: N, frames of the video.
            pictures: makes copies of what ControlNet would misread.

        Raises:
            ParamError: a line names a frame beyond the last one, or a picture cannot be read.
        """
        self.check_frames(frames)
        values = list(self._p.script_args)
        for unit in self._units:
            source = self._sources[unit.number]
            if source is not None:
                unit.give(_readable(unit, source, frames, pictures), frames, self._p, pictures)
            else:
                unit.leave_to_controlnet()
        for unit in self._all:  # also those that are off: ControlNet reads them, too, and by its own words only
            values[unit.arg_index] = unit.settings
        self._given = type(self._p.script_args)(values)
        return self._given

    @property
    def read_again(self) -> Any | None:
        """The arguments of all scripts, where ControlNet reads its units again while the host samples; else None."""
        return self._given if any(unit.hands_out_by_itself for unit in self._units) else None

    def check_frames(self, frames: int) -> None:
        """See that every frame that a unit's lines name is one of a video of so many frames.

        Raises:
            ParamError: one is beyond the last frame.
        """
        for unit in self._units:
            check_frames(unit.number, unit.lines, frames)

    def check_ready(self) -> None:
        """See that ControlNet has taken its units; the host has printed and forgotten its error.

        Raises:
            UserError: it has not.
            ParamError: a unit is to have a weight for each frame, and its kind has one for all.
        """
        params, indexes = self._params_of_units(), self._indexes()
        if self._units and not (params and all(index < len(params) for index in indexes.values())):
            raise self._failed("prepare its units")
        for unit in self._units:
            index = indexes.get(unit.number)
            unit.check_taken(None if index is None else params[index], self._sources[unit.number])

    def let_go(self) -> None:
        """A run that fails never comes to the hook in which ControlNet gives back the UNet; have it do so now."""
        script = controlnet_of(self._p)
        network = getattr(script, "latest_network", None)
        if self._units and network is not None:
            network.restore()
            assign(script, latest_network=None)

    @contextmanager
    def handing_out(self, frames: int) -> Iterator[AroundCall]:
        """Around `p.sample`: what goes around each call of the model."""
        if all(unit.hands_out_by_itself for unit in self._units):
            yield self._failures_told if self._units else nothing_around
            return
        travels, stretch = self._travels(frames), self._params.pe_stretch
        weights = self._weights(frames, travels)
        with handed_out(self._p, self._params_of_units(), travels, weights, stretch) as around:
            yield around

    @contextmanager
    def _failures_told(self, call: ModelCall) -> Iterator[None]:
        """ControlNet that hands out by itself prepares for each pass; the host prints and forgets it if that fails.

        Raises:
            UserError: it has failed.
        """
        if "controlnet" in str(self._new_error).lower():
            raise self._failed("prepare its units for sampling")
        yield

    @property
    def _new_error(self) -> Any:
        """What the host has noted of an error since this run began; None for nothing."""
        error = _newest_error()
        return None if error is self._last_error else error

    def _failed(self, what: str) -> UserError:
        text = " ".join(str((self._new_error or {"exception": ""})["exception"]).split())[:200]
        return UserError(f"ControlNet could not {what}{': ' * bool(text)}{text} (the log has more)")

    @property
    def recorded(self) -> dict[str, str]:
        """For the infotext: the lines that give each frame a weight of its own, which ControlNet does not record."""
        return {f"AnimateDiff ControlNet {unit.number}": str(unit.lines) for unit in self._units if unit.lines.weighing}

    @property
    def given(self) -> list[str]:
        """A digest of what each unit is given, see `digest_of`; before `script_args` gives it."""
        return [digest_of(unit, self._sources[unit.number]) for unit in self._units]

    def _travels(self, frames: int) -> dict[int, KeyPictures | None]:
        closed = frames > self._params.batch_size and self._params.closed_loop.closes_travel
        indexes = self._indexes()
        travels: dict[int, KeyPictures | None] = {}
        for unit in self._units:
            source, index = self._sources[unit.number], indexes.get(unit.number)
            if source is None or index is None:
                continue
            keys = dict.fromkeys(source.keyframes or (), "")
            travels[index] = KeyPictures(keys, frames, closed, reach=unit.lines.falloff) if keys else None
        return travels

    def _weights(self, frames: int, travels: Mapping[int, KeyPictures | None]) -> dict[int, list[float]]:
        """What each frame's part of a unit is multiplied by; nothing for units whose frames are alike."""
        closed, indexes = self._params.closed_loop.closes_travel, self._indexes()
        weights: dict[int, list[float]] = {}
        for unit in (unit for unit in self._units if unit.number in indexes and unit.lines.weighing):
            index, weight = indexes[unit.number], unit.lines.weight
            keys = travels.get(index)
            factors = [weight.values(frames, closed)] if weight is not None else []
            factors += [keys.influences()] if keys is not None else []
            weights[index] = [math.prod(of_frame) for of_frame in zip(*factors, strict=True)]
        return weights

    def _indexes(self) -> dict[int, int]:
        """Number of a unit -> which of ControlNet's parameters are its."""
        script = controlnet_of(self._p)
        if hasattr(script, "current_params"):  # Forge's, in the order of the units that are on
            return {unit.number: index for index, unit in enumerate(self._units)}
        taken = getattr(script, "enabled_units", [])  # as many as there are control_params
        indexes = {id(settings): index for index, settings in enumerate(taken)}
        return {unit.number: indexes[id(unit.settings)] for unit in self._units if id(unit.settings) in indexes}

    def _params_of_units(self) -> Sequence[Any]:
        script = controlnet_of(self._p)
        if hasattr(script, "current_params"):
            return list(script.current_params.values())
        network = getattr(script, "latest_network", None)
        return getattr(network, "control_params", None) or ()


def names_of_sample(p: Processing) -> list[str]:
    """The attributes of `p` to put a `sample` in, so that it is called with ControlNet and without."""
    return ["sample", *([_SAMPLE_BELOW] if _SAMPLE_BELOW in vars(p) else [])]


def sample_of(p: Processing) -> Callable[..., Any]:
    """The `sample` of `p` without what ControlNet has put round it.

    It never takes that off again, and in a next run of the same `p` (loopback) goes on calling what it found in the
    first: us, who have long ended.
    """
    return getattr(p, _SAMPLE_BELOW, None) or p.sample


def let_go_of_sample(p: Processing, ours: Callable[..., Any], original: Callable[..., Any]) -> None:
    """Take ours out from below what ControlNet has put round it."""
    take_out(p, _SAMPLE_BELOW, ours, original)


def _source(p: Processing, unit: Unit, offered: Files | None) -> Files | None:
    """The pictures that change from frame to frame, None where one picture counts for all."""
    pictures = init_images(p)
    if unit.has_picture:
        return None
    if unit.has_folder:
        return unit.own_files()
    if len(pictures) > 1:
        return Files(IMG2IMG, tuple(pictures))
    if offered is not None:
        return offered
    if pictures:
        if unit.has_mask:
            raise ParamError(f"ControlNet unit {unit.number} has a mask, but no picture; give it both or neither")
        return None  # ControlNet looks at the init picture by itself
    mode = either("its batch_images count with input_mode batch only", "its folder counts on its Batch tab only")
    idle = f" ({mode})" if unit.has_idle_folder else ""
    raise ParamError(
        f"ControlNet unit {unit.number} is enabled, but it has no picture{idle}; "
        f"give it one, or a batch folder, or set {mention('video_path')}"
    )


def _readable(unit: Unit, source: Files, frames: int, pictures: PictureFiles) -> Files:
    """The pictures and masks that a unit is given, as ControlNet reads them rightly."""
    files = source.taken(frames)
    try:
        if source.name != "video_source":  # whose frames we have written ourselves
            files = tuple(map(pictures.plain_picture, files))
        masks = unit.masks_of(source, len(files))
        folder = str(pictures.plain_masks(masks)) if masks else ""
    except ReaderError as error:
        raise ParamError(f"ControlNet unit {unit.number} takes {mention(source.name)}; {error}") from error
    return replace(source, files=files, masks=folder)


def _offered(source: Source | None) -> Files | None:
    """The frames of the request's video, still to be read; None where it has none."""
    return None if source is None or source.name == "mask_path" else Files(source.name, announced=source.count)


def _folder_of(masks: Sequence[Path]) -> str:
    """ControlNet knows masks by their folder only; "" where the masks are not all of one."""
    folder = str(masks[0].parent) if masks else ""
    # It pairs pictures and masks by their numbers in the lists, and leaves what is over.
    return folder if folder and listed(folder, "mask_path")[: len(masks)] == tuple(masks) else ""


def _newest_error() -> Any:
    records = getattr(errors, "exception_records", None)
    return records[-1] if records else None

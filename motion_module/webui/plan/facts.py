"""What is known of a run besides our own fields: from `p` in a run, from the page's components otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from modules import scripts, shared
from motion_module.errors import ParamError
from motion_module.webui.host_types import Processing, has_hires, init_images, is_img2img
from motion_module.webui.plan import prompts
from motion_module.webui.request import motion_modules
from motion_module.webui.request.batch_folder import batch_of
from motion_module.webui.request.unfinished import Unfinished
from motion_module.webui.settings import settings_of

Tab = Literal["txt2img", "img2img"]


@dataclass(frozen=True)
class Facts:
    """What counts for the request of a video; made without decoding anything.

    Attributes:
        tab: where it is asked for.
        width, height: of the frames of the first pass, in pixels.
        steps: denoising steps of each sampling pass: one pass, or two with hires fix.
        hires_scale: how much larger hires fix makes a side.
        hires_size: width and height that it is to give instead, in pixels; 0 where they are not given.
        sampler: its name.
        cfg: the CFG scale.
        batch_size, batch_count: the WebUI's own fields; each video is a batch of its frames.
        pictures: how many img2img starts from.
        lacks_picture: it is img2img, and there is no picture where one is needed.
        is_folder: img2img's batch tab makes a folder a video.
        limits: for how many frames there are pictures to look at, by what holds them.
        starts_from: the field whose frames img2img starts from, in the place of its own pictures; "" for those.
        before: frames of a video that is continued, which stay; 0 where none is, or nobody knows how many they are.
        resumes: the run that broke off and that this one goes on with; None for none.
        has_mask: a mask is painted, or sent, for all frames of img2img.
        masks_of_source: there are masks beside the frames of the request's video.
        source_is_unread: frames come from a video whose length only reading tells.
        modules: the files of weights that may be motion modules, by name.
        least_memory: the person's setting of that name.
        shows_noise: the host hands out the noise of a pass before it samples; before WebUI 1.10 it does not.
        texts: prompts as typed, by the host's name of the field.
        read: the same as they will be read: without comments, with styles.
    """

    tab: Tab = "txt2img"
    width: int = 512
    height: int = 512
    steps: tuple[int, ...] = (20,)
    hires_scale: float = 1.0
    hires_size: tuple[int, int] = (0, 0)
    sampler: str = ""
    cfg: float = 7.0
    batch_size: int = 1
    batch_count: int = 1
    pictures: int = 0
    lacks_picture: bool = False
    is_folder: bool = False
    limits: Mapping[str, int] = field(default_factory=dict)
    starts_from: str = ""
    before: int = 0
    resumes: Unfinished | None = None
    has_mask: bool = False
    masks_of_source: bool = False
    source_is_unread: bool = False
    modules: Mapping[str, Path] = field(default_factory=dict)
    least_memory: bool = False
    shows_noise: bool = True
    texts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    read: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def each_has_picture(self) -> bool:
        """Whether img2img has a picture for each frame."""
        return self.pictures > 1 or bool(self.starts_from)


def facts_of(p: Processing, strength: float | None = None) -> Facts:
    """The facts of a run that is about to begin, without those of its source and of ControlNet.

    Args:
        p: the host's processing object.
        strength: the denoising strength that img2img gets in the place of its own; None for that.

    Raises:
        ParamError: it needs a denoising strength, and has none.
    """
    pictures = init_images(p)
    return Facts(
        tab="img2img" if is_img2img(p) else "txt2img",
        width=p.width,
        height=p.height,
        steps=_steps_of_passes(p, strength),
        hires_scale=float(getattr(p, "hr_scale", 1) or 1),
        hires_size=(getattr(p, "hr_resize_x", 0) or 0, getattr(p, "hr_resize_y", 0) or 0),
        sampler=str(p.sampler_name or ""),
        cfg=p.cfg_scale,
        batch_size=p.batch_size,
        batch_count=p.n_iter,
        pictures=len(pictures),
        lacks_picture=is_img2img(p) and any(picture is None for picture in pictures or [None]),
        is_folder=batch_of(p) is not None,
        has_mask=getattr(p, "image_mask", None) is not None,
        modules=motion_modules.files(),
        least_memory=settings_of(p).least_memory,
        shows_noise=host_shows_noise(),
        texts=prompts.texts_of(p),
        read=prompts.texts_as_read(p),
    )


def _steps_of_passes(p: Processing, strength: float | None) -> tuple[int, ...]:
    """As the host counts them."""
    if is_img2img(p):
        return (steps_of_img2img(p.steps, _strength(p, "img2img") if strength is None else strength),)
    if has_hires(p):
        _strength(p, "hires fix (enable_hr)")
        return p.steps, p.hr_second_pass_steps or p.steps
    return (p.steps,)


def _strength(p: Processing, needed_by: str) -> float:
    """The denoising strength, with which the host will count."""
    strength: float | None = getattr(p, "denoising_strength", None)
    if strength is None:
        raise ParamError(f"denoising_strength is null; {needed_by} needs a number from 0 to 1")
    return strength


def steps_of_img2img(steps: int, denoising_strength: float) -> int:
    """The host does the part of the steps that the denoising strength says, unless a setting wants all of them."""
    return steps if shared.opts.img2img_fix_steps else int(min(denoising_strength, 0.999) * steps) + 1


def host_shows_noise() -> bool:
    """Whether the host has the hook in which noise can be changed."""
    return hasattr(scripts.Script, "process_before_every_sampling")

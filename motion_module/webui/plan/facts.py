"""What is known of a run besides our own fields: from `p` in a run, from the page's components otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from modules import shared
from motion_module.webui.host_types import Processing, has_hires, init_images, is_img2img
from motion_module.webui.plan import prompts
from motion_module.webui.request import motion_modules
from motion_module.webui.request.batch_folder import batch_of

Tab = Literal["txt2img", "img2img"]


@dataclass(frozen=True)
class Facts:
    """What counts for the request of a video; made without decoding anything.

    Attributes:
        tab: where it is asked for.
        width, height: of the frames of the first pass, in pixels.
        steps: denoising steps of each sampling pass: one pass, or two with hires fix.
        sampler: its name.
        batch_size, batch_count: the WebUI's own fields; each video is a batch of its frames.
        pictures: how many img2img starts from.
        lacks_picture: it is img2img, and there is no picture where one is needed.
        is_folder: img2img's batch tab makes a folder a video.
        limits: for how many frames there are pictures to look at, by what holds them.
        source_is_unread: frames come from a video whose length only reading tells.
        modules: the files of weights that may be motion modules, by name.
        texts: prompts as typed, by the host's name of the field.
        read: the same as they will be read: without comments, with styles.
    """

    tab: Tab = "txt2img"
    width: int = 512
    height: int = 512
    steps: tuple[int, ...] = (20,)
    sampler: str = ""
    batch_size: int = 1
    batch_count: int = 1
    pictures: int = 0
    lacks_picture: bool = False
    is_folder: bool = False
    limits: Mapping[str, int] = field(default_factory=dict)
    source_is_unread: bool = False
    modules: Mapping[str, Path] = field(default_factory=dict)
    texts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    read: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def facts_of(p: Processing) -> Facts:
    """The facts of a run that is about to begin, without those of its source and of ControlNet."""
    pictures = init_images(p)
    return Facts(
        tab="img2img" if is_img2img(p) else "txt2img",
        width=p.width,
        height=p.height,
        steps=_steps_of_passes(p),
        sampler=str(p.sampler_name or ""),
        batch_size=p.batch_size,
        batch_count=p.n_iter,
        pictures=len(pictures),
        lacks_picture=is_img2img(p) and any(picture is None for picture in pictures or [None]),
        is_folder=batch_of(p) is not None,
        modules=motion_modules.files(),
        texts=prompts.texts_of(p),
        read=prompts.texts_as_read(p),
    )


def _steps_of_passes(p: Processing) -> tuple[int, ...]:
    """As the host counts them: img2img does the part of the steps that the denoising strength says."""
    if is_img2img(p) and not shared.opts.img2img_fix_steps:
        return (int(min(p.denoising_strength, 0.999) * p.steps) + 1,)
    if has_hires(p):
        return p.steps, p.hr_second_pass_steps or p.steps
    return (p.steps,)

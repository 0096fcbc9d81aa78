"""How a run begins: the request is read and known to be possible, then what it names is opened, and `p` prepared."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from typing import Any

from PIL import Image

from motion_module.params import VideoParams
from motion_module.webui.answers import add_message, worded_for
from motion_module.webui.controlnet.control import Control
from motion_module.webui.host import host
from motion_module.webui.host_types import Processing, is_img2img
from motion_module.webui.plan.amount import amount_of, jobs_of
from motion_module.webui.plan.changes import changes_of_request
from motion_module.webui.plan.facts import Facts, facts_of
from motion_module.webui.plan.request import Request, check_pictures
from motion_module.webui.progress import NAME as PROGRESS
from motion_module.webui.progress import progress_shown
from motion_module.webui.request import allowed_paths, interpolation, module_choice, video_source
from motion_module.webui.request.batch_folder import batch_of
from motion_module.webui.request.masks import fitted, read_masks
from motion_module.webui.request.picture_files import PictureFiles, img2img_background
from motion_module.webui.request.read import read_request, with_axes
from motion_module.webui.request.sources import Source
from motion_module.webui.request.video_source import VideoIn
from motion_module.webui.run import inner_runs
from motion_module.webui.run.borrowed_p import BorrowedP
from motion_module.webui.run.hook_errors import NAME
from motion_module.webui.run.session import Session
from motion_module.webui.run.work import Work
from motion_module.webui.sampling.decoding import decoding_shown
from motion_module.webui.sampling.init_pictures import Pictures
from motion_module.webui.sampling.motion_lora import Networks
from motion_module.webui.sampling.prompt_travel import FramePrompts
from motion_module.webui.settings import check_settings

_log = logging.getLogger(__name__)
_INNER = "another extension reworks the single frames; they stay pictures and do not become videos of their own."


def begin(borrowed: BorrowedP, args: Sequence[Any]) -> None:
    """Check the whole request and prepare `p`, if a video is asked for; the model is not touched yet.

    Raises:
        ParamError, CheckpointError: one sentence for the person.
    """
    p = borrowed.p
    together = host.branches_share_calls()
    params = with_axes(p, read_request(args))
    if not params.enable or getattr(p, "txt2img_upscale", False):
        return  # the button below the gallery upscales one picture
    outer = inner_runs.outer_of(p)
    if outer is not None:
        add_message(outer, _INNER)
        return
    request, control = _possible(p, params)
    film = interpolation.loaded_film(params)
    pictures = PictureFiles(borrowed.stack, video_source.frames_folder(), img2img_background(p))
    progress = borrowed.enter(progress_shown(p, amount_of(p, request), *jobs_of(p, request)))
    borrowed.set(PROGRESS, progress)
    video = borrowed.enter(video_source.opened(params, pictures, request.source, progress))
    request = _counted(p, request, control, video)
    borrowed.set_all(changes_of_request(p, request))
    progress.expect(amount_of(p, request))
    progress.enter(decoding_shown(progress))
    work = Work(
        video,
        control,
        Pictures(p, request.params, _masks(borrowed, request, video)),
        FramePrompts(request.frames, request.params.closed_loop.closes_travel),
        Networks(p),
        p.n_iter,
        film,
        together,
        p.script_args,
    )
    _prepare(borrowed, request, work, control.script_args(request.frames, pictures))


def _possible(p: Processing, params: VideoParams) -> tuple[Request, Control]:
    """The request, with nothing decoded yet.

    Raises:
        ParamError, CheckpointError: it is impossible.
    """
    allowed_paths.check_overrides(p)
    check_settings(p, params)
    facts = facts_of(p)
    check_pictures(params, facts)
    module_choice.check_possible(params.model, facts.modules)
    interpolation.check_possible(params)
    source = video_source.source_of_run(params)
    control = Control(p, params, source)
    return Request.of(params, _limited(facts, control, source), source), control


def _limited(facts: Facts, control: Control, source: Source | None) -> Facts:
    unread = source is not None and source.name != "mask_path" and source.count is None
    return dataclasses.replace(facts, limits=control.limits, source_is_unread=unread)


def _counted(p: Processing, request: Request, control: Control, video: VideoIn | None) -> Request:
    """The request with the video's own rate, and as many frames as there really are."""
    params, facts = request.params, request.facts
    if video is not None:
        control.take(video)
        params = dataclasses.replace(params, fps=video.fps or params.fps)
        facts = dataclasses.replace(facts, limits=control.limits, source_is_unread=False)
    return Request.of(params, facts, request.source)


def _masks(borrowed: BorrowedP, request: Request, video: VideoIn | None) -> list[Image.Image]:
    """The inpaint masks of the single frames; none where one serves all.

    Raises:
        ParamError: the request's masks are neither one nor as many as frames.
    """
    p, frames = borrowed.p, request.frames
    batch = batch_of(p)
    if not is_img2img(p):
        return []
    if batch is not None and p.image_mask is not None:
        return batch.masks[:frames]
    if video is None or not p.init_images:
        return []
    masks = read_masks(video, frames)
    if masks:
        borrowed.set("image_mask", fitted(masks[0], p.init_images[0]))
    return masks[:frames] if len(masks) > 1 else []


def _prepare(borrowed: BorrowedP, request: Request, work: Work, script_args: Any) -> None:
    p = borrowed.p
    for message in request.messages:
        add_message(p, message)
    if request.fewer:
        _log.warning("%s", worded_for(p, request.fewer))
    session = Session(borrowed, request, work)
    borrowed.set(NAME, session)
    borrowed.set("script_args_value", script_args)

"""How a run begins: the request is read and known to be possible, then what it names is opened, and `p` prepared."""

from __future__ import annotations

import dataclasses
import functools
import logging
from collections.abc import Callable, Sequence
from typing import Any

from PIL import Image

from motion_module.own_params import HOLD
from motion_module.params import VideoParams
from motion_module.webui.answers import add_message, worded_for
from motion_module.webui.controlnet.control import Control
from motion_module.webui.host import host
from motion_module.webui.host_types import Processing, is_img2img
from motion_module.webui.output.folders import check_lengths
from motion_module.webui.plan.amount import amount_of, jobs_of
from motion_module.webui.plan.changes import changes_of_request
from motion_module.webui.plan.facts import Facts, facts_of
from motion_module.webui.plan.request import Request, check_clip, check_pictures
from motion_module.webui.plan.resumed import run_to_resume
from motion_module.webui.progress import NAME as PROGRESS
from motion_module.webui.progress import Progress, progress_of, progress_shown
from motion_module.webui.request import allowed_paths, checkpoints, interpolation, module_choice, video_source
from motion_module.webui.request.batch_folder import batch_of
from motion_module.webui.request.continued import Continued, described_clip, latents_of, with_old_frames
from motion_module.webui.request.frame_files import FrameFiles
from motion_module.webui.request.masks import fitted, read_masks
from motion_module.webui.request.picture_files import PictureFiles, img2img_background
from motion_module.webui.request.read import read_params, with_axes
from motion_module.webui.request.sources import Source
from motion_module.webui.request.video_source import VideoIn
from motion_module.webui.run import inner_runs
from motion_module.webui.run.borrowed_p import BorrowedP
from motion_module.webui.run.given import given_to, is_wanted
from motion_module.webui.run.hook_errors import NAME
from motion_module.webui.run.methods import while_decoding
from motion_module.webui.run.module_settings import module_settings
from motion_module.webui.run.resuming import seeds_then
from motion_module.webui.run.session import Session
from motion_module.webui.run.takers import started_from
from motion_module.webui.run.work import Work
from motion_module.webui.sampling.clip_frames import ClipFrames
from motion_module.webui.sampling.decoding import decoding_shown
from motion_module.webui.sampling.init_pictures import Pictures
from motion_module.webui.sampling.live_preview import LivePreview
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
    params = with_axes(p, read_params(args))
    if not params.enable or getattr(p, "txt2img_upscale", False):
        return  # the button below the gallery upscales one picture
    outer = inner_runs.outer_of(p)
    if outer is not None:
        add_message(outer, _INNER)
        return
    params = _as_its_module_wants(borrowed, params)
    _open(borrowed, params, *possible(p, params, video_source.source_of_run))


def _as_its_module_wants(borrowed: BorrowedP, params: VideoParams) -> VideoParams:
    wanted = module_settings(borrowed.p, params)
    borrowed.set_all(wanted.of_host)
    if wanted.message:
        add_message(borrowed.p, wanted.message)
    return wanted.params


def _open(borrowed: BorrowedP, params: VideoParams, request: Request, control: Control) -> None:
    """Open what a possible request names, and prepare `p`."""
    p, film = borrowed.p, interpolation.loaded_film(params)
    pictures = PictureFiles(borrowed.stack, video_source.frames_folder(), img2img_background(p))
    progress = borrowed.enter(progress_shown(p, amount_of(request, p.n_iter), *jobs_of(request, p.n_iter)))
    borrowed.set(PROGRESS, progress)
    clip = _clip(borrowed, request.clip, pictures, progress)
    wanted = with_old_frames(params, len(clip or ()))
    video = borrowed.enter(video_source.opened(wanted, pictures, request.source, progress))
    request = _counted(p, request, control, video, clip)
    borrowed.set_all({**changes_of_request(p, request), **seeds_then(p, request.facts.resumes)})
    progress.expect(amount_of(request, p.n_iter))
    progress.enter(decoding_shown(progress, functools.partial(while_decoding, borrowed)))
    work = Work(
        video,
        control,
        _pictures(borrowed, request, video, clip),
        FramePrompts(request.frames, request.params.closed_loop.closes_travel, request.params.travel == HOLD),
        Networks(p),
        p.n_iter,
        film,
        LivePreview(request.params.fps),
        host.branches_share_calls(),
        p.script_args,
    )
    if is_wanted(request.facts.resumes):
        work.given = given_to(p, work.pictures.masks, control, request.source)
    _prepare(borrowed, request, work, control.script_args(request.frames, pictures))


def possible(
    p: Processing, params: VideoParams, describe: Callable[[VideoParams], Source | None]
) -> tuple[Request, Control]:
    """The request, with nothing decoded yet.

    Args:
        p: the host's processing object.
        params: what it asks for.
        describe: tells what the fields name, by headers.

    Raises:
        ParamError, CheckpointError: it is impossible.
    """
    allowed_paths.check_overrides(p)
    check_settings(p, params)
    check_lengths(p, params)
    facts = facts_of(p, params.strength)
    check_pictures(params, facts)
    facts = dataclasses.replace(facts, resumes=run_to_resume(params, facts))
    module_choice.check_possible(params.model, facts.modules)
    checkpoints.check_later_checkpoints(p, params.model, facts.modules)
    interpolation.check_possible(params)
    clip = described_clip(params, facts.width, facts.height)
    facts = dataclasses.replace(facts, before=clip.frames if clip is not None and clip.is_counted else 0)
    source = describe(with_old_frames(params, clip.frames if clip is not None else 0))
    facts = dataclasses.replace(facts, masks_of_source=source is not None and bool(source.masks))
    control = Control(p, params, source)
    facts = dataclasses.replace(facts, starts_from=started_from(params, facts, source, control))
    check_clip(params, facts, clip)
    return Request.of(params, _limited(facts, control, source, clip), source, clip), control


def _limited(facts: Facts, control: Control, source: Source | None, clip: Continued | None) -> Facts:
    unread = source is not None and source.has_frames and source.count is None
    unread = unread or (clip is not None and not clip.is_counted)
    limits = dict(control.limits)
    if source is not None and facts.starts_from and source.count:
        limits[source.name] = source.count
    return dataclasses.replace(facts, limits=limits, source_is_unread=unread)


def _clip(borrowed: BorrowedP, clip: Continued | None, pictures: PictureFiles, progress: Progress) -> ClipFrames | None:
    """The frames of the video that is continued; None for none.

    Raises:
        As `video_source.opened`, or its latents are damaged.
    """
    if clip is None:
        return None
    if clip.latents is not None:
        return ClipFrames((), latents_of(clip.latents), clip.fps)
    opened = borrowed.enter(video_source.opened(clip.params, pictures, clip.source, progress))
    if opened is None:
        return None
    return ClipFrames(FrameFiles(opened.files), fps=opened.fps)


def _counted(
    p: Processing, request: Request, control: Control, video: VideoIn | None, clip: ClipFrames | None
) -> Request:
    """The request with the video's own rate, and as many frames as there really are."""
    params, facts = request.params, request.facts
    if video is not None:
        control.take(video)
        params = dataclasses.replace(params, fps=video.fps or params.fps)
        own = {video.name: len(video.files)} if facts.starts_from else {}
        facts = dataclasses.replace(facts, limits={**control.limits, **own}, source_is_unread=False)
    if clip is not None:
        params = dataclasses.replace(params, fps=clip.fps or params.fps)
        facts = dataclasses.replace(facts, before=len(clip), source_is_unread=False)
    return Request.of(params, facts, request.source, request.clip)


def _pictures(borrowed: BorrowedP, request: Request, video: VideoIn | None, clip: ClipFrames | None) -> Pictures:
    """What the frames start from: img2img's pictures, or the frames of a video; and the masks.

    Raises:
        ParamError: the request's masks are neither one nor as many as frames.
    """
    of_video: Sequence[Image.Image] = ()
    if video is not None and request.facts.starts_from:
        of_video = FrameFiles(video.files[: request.frames])
        borrowed.set("init_images", [of_video[0]])  # for whoever looks at them; `init` is given all of them
    return Pictures(borrowed.p, request.params, _masks(borrowed, request, video), of_video, clip)


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
    if not masks and request.facts.starts_from and p.image_mask is not None:
        masks = [p.image_mask]
    if masks:
        borrowed.set("image_mask", fitted(masks[0], p.init_images[0]))
    return masks[:frames] if len(masks) > 1 else []


def _prepare(borrowed: BorrowedP, request: Request, work: Work, script_args: Any) -> None:
    p = borrowed.p
    for message in request.messages:
        add_message(p, message)
    if request.fewer:
        _log.warning("%s", worded_for(p, request.fewer))
    progress_of(p).enter(work.preview)
    session = Session(borrowed, request, work)
    borrowed.set(NAME, session)
    borrowed.set("script_args_value", script_args)

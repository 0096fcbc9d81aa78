"""One run of the extension, from the host's `before_process` to whatever ends it.

A session belongs to one `p` and lives on it, so that copies of `p` (XYZ plot), nested runs on other `p`s (ADetailer)
and runs of both tabs never meet. Everything it changes is undone by `end`, which may be called any number of times.
"""

from __future__ import annotations

import dataclasses
import functools
import logging
import weakref
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

from torch import Tensor

from modules import shared
from motion_module import __version__
from motion_module.core.denoising.noise import free_noise, same_noise
from motion_module.core.denoising.schedule import alpha_schedule
from motion_module.core.module.model import MotionModel
from motion_module.errors import CheckpointError, HostError, ParamError, SaidError, UserError
from motion_module.params import VideoParams
from motion_module.patching import replaced, replaced_call, take_out
from motion_module.stand_in import MISSING, StandIn, given_original, settled
from motion_module.webui.answers import answer_to, answering, comment, fail, told
from motion_module.webui.controlnet.control import Control, let_go_of_sample, names_of_sample, sample_of
from motion_module.webui.output import interrupted, videos
from motion_module.webui.plan import infotext
from motion_module.webui.plan.job_lists import for_videos
from motion_module.webui.plan.prompts import Route
from motion_module.webui.request import allowed_paths, interpolation, motion_modules, video_source
from motion_module.webui.request.batch_folder import batch_of
from motion_module.webui.request.frame_count import frames_of, idle_batch_size, one_video_each
from motion_module.webui.request.masks import fitted, read_masks
from motion_module.webui.request.picture_files import PictureFiles, img2img_background
from motion_module.webui.request.read import read_request, with_axes
from motion_module.webui.request.video_source import VideoIn
from motion_module.webui.sampling.init_pictures import Pictures, check_start
from motion_module.webui.sampling.loan import Borrower
from motion_module.webui.sampling.motion_lora import Networks
from motion_module.webui.sampling.scope import around_sample, chosen_schedule
from motion_module.windows import overlap_note, resolve_overlap
from motion_module.without_effect import without_effect
from motion_module.wording import mention, system_says

_log = logging.getLogger(__name__)
NAME = "animatediff_session"  # of the attribute of `p` that is its session


class Session:
    """The run scope: parameters, the changed attributes of one `p`, and the loan of the model around `p.sample`.

    Attributes:
        p: the host's processing object.
        params: what was asked for.
        frames: number of frames of each video.
        failed: whether the run is about to end with our sentence.
        over: whether everything is undone; somebody may have kept the session, and put it back on `p`.
        video: the video and the masks that the request brings along, if any.
    """

    def __init__(self, p: Any) -> None:
        self._p = weakref.ref(p)
        self.params = VideoParams()
        self.frames = 0
        self.failed = False
        self.over = False
        self.video: VideoIn | None = None
        self._fewer = ""
        self._runs = 1
        self._unfinished: dict[int, str] = {}
        self._together: bool | None = None
        self._samples: list[StandIn] = []  # ours, in the place of `p.sample`
        self._sampling = self._sampled = False
        self._module: motion_modules.ModuleFile | None = None
        self._model: MotionModel | None = None
        self._route: Route | None = None
        self._pictures: Pictures | None = None
        self._networks: Networks | None = None
        self._control: Control | None = None
        self._stack = ExitStack()
        self._changed: dict[str, tuple[Any, Any]] = {}  # name -> (our value, p's own value before)

    @property
    def p(self) -> Any:
        """Whose run it is; None when that is gone."""
        return self._p()

    def __deepcopy__(self, memo: Any) -> Session:
        return self  # a deep copy of `p` is no more of this session than any other copy

    def guarded(self, method: str, step: Callable[[], None]) -> None:
        """Run one step of a hook. The host swallows what a hook raises, so an error is raised by `p.method` instead.

        Args:
            method: the next method of `p` that the host calls outside of any hook.
            step: what to do.
        """
        try:
            step()
        except SaidError as error:
            self._fail(method, error)
        except Exception as error:  # noqa: BLE001 - anything else is a fault of ours, and must not pass unseen either
            _log.exception("AnimateDiff could not go on")
            failure = HostError(f"AnimateDiff: {_why(error)}")
            failure.__cause__ = error
            self._fail(method, failure)
        except BaseException:  # the program ends; the host does not swallow this one
            self.end()
            raise

    def begin(self, args: Sequence[Any]) -> None:
        """Check the whole request and prepare `p`; the model is not touched yet.

        Raises:
            ParamError, CheckpointError: one sentence for the person.
        """
        self._together = bool(shared.opts.batch_cond_uncond)
        self.params = with_axes(self.p, read_request(args))
        if not self.params.enable or getattr(self.p, "txt2img_upscale", False):
            return  # the button below the gallery upscales one picture
        check_start(self.p)
        allowed_paths.check_overrides(self.p)
        interpolation.check(self.params)
        pictures = PictureFiles(self._stack, video_source.frames_folder(), img2img_background(self.p))
        self._open_video(pictures)
        self._control = Control(self.p, self.params, self.video, pictures)
        self.frames, self._fewer = frames_of(self.p, self.params, self._control.limits)
        script_args = self._control.script_args(self.frames)
        if len(getattr(self.p, "init_images", None) or []) > self.frames:
            self._change("init_images", self.p.init_images[: self.frames])
        self._choose_module()
        self._route = Route(self.frames, closed=self.params.closed_loop.closes_travel)
        self._route.check(self.p)
        self._pictures = Pictures(self.p, self.params, self._masks()[: self.frames])
        for name, why in {**without_effect(self.params, self.frames), **self._idle_masks()}.items():
            comment(self.p, f"AnimateDiff: {mention(name)} has no effect: {why}.")
        for note in (idle_batch_size(self.p, self.frames), overlap_note(self.frames, self.params.windows)):
            if note:
                comment(self.p, f"AnimateDiff: {note}")
        if self._fewer:
            self._fewer = told(self.p, self._fewer)
            _log.warning("%s", self._fewer)
            self.p.comment(f"AnimateDiff: {self._fewer}.")
        self._attach()
        for name, value in one_video_each(self.p, self.frames).items():
            self._change(name, value)
        self._runs = self.p.n_iter
        self._change("batch_size", self.frames)
        self._change("do_not_save_grid", True)
        self._wrap("setup_prompts", self._setup_prompts)
        self._wrap("init", self._init)
        self._change("script_args_value", script_args)
        self._change_sample()

    def settle(self) -> None:
        """Do what depends on the settings and the checkpoint that `override_settings` brought.

        Raises:
            CheckpointError: the motion module does not fit the checkpoint; names both.
        """
        if self._module is None:
            return
        if not self.params.model and self._module.name not in motion_modules.fitting(shared.sd_model):
            self._choose_module()  # the first one that fits the checkpoint of the request
        motion_modules.check_fits(self._module, shared.sd_model)
        batch = batch_of(self.p)
        ours = not videos.host_saves_frames(self.params) or (batch is not None and batch.takes_frames(self.params))
        self._change("do_not_save_samples", ours or self.p.do_not_save_samples)
        recorded = {**self.p.extra_generation_params, infotext.LABEL: self._infotext(self._module)}
        if self._fewer:
            recorded["AnimateDiff frames"] = self._fewer
        self._change("extra_generation_params", recorded)
        self._networks = Networks(self.p, motion_modules.load(self._module))
        self._stack.callback(self._networks.end)
        self._wrap("parse_extra_network_prompts", self._parse_networks)

    def spread_prompts(self) -> None:
        """Give every frame its prompt: that of the first batch position (wildcards), or its part of a travel.

        Raises:
            ParamError: the prompt, as styles and wildcards have made it, is no possible travel.
            UserError: ControlNet has not made its hints.
        """
        if self._control is not None and self._model is not None:
            self._control.check_ready()
        if self._route is not None and self._model is not None:
            self._route.spread(self.p)
            self._stay_outermost()

    def shape_noise(self, noise: Tensor) -> None:
        """Make the noise of the frames alike, as far as that was asked for; changes it in place."""
        if self._model is None:
            return
        if self.params.same_noise:
            same_noise(noise)
        elif self.params.freenoise_enable:
            context = self.params.batch_size
            free_noise(noise, context, resolve_overlap(self.params.overlap, context), int(self.p.seeds[0]))

    def place(self, args: Any) -> None:
        """Give the host the mask of this very frame, and where it belongs."""
        if self._pictures is not None:
            self._pictures.before_overlay(args)

    def save(self, processed: Any) -> None:
        """Write the videos and put them in the place of the pictures."""
        try:
            self._check_sampled(processed)
            videos.save_videos(self.p, processed, self.params, self.frames, self.video, self._unfinished)
        finally:
            self.end()

    def disown(self, copy: Any) -> None:
        """Take the changes of this session off a copy of its `p`."""
        for name, (value, before) in self._changed.items():
            found = vars(copy).get(name)
            equal = isinstance(value, dict) and found == value  # in a deep copy
            take_out(copy, name, found if equal else value, before)

    def end(self) -> None:
        """Undo everything; the second and every further call does nothing."""
        self.over = True
        self._stack.close()
        self._model = self._networks = self._control = self.video = self._pictures = self._route = None

    def _open_video(self, pictures: PictureFiles) -> None:
        """Read the video that comes in; its rate is the rate of what is made."""
        self.video = self._stack.enter_context(video_source.opened(self.params, pictures))
        if self.video is not None and self.video.fps is not None:
            self.params = dataclasses.replace(self.params, fps=self.video.fps)

    def _idle_masks(self) -> dict[str, str]:
        """`mask_path` and why it has no effect, where that is so: ControlNet takes masks with a video only."""
        alone = self.video is not None and not self.video.files
        pictures = getattr(self.p, "init_images", None)
        return {"mask_path": "there is neither a picture to inpaint nor a video"} if alone and not pictures else {}

    def _attach(self) -> None:
        self._change(NAME, self)
        self._wrap("close", self._close)
        self.over = False

    def _change(self, name: str, value: Any) -> None:
        before = self._changed[name][1] if name in self._changed else vars(self.p).get(name, MISSING)
        self._changed[name] = (value, before)
        self._stack.enter_context(replaced(self.p, name, value))

    def _wrap(self, name: str, replacement: Callable[..., Any], original: Callable[..., Any] | None = None) -> StandIn:
        """Have calls of a method of `p` go to `replacement(original, ...)`."""
        before = settled(vars(self.p).get(name, MISSING))
        if name in self._changed:
            before = self._changed[name][1]
        answers = given_original(functools.partial(self._answering, replacement))
        ours = self._stack.enter_context(replaced_call(self.p, name, answers, original))
        self._changed[name] = (ours, before)
        return ours

    def _answering(self, replacement: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        with answering(self.p):
            return replacement(*args, **kwargs)

    def _change_sample(self) -> None:
        original = settled(sample_of(self.p))
        ours = self._wrap("sample", self._sample, original)
        self._stack.callback(let_go_of_sample, self.p, ours, original)
        for name in set(names_of_sample(self.p)) - {"sample"}:
            self._change(name, ours)
        self._samples = [ours]

    def _stay_outermost(self) -> None:
        """Another extension may have put a `sample` of its own in the place of ours: it is called within ours then.

        Where ControlNet has done so, it is known to call ours.
        """
        found = [vars(self.p).get(name) for name in names_of_sample(self.p)]
        if not any(one is ours for one in found for ours in self._samples):
            self._samples.append(self._wrap("sample", self._sample))

    def _check_sampled(self, processed: Any) -> None:
        """Raises UserError where pictures have been made without us."""
        if not self._sampled and processed.images:
            raise UserError(
                "AnimateDiff: no video was made, because another extension samples in a way of its own "
                "(it has replaced p.sample); switch that extension off for videos."
            )

    def _fail(self, method: str, error: SaidError) -> None:
        control = self._control

        def stop(original: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
            if control is not None:
                control.let_go()
            self.end()
            if method == "close":
                original(*args, **kwargs)
            fail(answer)

        self.failed = True
        answer = answer_to(self.p, error)
        self.end()
        self._attach()
        self._wrap(method, stop)

    def _masks(self) -> list[Any]:
        """The inpaint masks of the single frames; none where one serves all.

        Raises:
            ParamError: the request's masks are neither one nor as many as frames.
        """
        batch = batch_of(self.p)
        if batch is not None and self.p.image_mask is not None:
            return batch.masks
        if self.video is None or not getattr(self.p, "init_images", None):
            return []
        masks = read_masks(self.video, self.frames)
        if masks:
            self._change("image_mask", fitted(masks[0], self.p.init_images[0]))
        return masks if len(masks) > 1 else []

    def _choose_module(self) -> None:
        """Find and load the motion module of the request, and see that it takes as many frames at once.

        Raises:
            ParamError, CheckpointError: there is none, it is damaged, or it sees fewer frames.
        """
        self._module = motion_modules.resolve(self.params.model)
        asked, learnt = self.params.batch_size, self._module.spec.frames
        if min(self.frames, asked) > learnt:
            raise ParamError(
                f"AnimateDiff: {mention('batch_size')} is {asked}; {self._module.name} sees {learnt} frames at most."
            )
        try:
            self._model = motion_modules.load(self._module)
        except CheckpointError as error:
            if self.params.model:
                raise
            comment(self.p, f"AnimateDiff: {error.sentence}")
            self._choose_module()  # the next one: the damaged one is left out from now on

    def _infotext(self, module: motion_modules.ModuleFile) -> str:
        actual = dataclasses.replace(self.params, model=module.name, video_length=self.frames)
        source = self.video.title if self.video is not None else ""
        extra = {"source": source, "mm_hash": motion_modules.short_hash(module), "version": __version__}
        return infotext.write(actual, **{name: value for name, value in extra.items() if value})

    def _close(self, original: Callable[[], Any]) -> Any:
        self._give_up()
        return original()

    def _give_up(self) -> None:
        """End a run that has not come to `postprocess`, where ControlNet would have ended its part."""
        if self._control is not None:
            self._control.let_go()
        self.end()

    def _setup_prompts(self, original: Callable[[], None]) -> None:
        """The host makes the lists of all prompts, with styles; scripts after ours may have changed the prompt."""
        if self._route is None:
            original()
            return
        for message in self._route.check(self.p):
            _log.warning("%s", told(self.p, message))
            comment(self.p, message)
        if not (self.p.styles and self._route.travels(self.p)):
            original()
            return
        with replaced(self.p, "styles", []):  # the host would merge them with the prompt as if it were one text
            original()
        self._route.give_styles(self.p)

    def _init(self, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """What other scripts did in `process` is there; img2img makes its sampler, with the noise schedule of that
        moment, already here."""
        if self._model is None or self._pictures is None:
            return original(*args, **kwargs)
        for name, value in for_videos(self.p, self.frames, self._runs).items():
            self._change(name, value)
        args = (self.p.all_prompts, self.p.all_seeds, self.p.all_subseeds, *args[3:])
        if self._route is not None:
            self._route.check_all(self.p)
        with alpha_schedule(shared.sd_model, chosen_schedule(self._model.spec.kind)):
            return self._pictures.init(original, *args, **kwargs)

    def _parse_networks(self, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """The host takes the networks out of a batch's prompts, and will load them next."""
        result = original(*args, **kwargs)
        if self._networks is not None:
            self._networks.expect()
        return result

    def _sample(self, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        control = self._control
        missing = None in (self._model, self._route, self._networks, self._pictures, control)
        if missing or self._sampling:  # the latter: within our own, below what another extension has put between
            return original(*args, **kwargs)
        self._sampled = True
        borrower = Borrower.of(self.params, self._model, self.frames, self._route.of_call, self._together)
        hints, noted = control.handing_out(self.frames), interrupted.noted(self.p, self._unfinished)
        changes = around_sample(self.p, self.params, borrower, self._networks, self._pictures, hints, noted)
        try:
            with replaced(self, "_sampling", True), changes:
                return original(*args, **kwargs)
        except BaseException:  # also what ends the program: XYZ plot never closes its copies of p
            self._give_up()
            raise


def _why(error: Exception) -> str:
    """What went wrong inside, in one line."""
    if isinstance(error, OSError) and error.errno is not None:
        return f"{system_says(error)} ({error.filename})" if error.filename else system_says(error)
    return f"{type(error).__name__}: {error}"

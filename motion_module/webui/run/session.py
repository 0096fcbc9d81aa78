"""One run of the extension, from the host's `before_process` to whatever ends it.

A session belongs to one `p` and lives on it, so that copies of `p` (XYZ plot), nested runs on other `p`s (ADetailer)
and runs of both tabs never meet. Everything it changes is undone by `end`, which may be called any number of times.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from modules import shared
from motion_module.core.denoising.noise import same_noise
from motion_module.errors import UserError
from motion_module.params import SAME_NOISE, VideoParams
from motion_module.webui.answers import add_message
from motion_module.webui.host_types import Processed, init_images
from motion_module.webui.output import kept_latents, videos
from motion_module.webui.output.saved_video import host_saves_frames
from motion_module.webui.plan.changes import changes_of_plan
from motion_module.webui.plan.plan import LoadedPlan
from motion_module.webui.plan.request import Request
from motion_module.webui.request.continued import check_family
from motion_module.webui.request.module_choice import base_of
from motion_module.webui.run import finished_videos, methods
from motion_module.webui.run.borrowed_p import BorrowedP
from motion_module.webui.run.resuming import is_over, put_down, record_of
from motion_module.webui.run.work import Samples, Work
from motion_module.webui.sampling.noise_order import order_of


class Session:
    """The run scope: what is asked for, then what is done; the changed attributes of one `p`; the parts of the run.

    Attributes:
        borrowed: `p`, and what is changed of it.
        plan: the request, and from `process` on the plan.
        work: the parts of the run.
        samples: ours in the place of `p.sample`.
    """

    def __init__(self, borrowed: BorrowedP, request: Request, work: Work) -> None:
        self.borrowed = borrowed
        self.plan: Request | LoadedPlan = request
        self.work = work
        methods.replace_first(self)
        self.samples = Samples(borrowed, methods.of_session(self, methods.sample))

    def __deepcopy__(self, memo: Any) -> Session:
        return self  # a deep copy of `p` is no more of this session than any other copy

    @property
    def request(self) -> Request:
        """What is asked for."""
        return self.plan.request if isinstance(self.plan, LoadedPlan) else self.plan

    def settle(self) -> None:
        """Do what depends on the settings and the checkpoint that `override_settings` brought.

        Raises:
            ParamError, CheckpointError: there is no motion module for this request and this checkpoint.
        """
        p, request, work = self.borrowed.p, self.request, self.work
        seeds = p.all_seeds[:: request.frames]
        pictures = init_images(p)
        check_family(request.clip, base_of(shared.sd_model))
        self.plan = plan = LoadedPlan.of(request, shared.sd_model, seeds, pictures)
        for message in plan.messages:
            add_message(p, message)
        work.record = record_of(p, plan, work.given)
        self.borrowed.at_end(put_down, work)
        ours = host_saves_frames(request.params)
        self.borrowed.set_all(changes_of_plan(p, plan, ours, work.control.recorded))
        work.networks.change(plan.model)
        self.borrowed.at_end(work.networks.end)
        self.borrowed.wrap("parse_extra_network_prompts", methods.of_session(self, methods.parse_networks))

    def spread_prompts(self) -> None:
        """Give every frame its prompt: that of the first batch position (wildcards), or its part of a travel.

        Raises:
            ParamError: the prompt, as styles and wildcards have made it, is no possible travel.
            UserError: ControlNet has not made its hints.
        """
        if isinstance(self.plan, LoadedPlan):
            self.work.control.check_ready()
            self.work.prompts.spread(self.borrowed.p)
            self.samples.stay_outermost()

    def shape_noise(self, noise: Tensor) -> None:
        """Make the noise of the frames alike, as far as that was asked for; changes it in place."""
        params: VideoParams = self.request.params
        order = order_of(self.borrowed.p, params)
        if order is not None:
            order(noise)
        elif params.noise == SAME_NOISE:
            same_noise(noise)

    def save(self, processed: Processed) -> None:
        """Write the videos, put them in the place of the pictures, and end; an error leaves the end to its sentence.

        Raises:
            UserError: the pictures have been made without us.
            HostError: a video could not be saved.
        """
        if not self.samples.called and processed.images:
            raise UserError(
                "no video was made, because another extension samples in its own way "
                "(it has replaced p.sample); switch that extension off for videos"
            )
        p, request, work = self.borrowed.p, self.request, self.work
        work.finished = finished_videos.of_result(processed)
        videos.save_videos(p, processed, request.params, request.frames, work.video, work.unfinished, work.saved)
        kept_latents.write(work.saved, work.latents, request.params.fps, base_of(shared.sd_model).family)
        is_over(work)
        self.borrowed.end()

    def give_up(self) -> None:
        """End a run that has not come to `postprocess`, where ControlNet would have ended its part."""
        self.work.control.let_go()
        self.borrowed.end()

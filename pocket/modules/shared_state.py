"""What the host is doing right now, and what people asked it to stop doing."""

import datetime
import logging
import threading
import time
from typing import Any

from PIL import Image

from modules import devices, errors, shared

log = logging.getLogger(__name__)

TOLD_TO_CLIENTS = (
    "skipped",
    "interrupted",
    "stopping_generation",
    "job",
    "job_count",
    "job_timestamp",
    "job_no",
    "sampling_step",
    "sampling_steps",
)


class State:
    """The running job: `begin`, then `nextjob` after every batch, then `end`."""

    def __init__(self) -> None:
        self.server_start = time.time()
        self._server_command: str | None = None
        self._server_command_signal = threading.Event()
        self.job = ""
        self.job_timestamp = "0"
        self.job_count = 0
        self.sampling_steps = 0
        self.time_start: float | None = None
        self._clear()

    def _clear(self) -> None:
        self.skipped = False
        self.interrupted = False
        self.stopping_generation = False
        self.processing_has_refined_job_count = False
        self.job_no = 0
        self.sampling_step = 0
        self.current_latent: Any = None
        self.current_image: Image.Image | None = None
        self.current_image_sampling_step = 0
        self.id_live_preview = 0
        self.textinfo: str | None = None

    @property
    def server_command(self) -> str | None:
        """What the server was told to do ("stop", "restart", ...); setting it wakes whoever waits."""
        return self._server_command

    @server_command.setter
    def server_command(self, value: str | None) -> None:
        self._server_command = value
        self._server_command_signal.set()

    @property
    def need_restart(self) -> bool:
        """Whether a restart was asked for."""
        return self.server_command == "restart"

    @need_restart.setter
    def need_restart(self, value: bool) -> None:
        if value:
            self.server_command = "restart"

    def wait_for_server_command(self, timeout: float | None = None) -> str | None:
        """Wait up to `timeout` seconds for a command, and take it; None if none came."""
        if not self._server_command_signal.wait(timeout):
            return None
        self._server_command_signal.clear()
        command, self._server_command = self._server_command, None
        return command

    def request_restart(self) -> None:
        """Stop the job and restart the server."""
        self.interrupt()
        self.server_command = "restart"

    def skip(self) -> None:
        """End the batch that is being sampled; the next ones follow."""
        self.skipped = True
        log.info("asked to skip")

    def interrupt(self) -> None:
        """End the job at the next sampling step, with what there is."""
        self.interrupted = True
        log.info("asked to interrupt")

    def stop_generating(self) -> None:
        """End the job after the batch that is being sampled."""
        self.stopping_generation = True
        log.info("asked to stop after this batch")

    def nextjob(self) -> None:
        """A batch (or a pass of it) is done."""
        if shared.opts.live_previews_enable and shared.opts.show_progress_every_n_steps == -1:
            self.do_set_current_image()
        self.job_no += 1
        self.sampling_step = 0
        self.current_image_sampling_step = 0

    def dict(self) -> dict[str, Any]:
        """The state as the API's progress shows it."""
        return {name: getattr(self, name) for name in TOLD_TO_CLIENTS}

    def begin(self, job: str = "(unknown)") -> None:
        """A job starts; `job_count` stays -1 until it is known how many batches there will be."""
        self._clear()
        self.time_start = time.time()
        self.job_count = -1
        self.job_timestamp = datetime.datetime.now().strftime("%Y%m%d%H%M%S")
        self.job = job
        devices.torch_gc()

    def end(self) -> None:
        """The job is over."""
        log.info("%s took %.2f seconds", self.job, time.time() - (self.time_start or time.time()))
        self.job = ""
        self.job_count = 0
        devices.torch_gc()

    def set_current_image(self) -> None:
        """Make a preview if the last one is old enough by the settings."""
        period = shared.opts.show_progress_every_n_steps
        if not (shared.parallel_processing_allowed and shared.opts.live_previews_enable) or period == -1:
            return
        if self.sampling_step - self.current_image_sampling_step >= period:
            self.do_set_current_image()

    def do_set_current_image(self) -> None:
        """Make a preview of the latents now; a failure is recorded only, for the model may just be changing."""
        from modules import sd_samplers  # which needs the state that this module is about to make

        if self.current_latent is None:
            return
        with errors.swallowed("Error making a live preview"):
            grid = shared.opts.show_progress_grid
            make = sd_samplers.samples_to_image_grid if grid else sd_samplers.sample_to_image
            self.assign_current_image(make(self.current_latent))
            self.current_image_sampling_step = self.sampling_step

    def assign_current_image(self, image: Image.Image) -> None:
        """Show this picture as the preview."""
        if shared.opts.live_previews_image_format == "jpeg" and image.mode in ("RGBA", "P"):
            image = image.convert("RGB")
        self.current_image = image
        self.id_live_preview += 1

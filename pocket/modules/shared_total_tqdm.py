"""A progress bar over all steps of a job, beside the sampler's own."""

import tqdm

from modules import shared


class TotalTQDM:
    """Made when the first step is counted; silent if the settings or `--disable-console-progressbars` say so."""

    def __init__(self) -> None:
        self._bar: tqdm.tqdm | None = None

    def _wanted(self) -> bool:
        return shared.opts.multiple_tqdm and not shared.cmd_opts.disable_console_progressbars

    def reset(self) -> None:
        """Start a new bar for the job that is running."""
        total = shared.state.job_count * shared.state.sampling_steps
        self._bar = tqdm.tqdm(desc="Total progress", total=total, position=1, file=shared.progress_print_out)

    def update(self) -> None:
        """Count one step."""
        if self._wanted():
            if self._bar is None:
                self.reset()
            self._bar.update()

    def updateTotal(self, new_total: int) -> None:  # noqa: N802
        """Say how many steps there will be."""
        if self._wanted():
            if self._bar is None:
                self.reset()
            self._bar.total = new_total

    def clear(self) -> None:
        """End the bar."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

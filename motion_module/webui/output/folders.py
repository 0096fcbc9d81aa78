"""Where the files of a video go, and where its frames go when that fails."""

from __future__ import annotations

import logging
import tempfile
from contextlib import ExitStack
from datetime import date
from pathlib import Path

from motion_module.errors import HostError, ParamError
from motion_module.formats import PNG
from motion_module.media.errors import describe
from motion_module.media.writing.clip import Clip
from motion_module.media.writing.names import Claim, claimed, longest_path
from motion_module.media.writing.saving import WriteReport, write_clip
from motion_module.params import VideoParams
from motion_module.paths import limit_of_paths
from motion_module.webui.host_types import Processing
from motion_module.webui.plan.out_folder import folder_below
from motion_module.wording import mention

logger = logging.getLogger(__name__)


def folder_of(p: Processing) -> Path:
    """The usual folder of a run's videos."""
    return folder_below(p.outpath_samples)


def check_lengths(p: Processing, params: VideoParams) -> None:
    """See, before anything is made, that the system can take the paths of the files of a run.

    Raises:
        ParamError: they are too long for Windows.
    """
    limit, folder = limit_of_paths(), folder_of(p)
    over = longest_path(folder, params.request_id) - limit if limit is not None else 0
    if over > 0:
        shorter = f", or a shorter {mention('request_id')}" if params.request_id else ""
        raise ParamError(
            f"the paths of the video's files would be up to {over} characters too long for Windows; choose a shorter "
            f"folder than {folder} (Settings, Paths for saving){shorter}, or turn long paths on in Windows"
        )


def claim_name(stack: ExitStack, folder: Path, seed: int, request_id: str) -> tuple[Claim, list[str]]:
    """A name in a folder; in a temporary one, with a sentence about that, where the folder cannot be written.

    Args:
        stack: the name belongs to the video until it is closed.
        folder: where the files are to go.
        seed, request_id: parts of the name.

    Raises:
        HostError: neither can be written.
    """
    try:
        return stack.enter_context(claimed(folder, seed, request_id)), []
    except OSError as error:
        rescue = _rescue_folder()
        message = f"AnimateDiff cannot write to {folder} ({describe(error)}); it saved to {rescue}."
        logger.warning("%s", message)
    try:
        return stack.enter_context(claimed(rescue, seed, request_id)), [message]
    except OSError as error:
        raise HostError(f"AnimateDiff can write neither to {folder} nor to {rescue}: {describe(error)}") from error


def rescue_frames(clip: Clip, claim: Claim, report: WriteReport, seed: int) -> str:
    """Save the frames as PNG after everything else failed.

    Args:
        clip: the frames.
        claim: the video's name.
        report: why each format failed.
        seed: a part of the name elsewhere.

    Returns:
        The sentence that tells about both.
    """
    reasons = "; ".join(f"{name}: {why}" for name, why in report.failures.items())
    sentence = f"AnimateDiff could not save the video ({reasons})"
    try:
        files = [] if PNG in report.failures else _as_png(clip, claim)
        if not files:
            with claimed(_rescue_folder(), seed) as elsewhere:
                files = _as_png(clip, elsewhere)
    except OSError:
        return sentence
    return f"{sentence}. Its frames are in {files[0].parent}" if files else sentence


def _as_png(clip: Clip, claim: Claim) -> list[Path]:
    return write_clip(clip, [PNG], claim).files.get(PNG, [])


def _rescue_folder() -> Path:
    return Path(tempfile.gettempdir()) / "AnimateDiff" / date.today().isoformat()

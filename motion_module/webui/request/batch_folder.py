"""What img2img's batch tab hands to a run: carried by `p`, and so by copies of `p` (X/Y/Z plot) too."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from modules import images, shared
from motion_module.formats import PNG
from motion_module.params import VideoParams
from motion_module.patching import replaced, replaced_option
from motion_module.webui.host_types import Processing

_NAME = "animatediff_batch"


@dataclass(frozen=True)
class Batch:
    """A folder of pictures that is one video.

    Attributes:
        names: of the pictures' files without ending, one for each frame.
        masks: one for each frame; none where one mask serves all, or there is none.
        output_dir: where the frames go under their pictures' names; empty where they go nowhere.
    """

    names: list[str]
    masks: list[Image.Image] = field(default_factory=list)
    output_dir: str = ""

    def on(self, p: Processing) -> AbstractContextManager[Any]:
        """Have `p` carry this for the length of the block."""
        return replaced(p, _NAME, self)

    def takes_frames(self, params: VideoParams) -> bool:
        """Whether the frames (format PNG) go to `output_dir`."""
        return bool(self.output_dir) and PNG in params.format

    def save(self, p: Processing, frames: Sequence[Image.Image], video: int, videos: int) -> list[Path]:
        """Save the frames of video number `video` (from 0) by the host's own rules for names; nothing is overwritten.

        Returns:
            The files, in the order of the frames.
        """
        files = []
        for number, (name, frame) in enumerate(zip(self.names, frames, strict=False)):
            pattern = _unused(self.output_dir, name if videos == 1 else f"{name}-{video + 1}")
            files.append(Path(_saved(p, frame, self.output_dir, pattern, video * len(frames) + number)))
        return files


def batch_of(p: Processing) -> Batch | None:
    """The folder that a run is about, if it comes from the batch tab."""
    return getattr(p, _NAME, None)


def _unused(folder: str, name: str) -> str:
    """A name that no file has, where the host puts no number before it; it does not tell which name it has taken."""
    if shared.opts.save_images_add_number:
        return name
    numbered = (f"{name}-{number}" if number else name for number in itertools.count())
    return next(unused for unused in numbered if not Path(folder, f"{unused}.{shared.opts.samples_format}").exists())


def _saved(p: Processing, frame: Image.Image, folder: str, pattern: str, number: int) -> str:
    settings = {"samples_filename_pattern": pattern, "save_images_replace_action": "Add number suffix"}
    with ExitStack() as stack:
        for name, value in settings.items():
            stack.enter_context(replaced_option(shared.opts.data, name, value))
        images.save_image(
            frame,
            folder,
            "",
            p.all_seeds[number],
            p.all_prompts[number],
            shared.opts.samples_format,
            info=frame.info.get("parameters"),
            p=p,
            save_to_dirs=False,
        )
    return str(frame.already_saved_as)

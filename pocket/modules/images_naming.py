"""File names of saved pictures: patterns such as `[seed]-[prompt_spaces]`, and numbers that go up."""

import datetime
import hashlib
import os
import re
import string
import zoneinfo
from collections.abc import Callable
from typing import Any

from PIL import Image

from modules import errors, sd_samplers, sd_vae, shared
from modules.shared import opts

NOT_IN_NAMES = "/" if shared.cmd_opts.unix_filenames_sanitization else '#<>:"/\\|?*\n\r\t'
BETWEEN_WORDS = re.compile(f"[\\s{re.escape(string.punctuation)}]+")
PATTERN = re.compile(r"(.*?)(?:\[([^\[\]]+)\]|$)")
PATTERN_ARGUMENT = re.compile(r"(.*)<([^>]*)>$")
TIME_FORMAT = "%Y%m%d%H%M%S"

NOTHING_AND_SKIP_PREVIOUS_TEXT = object()
"""A pattern has no value here, and the text before it goes as well."""


def sanitize_filename_part(text: str | None, replace_spaces: bool = True) -> str | None:
    """The text without what a file name must not have, cut to `--filenames-max-length`."""
    if text is None:
        return None
    text = text.replace(" ", "_") if replace_spaces else text
    text = text.translate({ord(sign): "_" for sign in NOT_IN_NAMES}).lstrip(" ")
    return text[: shared.cmd_opts.filenames_max_length].rstrip(" .")


def get_scheduler_str(sampler_name: str, scheduler_name: str) -> str:
    """The schedule's name; for "Automatic" the sampler's own."""
    if scheduler_name == "Automatic":
        scheduler_name = sd_samplers.find_sampler_config(sampler_name).options.get("scheduler", "Automatic")
    return scheduler_name.capitalize()


def _plain(text: str | None) -> str | None:
    return sanitize_filename_part(text, replace_spaces=False)


class FilenameGenerator:
    """Fills patterns for one picture."""

    def __init__(
        self, p: Any, seed: Any, prompt: str | None, image: Image.Image, zip: bool = False, basename: str = ""
    ) -> None:
        self.p = p
        self.seed = seed
        self.prompt = prompt
        self.image = image
        self.zip = zip
        self.basename = basename

    def _single(self) -> bool:
        return self.p.batch_size == 1 or self.zip

    def seed_first(self) -> Any:
        """The first seed of the run."""
        return self.seed if self.p.batch_size == 1 else self.p.all_seeds[0]

    def seed_last(self) -> Any:
        """The last seed of the run, unless there is one picture a batch."""
        return NOTHING_AND_SKIP_PREVIOUS_TEXT if self.p.batch_size == 1 else self.p.all_seeds[-1]

    def batch_number(self) -> Any:
        """The picture's place in its batch, from 1."""
        return NOTHING_AND_SKIP_PREVIOUS_TEXT if self._single() else self.p.batch_index + 1

    def generation_number(self) -> Any:
        """The picture's place in the run, from 1."""
        if self._single() and (self.p.n_iter == 1 or self.zip):
            return NOTHING_AND_SKIP_PREVIOUS_TEXT
        return self.p.iteration * self.p.batch_size + self.p.batch_index + 1

    def styles(self) -> str | None:
        """The styles' names."""
        return _plain(", ".join(style for style in self.p.styles if style != "None") or "None")

    def scheduler(self) -> str | None:
        """The schedule."""
        return _plain(get_scheduler_str(self.p.sampler_name, self.p.scheduler))

    def sampler_scheduler(self) -> str | None:
        """Sampler and schedule."""
        return _plain(f"{self.p.sampler_name} {get_scheduler_str(self.p.sampler_name, self.p.scheduler)}")

    def datetime(self, form: str = TIME_FORMAT, zone: str | None = None) -> str | None:
        """The time, in a `strftime` format and a time zone."""
        now = datetime.datetime.now().astimezone(zoneinfo.ZoneInfo(zone) if zone else None)
        return _plain(now.strftime(form or TIME_FORMAT))

    def prompt_words(self) -> str | None:
        """The first words of the prompt."""
        words = [word for word in BETWEEN_WORDS.split(self.prompt or "") if word] or ["empty"]
        return _plain(" ".join(words[: opts.directories_max_prompt_words]))

    def image_hash(self, length: str = "") -> str:
        """The start of the pixels' sha256."""
        return hashlib.sha256(self.image.tobytes()).hexdigest()[: int(length) if length else None]

    def denoising(self) -> Any:
        """The denoising strength."""
        return self.p.denoising_strength or NOTHING_AND_SKIP_PREVIOUS_TEXT

    def has_prompt(self, *parts: str) -> str | None:
        """Of each `text|otherwise`: the text if the prompt has it, else the other."""
        found = ""
        for part in parts:
            expected, _, otherwise = part.partition("|")
            found += expected.lower() if expected.lower() in (self.prompt or "").lower() else otherwise
        return sanitize_filename_part(found)

    def apply(self, x: str) -> str:
        """The pattern with everything that is known filled in; unknown names stay as they are."""
        filled = ""
        for text, pattern in PATTERN.findall(x):
            if not pattern:
                filled += text
                continue
            value = self._value(pattern)
            if value is NOTHING_AND_SKIP_PREVIOUS_TEXT:
                continue
            filled += text + (f"[{pattern}]" if value is None else str(value))
        return filled

    def _value(self, pattern: str) -> Any:
        arguments: list[str] = []
        name = pattern
        while match := PATTERN_ARGUMENT.match(name):
            name = match[1]
            arguments.insert(0, match[2])
        function = REPLACEMENTS.get(name.lower())
        with errors.swallowed(f"Error adding [{pattern}] to filename"):
            return None if function is None else function(self, *arguments)
        return None


def _hash(text: str | None, length: str = "8") -> str:
    return hashlib.sha256((text or "").encode()).hexdigest()[: int(length or 8)]


def _vae_file(names: FilenameGenerator) -> str:
    return (sd_vae.get_loaded_vae_name() or "NoneType").partition(".")[0]


REPLACEMENTS: dict[str, Callable[..., Any]] = {
    "basename": lambda names: names.basename or "img",
    "seed": lambda names: "" if names.seed is None else names.seed,
    "seed_first": FilenameGenerator.seed_first,
    "seed_last": FilenameGenerator.seed_last,
    "steps": lambda names: names.p.steps,
    "cfg": lambda names: names.p.cfg_scale,
    "width": lambda names: names.image.width,
    "height": lambda names: names.image.height,
    "styles": FilenameGenerator.styles,
    "sampler": lambda names: _plain(names.p.sampler_name),
    "sampler_scheduler": FilenameGenerator.sampler_scheduler,
    "scheduler": FilenameGenerator.scheduler,
    "model_hash": lambda names: getattr(names.p, "sd_model_hash", shared.sd_model.sd_model_hash),
    "model_name": lambda names: _plain(shared.sd_model.sd_checkpoint_info.name_for_extra),
    "date": lambda names: datetime.datetime.now().strftime("%Y-%m-%d"),
    "datetime": FilenameGenerator.datetime,
    "job_timestamp": lambda names: getattr(names.p, "job_timestamp", shared.state.job_timestamp),
    "prompt_hash": lambda names, *length: _hash(names.prompt, *length),
    "negative_prompt_hash": lambda names, *length: _hash(names.p.negative_prompt, *length),
    "full_prompt_hash": lambda names, *length: _hash(f"{names.p.prompt} {names.p.negative_prompt}", *length),
    "prompt": lambda names: sanitize_filename_part(names.prompt),
    "prompt_spaces": lambda names: _plain(names.prompt),
    "prompt_words": FilenameGenerator.prompt_words,
    "hasprompt": FilenameGenerator.has_prompt,
    "batch_number": FilenameGenerator.batch_number,
    "batch_size": lambda names: names.p.batch_size,
    "generation_number": FilenameGenerator.generation_number,
    "clip_skip": lambda names: opts.CLIP_stop_at_last_layers,
    "denoising": FilenameGenerator.denoising,
    "user": lambda names: names.p.user,
    "vae_filename": _vae_file,
    "none": lambda names: "",
    "image_hash": FilenameGenerator.image_hash,
}


def get_next_sequence_number(path: str, basename: str) -> int:
    """One more than the highest number that a file of the folder has after `basename-`; 0 in an empty folder."""
    prefix = f"{basename}-" if basename else ""
    starts = (
        os.path.splitext(name[len(prefix) :])[0].split("-")[0] for name in os.listdir(path) if name.startswith(prefix)
    )
    return max((int(start) for start in starts if start.isdecimal()), default=-1) + 1

"""Which checkpoint and motion modules a command uses when the person names none."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from bootstrap import POCKET, ROOT, say
from stopping import SIGNALS

BUNDLED = POCKET / "model"
CACHE = ROOT / ".pocket" / "weights"
SEED = 1


@dataclass(frozen=True)
class ModelFiles:
    """A checkpoint, the folder of its motion modules, and whether they were trained or are random."""

    checkpoint: Path
    motion_modules: Path
    trained: bool

    @property
    def loras(self) -> Path | None:
        """The folder of the LoRA that come with the checkpoint, if there are any."""
        folder = self.checkpoint.parent / "lora"
        return folder if folder.is_dir() else None

    @property
    def page_defaults(self) -> Path | None:
        """The page's defaults that suit the checkpoint, if they come with it."""
        path = self.checkpoint.parent / "ui-config.json"
        return path if self.trained and path.is_file() else None

    @property
    def about(self) -> str:
        """What the checkpoint can do, for people; empty where nothing is known of it."""
        path = self.checkpoint.parent / "about.txt"
        return path.read_text(encoding="utf-8").strip() if self.trained and path.is_file() else ""


def bundled(folder: Path = BUNDLED) -> ModelFiles | None:
    """The model that comes with the pocket: the checkpoint is the file with a `.yaml` beside it."""
    found = [path for path in sorted(folder.glob("*.safetensors")) if path.with_suffix(".yaml").exists()]
    return ModelFiles(found[0], folder, trained=True) if found else None


def seeded(cache: Path = CACHE, seed: int = SEED) -> ModelFiles:
    """Random weights of a seed, made once and kept in the cache."""
    import weights  # torch; not needed where there is a bundled model

    folder = cache / f"seed-{seed}"
    if not folder.exists():
        unfinished = cache / f"unfinished-{os.getpid()}"
        say(f"making random weights in {folder}")
        with SIGNALS.clearing_away():
            try:
                weights.make_set(unfinished, seed=seed)
                os.replace(unfinished, folder)
            finally:
                shutil.rmtree(unfinished, ignore_errors=True)
    checkpoint = next(path for path in sorted(folder.glob("*.safetensors")) if path.with_suffix(".yaml").exists())
    return ModelFiles(checkpoint, folder, trained=False)


def default_model() -> ModelFiles:
    """The bundled model, or random weights; says so when they are random."""
    model = bundled() or seeded()
    if not model.trained:
        say("no bundled model: using random weights, so the pictures show only blobs")
    return model


def model_of(checkpoint: Path | None) -> ModelFiles | None:
    """The model that a command uses: the default one where no checkpoint is named; None for somebody else's."""
    if checkpoint is None:
        return default_model()
    model = bundled()
    return model if model is not None and checkpoint.samefile(model.checkpoint) else None

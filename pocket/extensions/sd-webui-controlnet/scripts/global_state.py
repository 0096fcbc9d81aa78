"""The control models that are there."""

import os

from modules import paths_internal, sd_checkpoint_info, shared

SUFFIX = ".safetensors"

cn_models: dict[str, str | None] = {}
"""Name with hash, `name [1234abcd]` -> path; "None" -> None."""

cn_models_names: dict[str, str] = {}
"""Name in lower case -> name with hash."""


def _folders() -> list[str]:
    folders = [os.path.join(paths_internal.models_path, "ControlNet"), getattr(shared.cmd_opts, "controlnet_dir", None)]
    return [folder for folder in folders if folder and os.path.isdir(folder)]


def update_cn_models() -> None:
    """Look at the folders again."""
    cn_models.clear()
    cn_models_names.clear()
    cn_models["None"] = None
    for folder in _folders():
        for root, _, names in sorted(os.walk(folder)):
            for name in sorted(name for name in names if name.lower().endswith(SUFFIX)):
                path, stem = os.path.join(root, name), os.path.splitext(name)[0]
                with_hash = f"{stem} [{sd_checkpoint_info.model_hash(path)}]"
                cn_models.setdefault(with_hash, path)
                cn_models_names[stem.lower()] = with_hash


def find_model(name: str | None) -> str:
    """The path of a model: by its name with hash, its name in any case, or the shortest name that holds the word.

    Raises:
        RuntimeError: none was named, or there is none like it.
    """
    if not name or name == "None":
        raise RuntimeError("You have not selected any ControlNet Model.")
    word = name.lower()
    holds = sorted((one for one in cn_models_names if word in one), key=len)
    key = name if name in cn_models else cn_models_names.get(word, cn_models_names[holds[0]] if holds else "")
    path = cn_models.get(key)
    if path is None:
        raise RuntimeError("model not found: None")  # ControlNet has forgotten the name that was asked for
    return path

"""Separate VAE files: which there are, which one the settings ask for, and loading it into the model."""

from __future__ import annotations

import os
from typing import Any

import torch

from modules import hashes, paths, shared

EXTENSIONS = (".safetensors", ".ckpt", ".pt")

vae_dict: dict[str, str] = {}


class _Loaded:
    """The VAE file in the model in use, and the checkpoint's own VAE while another one is loaded."""

    file: str | None = None
    own_weights: dict[str, torch.Tensor] | None = None


def vae_folder() -> str:
    """The folder of VAE files inside the models folder in use."""
    return os.path.join(paths.models_path, "VAE")


def get_loaded_vae_name() -> str | None:
    """File name of the separate VAE in use; None if the checkpoint's own is."""
    return os.path.basename(_Loaded.file) if _Loaded.file else None


def get_loaded_vae_hash() -> str | None:
    """First ten digits of its sha256."""
    digest = hashes.sha256(_Loaded.file, "vae") if _Loaded.file else None
    return digest[:10] if digest else None


def refresh_vae_list() -> None:
    """Reads the folders again: all files in the VAE folders, `*.vae.*` beside checkpoints."""
    from modules import sd_checkpoint_info

    found = {}
    for folder, marked in (
        (sd_checkpoint_info.model_folder(), True),
        (shared.cmd_opts.ckpt_dir, True),
        (vae_folder(), False),
        (shared.cmd_opts.vae_dir, False),
    ):
        for root, _, names in os.walk(folder or os.devnull):
            kept = [n for n in names if n.lower().endswith(EXTENSIONS) and (not marked or ".vae." in n)]
            found.update({name: os.path.join(root, name) for name in kept})
    vae_dict.clear()
    vae_dict.update(sorted(found.items(), key=lambda item: shared.natural_sort_key(item[0])))


def resolve_vae(checkpoint_file: str) -> str | None:
    """Path of the VAE to use with a checkpoint: the chosen one; with "Automatic" one that begins with its name."""
    if shared.cmd_opts.vae_path:
        return shared.cmd_opts.vae_path
    choice = shared.opts.sd_vae
    if choice != "Automatic":
        return vae_dict.get(choice)
    stem = os.path.splitext(os.path.basename(checkpoint_file))[0]
    return next((path for path in vae_dict.values() if os.path.basename(path).startswith(stem)), None)


def load_for_new_model(model: Any) -> None:
    """Loads the VAE that goes with a model just built; its own weights are in it."""
    _Loaded.file, _Loaded.own_weights = None, None
    load_vae(model, resolve_vae(model.sd_checkpoint_info.filename))


def load_vae(model: Any, vae_file: str | None = None, vae_source: str = "") -> None:
    """Loads a VAE file into the model; None brings the checkpoint's own weights back."""
    from modules import sd_models

    vae = model.first_stage_model
    if vae_file:
        tensors = sd_models.read_state_dict(vae_file)
        if _Loaded.own_weights is None:
            _Loaded.own_weights = {key: value.clone() for key, value in vae.state_dict().items()}
        wanted = {key: value for key, value in tensors.items() if key in _Loaded.own_weights}
        vae.load_state_dict(wanted)
    elif _Loaded.own_weights is not None:
        vae.load_state_dict(_Loaded.own_weights)
        _Loaded.own_weights = None
    _Loaded.file = vae_file
    model.loaded_vae_file = vae_file


def reload_vae_weights(sd_model: Any = None, vae_file: str | None = "unspecified") -> Any:
    """Loads the VAE that the settings ask for (or `vae_file`) if another one is in use."""
    model = sd_model or shared.sd_model
    wanted = resolve_vae(model.sd_checkpoint_info.filename) if vae_file == "unspecified" else vae_file
    if wanted != _Loaded.file:
        load_vae(model, wanted)
    return model

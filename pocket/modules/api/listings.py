"""The endpoints that tell what there is and how things stand."""

import os
import time
from typing import Any

import psutil

from modules import (
    extensions,
    images,
    infotext_utils,
    progress,
    script_callbacks,
    scripts,
    sd_models,
    sd_samplers,
    sd_schedulers,
    sd_vae,
    shared,
)
from modules.api import models
from modules.api.encoding import decode_base64_to_image, encode_pil_to_base64


def get_scripts_list() -> models.ScriptsList:
    """Titles of the scripts of both tabs, in lower case."""
    names = [
        [script.name for script in runner.scripts if script.name is not None]
        for runner in (scripts.scripts_txt2img, scripts.scripts_img2img)
    ]
    return models.ScriptsList(txt2img=names[0], img2img=names[1])


def get_script_info() -> list[Any]:
    """Arguments of the scripts of both tabs."""
    everything = [*scripts.scripts_txt2img.scripts, *scripts.scripts_img2img.scripts]
    return [script.api_info for script in everything if script.api_info is not None]


def get_progress(skip_current_image: bool) -> models.ProgressResponse:
    """How far the running job is; all zero between jobs."""
    state = shared.state
    if state.job_count == 0:
        return models.ProgressResponse(progress=0, eta_relative=0, state=state.dict(), textinfo=state.textinfo)
    done = min(0.01 + progress.fraction_done(), 1.0)
    elapsed = time.time() - state.time_start
    state.set_current_image()
    picture = None
    if state.current_image and not skip_current_image:
        picture = encode_pil_to_base64(state.current_image)
    return models.ProgressResponse(
        progress=done,
        eta_relative=elapsed / done - elapsed,
        state=state.dict(),
        current_image=picture,
        textinfo=state.textinfo,
    )


def get_png_info(text: str) -> models.PNGInfoResponse:
    """The generation parameters inside a picture."""
    infotext, items = images.read_info_from_image(decode_base64_to_image(text.strip()))
    infotext = infotext or ""
    params = infotext_utils.parse_generation_parameters(infotext)
    script_callbacks.infotext_pasted_callback(infotext, params)
    return models.PNGInfoResponse(info=infotext, items=items, parameters=params)


def get_options() -> dict[str, Any]:
    """Every setting as it is now."""
    opts = shared.opts
    return {key: opts.data.get(key, info.default) for key, info in opts.data_labels.items()} | dict(opts.data)


def set_options(values: dict[str, Any]) -> None:
    """Changes and saves settings.

    Raises:
        RuntimeError: there is no such checkpoint.
    """
    checkpoint = values.get("sd_model_checkpoint")
    if checkpoint is not None and checkpoint not in sd_models.checkpoint_aliases:
        raise RuntimeError(f"model {checkpoint!r} not found")
    for key, value in values.items():
        shared.opts.set(key, value, is_api=True)
    shared.opts.save(shared.config_filename)


def get_samplers() -> list[dict[str, Any]]:
    """Samplers with their other names."""
    return [{"name": s[0], "aliases": s[2], "options": s[3]} for s in sd_samplers.all_samplers]


def get_schedulers() -> list[dict[str, Any]]:
    """Noise schedules."""
    names = ("name", "label", "aliases", "default_rho", "need_inner_model")
    return [{name: getattr(scheduler, name) for name in names} for scheduler in sd_schedulers.schedulers]


def get_upscalers() -> list[dict[str, Any]]:
    """Upscalers for pictures."""
    return [
        {
            "name": upscaler.name,
            "model_name": getattr(upscaler.scaler, "model_name", None),
            "model_path": upscaler.data_path,
            "scale": upscaler.scale,
        }
        for upscaler in shared.sd_upscalers
    ]


def get_latent_upscale_modes() -> list[dict[str, str]]:
    """Ways of upscaling latents."""
    return [{"name": name} for name in shared.latent_upscale_modes or {}]


def _config_beside(filename: str) -> str | None:
    config = os.path.splitext(filename)[0] + ".yaml"
    return config if os.path.exists(config) else None


def get_sd_models() -> list[dict[str, Any]]:
    """Checkpoints."""
    return [
        {
            "title": info.title,
            "model_name": info.model_name,
            "hash": info.shorthash,
            "sha256": info.sha256,
            "filename": info.filename,
            "config": _config_beside(info.filename),
        }
        for info in sd_models.checkpoints_list.values()
    ]


def get_sd_vaes() -> list[dict[str, str]]:
    """VAE files."""
    return [{"model_name": name, "filename": path} for name, path in sd_vae.vae_dict.items()]


def get_prompt_styles() -> list[dict[str, Any]]:
    """Styles."""
    styles = shared.prompt_styles.styles.values()
    return [{"name": style[0], "prompt": style[1], "negative_prompt": style[2]} for style in styles]


def get_memory() -> models.MemoryResponse:
    """Bytes of memory; the pocket uses no accelerator."""
    used, total = psutil.Process().memory_info().rss, psutil.virtual_memory().total
    return models.MemoryResponse(
        ram={"free": total - used, "used": used, "total": total}, cuda={"error": "unavailable"}
    )


def get_extensions() -> list[dict[str, Any]]:
    """Extensions that are loaded."""
    return [{"name": extension.name, "enabled": extension.enabled} for extension in extensions.extensions]

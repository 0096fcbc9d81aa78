"""The refiner: another checkpoint takes over for the last part of the steps."""

from __future__ import annotations

from typing import Any

import torch

from modules import shared


def _progress_of(cfg_denoiser: Any, sigma: torch.Tensor | None) -> float:
    """How far sampling has come, 0..1: by the noise level, or by the steps if the settings say so."""
    if shared.opts.refiner_switch_by_sample_steps or sigma is None:
        cfg_denoiser.p.extra_generation_params["Refiner switch by sampling steps"] = True
        return cfg_denoiser.step / cfg_denoiser.total_steps
    levels = getattr(cfg_denoiser.inner_model, "sigmas", None)
    # timestep samplers have no sigmas: what they pass as sigma is the timestep
    timestep = int(sigma.max()) if levels is None else int((levels.to(sigma.device) - sigma.max()).abs().argmin())
    return (999 - timestep) / 1000


def _refiner_is_for_this_pass(p: Any) -> bool:
    if not getattr(p, "enable_hr", False):
        return True
    wanted = shared.opts.hires_fix_refiner_pass
    if wanted in ("first pass", "second pass") and (wanted == "second pass") != bool(p.is_hr_pass):
        return False
    if wanted != "second pass":
        p.extra_generation_params["Hires refiner"] = wanted
    return True


def apply_refiner(cfg_denoiser: Any, sigma: torch.Tensor | None = None) -> bool:
    """Changes to the refiner checkpoint once sampling has come far enough; True if it did so now."""
    from modules import sd_models

    p = cfg_denoiser.p
    info, switch_at = p.refiner_checkpoint_info, p.refiner_switch_at
    if info is None or shared.sd_model.sd_checkpoint_info == info:
        return False
    if switch_at is not None and _progress_of(cfg_denoiser, sigma) < switch_at:
        return False
    if not _refiner_is_for_this_pass(p):
        return False
    p.extra_generation_params["Refiner"] = info.short_title
    p.extra_generation_params["Refiner switch at"] = switch_at
    with sd_models.SkipWritingToConfig():
        sd_models.reload_model_weights(info=info)
    p.setup_conds()
    cfg_denoiser.update_inner_model()
    return True

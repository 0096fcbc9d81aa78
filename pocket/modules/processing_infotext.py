"""The infotext: prompt, negative prompt and parameters of one picture as text."""

from typing import Any

from modules import errors, infotext_utils, sd_samplers_common
from modules.shared import opts

HOST_VERSION = "1.10.1"
"""The WebUI whose behaviour this host follows; infotexts and the API name it, so that clients act as with that one."""


def program_version() -> str | None:
    """The version that infotexts name."""
    return HOST_VERSION


def _unless(condition: Any, value: Any) -> Any:
    return None if condition else value


def _known_params(p: Any, seed: Any, subseed: Any) -> dict[str, Any]:
    """The host's own parameters of one picture in the infotext's order; None is left out of the text."""
    clip_skip = getattr(p, "clip_skip", opts.CLIP_stop_at_last_layers)
    enable_hr = getattr(p, "enable_hr", False)
    ratio, ratio_hr = p.get_token_merging_ratio(), p.get_token_merging_ratio(for_hr=True)
    uses_delta = opts.eta_noise_seed_delta != 0 and sd_samplers_common.is_sampler_using_eta_noise_seed_delta(p)
    mask_weight = getattr(p, "inpainting_mask_weight", opts.inpainting_mask_weight)
    resized = p.seed_resize_from_w > 0 and p.seed_resize_from_h > 0
    return {
        "Steps": p.steps,
        "Sampler": p.sampler_name,
        "Schedule type": p.scheduler,
        "CFG scale": p.cfg_scale,
        "Image CFG scale": getattr(p, "image_cfg_scale", None),
        "Seed": seed,
        "Face restoration": opts.face_restoration_model if p.restore_faces else None,
        "Size": f"{p.width}x{p.height}",
        "Model hash": p.sd_model_hash if opts.add_model_hash_to_info else None,
        "Model": p.sd_model_name if opts.add_model_name_to_info else None,
        "VAE hash": p.sd_vae_hash if opts.add_vae_hash_to_info else None,
        "VAE": p.sd_vae_name if opts.add_vae_name_to_info else None,
        "Variation seed": _unless(p.subseed_strength == 0, subseed),
        "Variation seed strength": _unless(p.subseed_strength == 0, p.subseed_strength),
        "Seed resize from": f"{p.seed_resize_from_w}x{p.seed_resize_from_h}" if resized else None,
        "Denoising strength": p.extra_generation_params.get("Denoising strength"),
        "Conditional mask weight": mask_weight if p.is_using_inpainting_conditioning else None,
        "Clip skip": _unless(clip_skip <= 1, clip_skip),
        "ENSD": opts.eta_noise_seed_delta if uses_delta else None,
        "Token merging ratio": _unless(ratio == 0, ratio),
        "Token merging ratio hr": _unless(not enable_hr or ratio_hr == 0, ratio_hr),
        "Init image hash": getattr(p, "init_img_hash", None),
        "RNG": _unless(opts.randn_source == "GPU", opts.randn_source),
        "Tiling": "True" if p.tiling else None,
        **p.extra_generation_params,
        "Version": program_version() if opts.add_version_to_infotext else None,
        "User": p.user if opts.add_user_name_to_info else None,
    }


def _resolved(key: str, value: Any, context: dict[str, Any]) -> Any:
    """A parameter's value for this picture: a list has one a picture, a function is called with the whole context."""
    with errors.swallowed(f'Error creating infotext for key "{key}"'):
        if isinstance(value, list):
            return value[context["index"]]
        return value(**context) if callable(value) else value
    return None


def create_infotext(
    p: Any,
    all_prompts: list[str],
    all_seeds: list[int],
    all_subseeds: list[int],
    comments: list[str] | None = None,
    iteration: int = 0,
    position_in_batch: int = 0,
    use_main_prompt: bool = False,
    index: int | None = None,
    all_negative_prompts: list[str] | None = None,
) -> str:
    """The infotext of one picture.

    Args:
        p: the run. Its `extra_generation_params` may have text, a list with one entry a picture, or a function
            that gets this function's arguments and `prompt_text`, `negative_prompt` by name; None is left out.
        all_prompts, all_seeds, all_subseeds, all_negative_prompts: what `index` points into.
        comments: accepted and not used.
        use_main_prompt: the text is for a whole grid: the first prompt and seed of the run.
        index: the picture; found from `iteration` and `position_in_batch` if not given.
    """
    if use_main_prompt:
        index = 0
    elif index is None:
        index = position_in_batch + iteration * p.batch_size
    if all_negative_prompts is None:
        all_negative_prompts = p.all_negative_prompts
    prompt_text = p.main_prompt if use_main_prompt else all_prompts[index]
    negative_prompt = p.main_negative_prompt if use_main_prompt else all_negative_prompts[index]
    seed = p.all_seeds[0] if use_main_prompt else all_seeds[index]
    subseed = p.all_subseeds[0] if use_main_prompt else all_subseeds[index]
    context = {
        "p": p,
        "all_prompts": all_prompts,
        "all_seeds": all_seeds,
        "all_subseeds": all_subseeds,
        "all_negative_prompts": all_negative_prompts,
        "comments": comments,
        "iteration": iteration,
        "position_in_batch": position_in_batch,
        "use_main_prompt": use_main_prompt,
        "index": index,
        "prompt_text": prompt_text,
        "negative_prompt": negative_prompt,
    }
    params = {k: _resolved(k, v, context) for k, v in _known_params(p, seed, subseed).items()}
    listed = ", ".join(k if k == v else f"{k}: {infotext_utils.quote(v)}" for k, v in params.items() if v is not None)
    negative_line = f"\nNegative prompt: {negative_prompt}" if negative_prompt else ""
    return f"{prompt_text}{negative_line}\n{listed}".strip()

"""The options that this host models, with WebUI's names and defaults.

An extension adds its own with `shared.opts.add_option`. An option that is not listed here is one this host
knows nothing about; setting it is an error instead of being silently without effect.
"""

import os
from collections.abc import Callable
from typing import Any

import gradio as gr

from modules import paths_internal, shared_items
from modules.options import OptionInfo, categories, options_section

options_templates: dict[str, OptionInfo] = {}

CATEGORIES = {
    "saving": "Saving images",
    "sd": "Stable Diffusion",
    "ui": "User Interface",
    "system": "System",
    "postprocessing": "Postprocessing",
}
for category_id, category_label in CATEGORIES.items():
    categories.register_category(category_id, category_label)


def outdirs(base: str) -> dict[str, str]:
    """The default folders for pictures below `base`, by option name."""
    names = ("txt2img-images", "img2img-images", "txt2img-grids", "img2img-grids", "init-images")
    options = ("txt2img_samples", "img2img_samples", "txt2img_grids", "img2img_grids", "init_images")
    return {f"outdir_{option}": os.path.join(base, name) for option, name in zip(options, names, strict=True)}


def add(section: tuple[Any, ...], table: dict[str, tuple[Any, ...]]) -> None:
    """Add a section of options that are shown by the type of their default.

    Args:
        section: `(id, title, category id)`, or id None for options that the Settings page does not show.
        table: name -> `(default, label)` or `(default, label, name in the infotext)`.
    """
    made = {name: OptionInfo(row[0], row[1], infotext=row[2] if len(row) > 2 else None) for name, row in table.items()}
    options_templates.update(options_section(section, made))


def add_choices(section: tuple[Any, ...], table: dict[str, tuple[Any, ...]]) -> None:
    """Add a section of options with a fixed list: name -> `(default, label, choices)` or with the infotext's name."""
    made = {
        name: OptionInfo(row[0], row[1], gr.Radio, {"choices": row[2]}, infotext=row[3] if len(row) > 3 else None)
        for name, row in table.items()
    }
    options_templates.update(options_section(section, made))


def listed(default: Any, label: str, choices: Callable[[], list[str]], **more: Any) -> OptionInfo:
    """An option whose choices are found out when the Settings page is made; a list default takes several."""
    multiselect = isinstance(default, list)
    return OptionInfo(default, label, gr.Dropdown, lambda: {"choices": choices(), "multiselect": multiselect}, **more)


def add_listed(section: tuple[Any, ...], table: dict[str, OptionInfo]) -> None:
    """Add a section of options made with `listed`."""
    options_templates.update(options_section(section, table))


SAVING = ("saving-images", "Saving images/grids", "saving")
PATHS = ("saving-paths", "Paths for saving", "saving")
FOLDERS = ("saving-to-dirs", "Saving to a directory", "saving")
SYSTEM = ("system", "System", "system")
API = ("API", "API", "system")
SD = ("sd", "Stable Diffusion", "sd")
SDXL = ("sdxl", "Stable Diffusion XL", "sd")
VAE = ("vae", "VAE", "sd")
IMG2IMG = ("img2img", "img2img", "sd")
OPTIMISATION = ("optimizations", "Optimizations", "sd")
COMPATIBILITY = ("compatibility", "Compatibility", "sd")
SAMPLER = ("sampler-params", "Sampler parameters", "sd")
NETWORKS = ("extra_networks", "Extra Networks", "sd")
UI = ("ui", "User interface", "ui")
INFOTEXT = ("infotext", "Infotext", "ui")
PREVIEW = ("ui", "Live previews", "ui")
FACES = ("face-restoration", "Face restoration", "postprocessing")
UPSCALING = ("upscaling", "Upscaling", "postprocessing")
HIDDEN = (None, "Hidden options")

restricted_opts = {
    *outdirs(""),
    "outdir_samples",
    "outdir_grids",
    "samples_filename_pattern",
    "directories_filename_pattern",
}

add(
    SAVING,
    {
        "samples_save": (True, "Save every picture"),
        "samples_format": ("png", "Format of pictures"),
        "samples_filename_pattern": ("", "Pattern of file names"),
        "save_images_add_number": (True, "Number the files"),
        "save_images_replace_action": ("Replace", "A file of the same name: Replace, or Add number suffix"),
        "grid_save": (True, "Save grids"),
        "grid_format": ("png", "Format of grids"),
        "grid_extended_filename": (False, "Seed and prompt in a grid's file name"),
        "grid_only_if_multiple": (True, "No grid of a single picture"),
        "grid_prevent_empty_spots": (False, "No empty places in a grid"),
        "n_rows": (-1, "Rows of a grid (-1: about square, 0: the batch size)"),
        "grid_background_color": ("#ffffff", "Background of grids"),
        "save_images_before_highres_fix": (False, "Also save pictures before hires fix"),
        "save_images_before_color_correction": (False, "Also save pictures before colour correction"),
        "save_mask": (False, "Save the mask when inpainting"),
        "save_mask_composite": (False, "Save the masked part when inpainting"),
        "jpeg_quality": (80, "Quality of JPEG"),
        "webp_lossless": (False, "Lossless WEBP"),
        "save_init_img": (False, "Save the first picture of img2img"),
        "save_incomplete_images": (False, "Save interrupted pictures"),
    },
)
add(
    PATHS,
    {
        "outdir_samples": ("", "Folder for all pictures (empty: the folders below)"),
        "outdir_grids": ("", "Folder for all grids (empty: the folders below)"),
        **{name: (path, f"Folder {name[7:]}") for name, path in outdirs(paths_internal.default_output_dir).items()},
    },
)
add(
    FOLDERS,
    {
        "save_to_dirs": (True, "Save pictures in sub-folders"),
        "grid_save_to_dirs": (True, "Save grids in sub-folders"),
        "directories_filename_pattern": ("[date]", "Pattern of sub-folders"),
        "directories_max_prompt_words": (8, "Words taken for [prompt_words]"),
    },
)
add(FACES, {"face_restoration": (False, "Restore faces", "Face restoration")})
add_choices(FACES, {"face_restoration_model": ("CodeFormer", "Face restoration model", [])})
add_listed(UPSCALING, {"upscaler_for_img2img": listed(None, "Upscaler for img2img", shared_items.upscaler_names)})
add(
    SYSTEM,
    {
        "enable_console_prompts": (False, "Print prompts"),
        "samples_log_stdout": (False, "Print the generation info"),
        "multiple_tqdm": (True, "Progress bar for the whole job"),
        "memmon_poll_rate": (8, "Memory polls per second"),
        "list_hidden_files": (True, "List models in hidden folders"),
        "disable_mmap_load_safetensors": (False, "Read safetensors without memory mapping"),
        "hide_ldm_prints": (True, "Keep ldm quiet"),
    },
)
add(
    API,
    {
        "api_enable_requests": (True, "API may fetch pictures from URLs"),
        "api_forbid_local_requests": (True, "API may not fetch from this machine"),
        "api_useragent": ("", "User agent for fetching"),
    },
)
for name in ("api_enable_requests", "api_forbid_local_requests", "api_useragent"):
    options_templates[name].restrict_api = True
add_listed(
    SD,
    {
        "sd_model_checkpoint": listed(
            None,
            "Stable Diffusion checkpoint",
            shared_items.list_checkpoint_tiles,
            refresh=shared_items.refresh_checkpoints,
            infotext="Model hash",
        )
    },
)
add(
    SD,
    {
        "sd_checkpoints_limit": (1, "Checkpoints kept loaded"),
        "sd_checkpoints_keep_in_cpu": (True, "Only one model on the device"),
        "sd_checkpoint_cache": (0, "Checkpoints cached in RAM"),
        "enable_quantization": (False, "Quantised sigmas in k-diffusion samplers"),
        "enable_batch_seeds": (True, "A picture does not depend on its place in the batch"),
        "comma_padding_backtrack": (20, "Tokens after a comma that move to the next chunk"),
        "sdxl_clip_l_skip": (False, "Clip skip for SDXL's second text encoder"),
        "CLIP_stop_at_last_layers": (1, "Clip skip", "Clip skip"),
        "upcast_attn": (False, "Attention in float32"),
        "tiling": (False, "Tiling", "Tiling"),
        "enable_prompt_comments": (True, "Text after # in a prompt is a comment"),
    },
)
add_choices(
    SD,
    {
        "sd_unet": ("Automatic", "UNet", ["Automatic", "None"]),
        "emphasis": ("Original", "Emphasis", ["None", "Ignore", "Original", "No norm"], "Emphasis"),
        "randn_source": ("GPU", "Source of random numbers", ["GPU", "CPU", "NV"], "RNG"),
        "hires_fix_refiner_pass": (
            "second pass",
            "Refiner works in",
            ["first pass", "second pass", "both passes"],
            "Hires refiner",
        ),
    },
)
add(
    SDXL,
    {
        "sdxl_crop_top": (0, "Crop from the top"),
        "sdxl_crop_left": (0, "Crop from the left"),
        "sdxl_refiner_low_aesthetic_score": (2.5, "Refiner's aesthetic score for the negative prompt"),
        "sdxl_refiner_high_aesthetic_score": (6.0, "Refiner's aesthetic score for the prompt"),
    },
)
add_listed(
    VAE,
    {
        "sd_vae": listed(
            "Automatic", "VAE", shared_items.sd_vae_items, refresh=shared_items.refresh_vae_list, infotext="VAE"
        )
    },
)
add(
    VAE,
    {
        "sd_vae_checkpoint_cache": (0, "VAE cached in RAM"),
        "sd_vae_overrides_per_model_preferences": (True, "The chosen VAE goes before the model's own"),
        "auto_vae_precision_bfloat16": (False, "VAE to bfloat16 when it makes NaN"),
        "auto_vae_precision": (True, "VAE to float32 when it makes NaN"),
    },
)
add_choices(
    VAE,
    {
        "sd_vae_encode_method": ("Full", "Encode with", ["Full"], "VAE Encoder"),
        "sd_vae_decode_method": ("Full", "Decode with", ["Full"], "VAE Decoder"),
    },
)
add(
    IMG2IMG,
    {
        "inpainting_mask_weight": (1.0, "Strength of the inpainting mask", "Conditional mask weight"),
        "initial_noise_multiplier": (1.0, "Noise multiplier", "Noise multiplier"),
        "img2img_extra_noise": (0.0, "Extra noise", "Extra noise"),
        "img2img_color_correction": (False, "Correct colours towards the original"),
        "img2img_fix_steps": (False, "Do exactly the steps asked for"),
        "img2img_background_color": ("#ffffff", "Colour put behind transparent pictures"),
        "return_mask": (False, "Return the mask when inpainting"),
        "return_mask_composite": (False, "Return the masked part when inpainting"),
        "img2img_batch_show_results_limit": (32, "Pictures shown of a batch (-1: all)"),
        "overlay_inpaint": (True, "Lay the original over what was not inpainted"),
    },
)
add(
    OPTIMISATION,
    {
        "cross_attention_optimization": ("Automatic", "Attention optimisation"),
        "s_min_uncond": (0.0, "Sigma below which the negative prompt is skipped", "NGMS"),
        "s_min_uncond_all": (False, "Skip it in all steps", "NGMS all steps"),
        "token_merging_ratio": (0.0, "Token merging ratio", "Token merging ratio"),
        "token_merging_ratio_img2img": (0.0, "Token merging ratio for img2img"),
        "token_merging_ratio_hr": (0.0, "Token merging ratio for hires fix", "Token merging ratio hr"),
        "pad_cond_uncond": (False, "Pad prompt and negative prompt to one length", "Pad conds"),
        "pad_cond_uncond_v0": (False, "The same in the older way", "Pad conds v0"),
        "persistent_cond_cache": (True, "Keep conditionings between runs"),
        "batch_cond_uncond": (True, "Prompt and negative prompt in one model call"),
        "cache_fp16_weight": (False, "Keep fp16 weights for LoRA"),
    },
)
add_choices(OPTIMISATION, {"fp8_storage": ("Disable", "FP8 weights", ["Disable"])})
add(
    COMPATIBILITY,
    {
        "auto_backcompat": (True, "Set these from an infotext's version"),
        "use_old_emphasis_implementation": (False, "Old emphasis"),
        "use_old_karras_scheduler_sigmas": (False, "Old Karras sigmas (0.1 to 10)"),
        "no_dpmpp_sde_batch_determinism": (False, "DPM++ SDE depends on the batch size"),
        "use_old_hires_fix_width_height": (False, "Hires fix: width and height are the final size"),
        "hires_fix_use_firstpass_conds": (False, "Hires fix: conditionings with the first pass's networks"),
        "use_old_scheduling": (False, "Old prompt editing", "Old prompt editing timelines"),
        "use_downcasted_alpha_bar": (False, "alphas_cumprod in fp16", "Downcast alphas_cumprod"),
        "refiner_switch_by_sample_steps": (False, "Refiner switches by steps", "Refiner switch by sampling steps"),
    },
)
add(
    NETWORKS,
    {
        "extra_networks_default_multiplier": (1.0, "Default multiplier"),
        "textual_inversion_add_hashes_to_infotext": (True, "Embeddings' hashes in the infotext"),
    },
)
add(
    UI,
    {
        "sd_checkpoint_dropdown_use_short": (False, "Checkpoints without their folders"),
        "interrupt_after_current": (True, "Interrupt after the current picture"),
        "return_grid": (True, "Show grid in gallery"),
        "do_not_show_images": (False, "Show no pictures in the gallery"),
        "samplers_in_dropdown": (True, "Samplers in a dropdown"),
        "send_seed": (True, "Send the seed with a picture"),
        "send_size": (True, "Send the size with a picture"),
    },
)
add_listed(
    UI,
    {
        "quicksettings_list": listed(["sd_model_checkpoint"], "Quick settings", shared_items.option_names),
        "hide_samplers": listed([], "Hidden samplers", shared_items.sampler_names),
    },
)
add(
    INFOTEXT,
    {
        "enable_pnginfo": (True, "Infotext in the picture"),
        "save_txt": (False, "Infotext in a file beside the picture"),
        "add_model_name_to_info": (True, "Model's name"),
        "add_model_hash_to_info": (True, "Model's hash"),
        "add_vae_name_to_info": (True, "VAE's name"),
        "add_vae_hash_to_info": (True, "VAE's hash"),
        "add_user_name_to_info": (False, "User's name"),
        "add_version_to_infotext": (True, "Program's version"),
        "disable_weights_auto_swap": (True, "Pasting does not change the checkpoint"),
    },
)
add_listed(INFOTEXT, {"infotext_skip_pasting": listed([], "Fields not pasted", shared_items.get_infotext_names)})
add_choices(
    INFOTEXT,
    {"infotext_styles": ("Apply if any", "Find styles in prompts", ["Ignore", "Apply", "Discard", "Apply if any"])},
)
add(
    PREVIEW,
    {
        "show_progressbar": (True, "Progress bar"),
        "live_previews_enable": (True, "Live previews"),
        "show_progress_grid": (True, "Previews of the whole batch"),
        "show_progress_every_n_steps": (10, "Steps between previews (-1: only at the end)"),
        "live_preview_allow_lowvram_full": (False, "Full previews with little memory"),
        "live_preview_refresh_period": (1000, "Milliseconds between updates"),
        "live_preview_fast_interrupt": (False, "Return a preview when interrupted"),
    },
)
add_choices(
    PREVIEW,
    {
        "live_previews_image_format": ("png", "Format of previews", ["jpeg", "png", "webp"]),
        "show_progress_type": ("Approx cheap", "Kind of previews", ["Full", "Approx cheap"]),
        "live_preview_content": ("Prompt", "Subject of previews", ["Combined", "Prompt", "Negative prompt"]),
    },
)
add(
    SAMPLER,
    {
        "eta_ddim": (0.0, "Eta of DDIM", "Eta DDIM"),
        "eta_ancestral": (1.0, "Eta of k-diffusion samplers", "Eta"),
        "s_churn": (0.0, "Sigma churn", "Sigma churn"),
        "s_tmin": (0.0, "Sigma tmin", "Sigma tmin"),
        "s_tmax": (0.0, "Sigma tmax", "Sigma tmax"),
        "s_noise": (1.0, "Sigma noise", "Sigma noise"),
        "sigma_min": (0.0, "Sigma min", "Schedule min sigma"),
        "sigma_max": (0.0, "Sigma max", "Schedule max sigma"),
        "rho": (0.0, "Rho", "Schedule rho"),
        "eta_noise_seed_delta": (0, "Eta noise seed delta", "ENSD"),
        "always_discard_next_to_last_sigma": (False, "Drop the last sigma but one", "Discard penultimate sigma"),
        "sgm_noise_multiplier": (False, "SDXL's own noise multiplier", "SGM noise multiplier"),
        "uni_pc_order": (3, "UniPC order", "UniPC order"),
        "uni_pc_lower_order_final": (True, "UniPC lower order at the end", "UniPC lower order final"),
        "skip_early_cond": (0.0, "Part of the steps without negative prompt at the start", "Skip Early CFG"),
        "beta_dist_alpha": (0.6, "Beta schedule: alpha", "Beta scheduler alpha"),
        "beta_dist_beta": (0.6, "Beta schedule: beta", "Beta scheduler beta"),
    },
)
add_choices(
    SAMPLER,
    {
        "ddim_discretize": ("uniform", "DDIM's steps", ["uniform", "quad"]),
        "uni_pc_variant": ("bh1", "UniPC variant", ["bh1", "bh2", "vary_coeff"], "UniPC variant"),
        "uni_pc_skip_type": (
            "time_uniform",
            "UniPC's steps",
            ["time_uniform", "time_quadratic", "logSNR"],
            "UniPC skip type",
        ),
        "sd_noise_schedule": ("Default", "Noise schedule", ["Default", "Zero Terminal SNR"], "Noise Schedule"),
    },
)
add(
    HIDDEN,
    {
        "disabled_extensions": ([], "Extensions that are off"),
        "disable_all_extensions": ("none", "Extensions that are off altogether (none, extra, all)"),
        "sd_checkpoint_hash": ("", "Hash of the checkpoint"),
    },
)

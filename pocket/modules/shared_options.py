"""The options that this host models, with WebUI's names and defaults.

An extension adds its own with `shared.opts.add_option`. An option that is not listed here is one this host
knows nothing about; setting it is an error instead of being silently without effect.
"""

from modules import paths_internal, shared_items, shared_options_sd  # noqa: F401  (the latter fills the table)
from modules.option_tables import add, add_choices, add_listed, listed, options_templates, outdirs

SAVING = ("saving-images", "Saving images/grids", "saving")
PATHS = ("saving-paths", "Paths for saving", "saving")
FOLDERS = ("saving-to-dirs", "Saving to a directory", "saving")
SYSTEM = ("system", "System", "system")
API = ("API", "API", "system")
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
        **{
            name: (path, f"Folder for {name[7:].replace('samples', 'pictures').replace('_', ' ')}")
            for name, path in outdirs(paths_internal.default_output_dir).items()
        },
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
        "ui_reorder_list": listed([], "Order of the parts of a tab", shared_items.ui_reorder_categories),
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
    HIDDEN,
    {
        "disabled_extensions": ([], "Extensions that are off"),
        "disable_all_extensions": ("none", "Extensions that are off altogether (none, extra, all)"),
        "sd_checkpoint_hash": ("", "Hash of the checkpoint"),
    },
)

"""The options of making pictures: checkpoint, VAE, img2img, samplers, with WebUI's names and defaults."""

from modules import shared_items
from modules.option_tables import add, add_choices, add_listed, listed

SD = ("sd", "Stable Diffusion", "sd")
SDXL = ("sdxl", "Stable Diffusion XL", "sd")
VAE = ("vae", "VAE", "sd")
IMG2IMG = ("img2img", "img2img", "sd")
OPTIMISATION = ("optimizations", "Optimizations", "sd")
COMPATIBILITY = ("compatibility", "Compatibility", "sd")
SAMPLER = ("sampler-params", "Sampler parameters", "sd")
NETWORKS = ("extra_networks", "Extra Networks", "sd")

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

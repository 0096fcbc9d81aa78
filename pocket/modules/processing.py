"""A run from beginning to end, the same for both tabs: in which order the settings, the scripts' hooks, the networks,
the sampler and the decoder come.

The functions find each other in this module when they run, because extensions replace them here.
"""

import os
from typing import Any

import torch

from modules import (
    devices,
    errors,
    extra_networks,
    paths,
    rng,
    scripts,
    sd_models,
    sd_samplers,
    sd_unet,
    sd_vae,
    shared,
)
from modules.processing_base import (  # noqa: F401
    StableDiffusionProcessing,
    fix_seed,
    get_fixed_seed,
    opt_C,
    opt_f,
)
from modules.processing_conditioning import txt2img_image_conditioning  # noqa: F401
from modules.processing_decode import DecodedSamples, create_random_tensors, decode_latent_batch  # noqa: F401
from modules.processing_hires import old_hires_fix_first_pass_dimensions  # noqa: F401
from modules.processing_img2img import StableDiffusionProcessingImg2Img  # noqa: F401
from modules.processing_infotext import create_infotext, program_version  # noqa: F401
from modules.processing_overlay import (  # noqa: F401
    apply_color_correction,
    apply_overlay,
    create_binary_mask,
    setup_color_correction,
    uncrop,
)
from modules.processing_pictures import Output, add_grid, finish_batch
from modules.processing_result import Processed
from modules.processing_txt2img import StableDiffusionProcessingTxt2Img  # noqa: F401
from modules.sd_hijack import model_hijack
from modules.shared import cmd_opts, opts, state

NO_REFINER = (None, "", "None", "none")


def process_images(p: StableDiffusionProcessing) -> Processed:
    """Make the pictures of a run under its `override_settings`, which are undone afterwards.

    Raises:
        KeyError: a setting to override is none.
        Exception: whatever the run's own methods raise. What scripts' hooks raise is printed and swallowed.
    """
    if p.scripts is not None:
        p.scripts.before_process(p)
    before = {key: getattr(opts, key) for key in p.override_settings if key in opts.data_labels}
    try:
        _apply_override_settings(p)
        sd_models.apply_token_merging(p.sd_model, p.get_token_merging_ratio())
        sd_samplers.fix_p_invalid_sampler_and_scheduler(p)
        return process_images_inner(p)
    finally:
        sd_models.apply_token_merging(p.sd_model, 0)
        if p.override_settings_restore_afterwards:
            _restore_settings(before)


def _apply_override_settings(p: StableDiffusionProcessing) -> None:
    """Set the run's settings; an unknown checkpoint is ignored, and the chosen one is loaded if it is not."""
    if sd_models.checkpoint_aliases.get(p.override_settings.get("sd_model_checkpoint")) is None:
        p.override_settings.pop("sd_model_checkpoint", None)
        sd_models.reload_model_weights()
    for key, value in p.override_settings.items():
        opts.set(key, value, is_api=True, run_callbacks=False)
        if key == "sd_model_checkpoint":
            sd_models.reload_model_weights()
        if key == "sd_vae":
            sd_vae.reload_vae_weights()


def _restore_settings(before: dict[str, Any]) -> None:
    """Put settings back. A checkpoint is loaded again by the next run, not here."""
    for key, value in before.items():
        setattr(opts, key, value)
        if key == "sd_vae":
            sd_vae.reload_vae_weights()


def process_images_inner(p: StableDiffusionProcessing) -> Processed:
    """Make the pictures with the settings as they are.

    Raises:
        ValueError: there is no prompt, or the refiner's checkpoint is not found.
        NotModelledError: face restoration is asked for.
    """
    if p.prompt is None or p.prompt == []:
        raise ValueError("There is no prompt.")
    devices.torch_gc()
    _prepare(p)
    if p.scripts is not None:
        p.scripts.process(p)
    output_images: list[Any] = []  # extensions look for these two names in the frame of this function
    infotexts: list[str] = []
    output = Output(output_images, infotexts)
    with torch.no_grad(), p.sd_model.ema_scope():
        with devices.autocast():
            p.init(p.all_prompts, p.all_seeds, p.all_subseeds)
            sd_unet.apply_unet()
        if state.job_count == -1:
            state.job_count = p.n_iter
        for n in range(p.n_iter):
            p.iteration = n
            state.skipped = False
            if state.interrupted or state.stopping_generation or not _make_batch(p, n, output):
                break
        if not infotexts:
            infotexts.append(Processed(p, []).infotext(p, 0))
        p.color_corrections = None
        add_grid(p, output)
    if not p.disable_extra_networks and p.extra_network_data:
        extra_networks.deactivate(p, p.extra_network_data)
    devices.torch_gc()
    return _result(p, output)


def _prepare(p: StableDiffusionProcessing) -> None:
    """Settle everything that all batches share: seeds, model names, prompts."""
    seed, subseed = get_fixed_seed(p.seed), get_fixed_seed(p.subseed)
    p.restore_faces = opts.face_restoration if p.restore_faces is None else p.restore_faces
    if p.restore_faces:
        raise errors.NotModelledError("Face restoration is not supported by this host.")
    p.tiling = opts.tiling if p.tiling is None else p.tiling
    if p.refiner_checkpoint not in NO_REFINER:
        p.refiner_checkpoint_info = sd_models.get_closet_checkpoint_match(p.refiner_checkpoint)
        if p.refiner_checkpoint_info is None:
            raise ValueError(f"Could not find checkpoint with name {p.refiner_checkpoint}")
    p.sd_model_name = shared.sd_model.sd_checkpoint_info.name_for_extra
    p.sd_model_hash = shared.sd_model.sd_model_hash
    p.sd_vae_name, p.sd_vae_hash = sd_vae.get_loaded_vae_name(), sd_vae.get_loaded_vae_hash()
    model_hijack.apply_circular(p.tiling)
    model_hijack.clear_comments()
    p.fill_fields_from_opts()
    p.setup_prompts()
    count = len(p.all_prompts)
    step = 1 if p.subseed_strength == 0 else 0  # variations of one picture share the seed
    p.all_seeds = seed if isinstance(seed, list) else [int(seed) + place * step for place in range(count)]
    p.all_subseeds = subseed if isinstance(subseed, list) else [int(subseed) + place for place in range(count)]
    if os.path.exists(cmd_opts.embeddings_dir) and not p.do_not_reload_embeddings:
        model_hijack.embedding_db.load_textual_inversion_embeddings()


def _make_batch(p: StableDiffusionProcessing, n: int, output: Output) -> bool:
    """Make one batch; False if there are no prompts for it."""
    sd_models.reload_model_weights()  # the refiner may have left its own
    _start_batch(p, n)
    if p.scripts is not None:
        p.scripts.before_process_batch(p, batch_number=n, prompts=p.prompts, seeds=p.seeds, subseeds=p.subseeds)
    if not p.prompts:
        return False
    p.parse_extra_network_prompts()
    if not p.disable_extra_networks:
        with devices.autocast():
            extra_networks.activate(p, p.extra_network_data)
    if p.scripts is not None:
        p.scripts.process_batch(p, batch_number=n, prompts=p.prompts, seeds=p.seeds, subseeds=p.subseeds)
    p.setup_conds()
    p.extra_generation_params.update(model_hijack.extra_generation_params)
    if n == 0 and not cmd_opts.no_prompt_history:
        _write_params_txt(p)
    for comment in model_hijack.comments:
        p.comment(comment)
    if p.n_iter > 1:
        state.job = f"Batch {n + 1} out of {p.n_iter}"
    sd_models.apply_alpha_schedule_override(p.sd_model, p)
    samples = _decoded(p, _sampled(p))
    devices.torch_gc()
    state.nextjob()
    finish_batch(p, _after_decoding(p, n, samples), output)
    devices.torch_gc()
    return True


def _start_batch(p: StableDiffusionProcessing, n: int) -> None:
    p.prompts = p.batch_slice(p.all_prompts, n)
    p.negative_prompts = p.batch_slice(p.all_negative_prompts, n)
    p.seeds = p.batch_slice(p.all_seeds, n)
    p.subseeds = p.batch_slice(p.all_subseeds, n)
    channels = getattr(shared.sd_model, "latent_channels", opt_C)
    p.rng = rng.ImageRNG(
        (channels, p.height // opt_f, p.width // opt_f),
        p.seeds,
        subseeds=p.subseeds,
        subseed_strength=p.subseed_strength,
        seed_resize_from_h=p.seed_resize_from_h,
        seed_resize_from_w=p.seed_resize_from_w,
    )


def _write_params_txt(p: StableDiffusionProcessing) -> None:
    """Keep the infotext of the first picture for the paste button; scripts have had their say by now."""
    with open(os.path.join(paths.data_path, "params.txt"), "w", encoding="utf8") as file:
        file.write(Processed(p, []).infotext(p, 0))


def _sampled(p: StableDiffusionProcessing) -> Any:
    """The batch's samples, after the scripts' `post_sample`."""
    with devices.without_autocast() if devices.unet_needs_upcast else devices.autocast():
        samples = p.sample(
            conditioning=p.c,
            unconditional_conditioning=p.uc,
            seeds=p.seeds,
            subseeds=p.subseeds,
            subseed_strength=p.subseed_strength,
            prompts=p.prompts,
        )
    if p.scripts is None:
        return samples
    args = scripts.PostSampleArgs(samples)
    p.scripts.post_sample(p, args)
    return args.samples


def _decoded(p: StableDiffusionProcessing, samples: Any) -> torch.Tensor:
    """Pictures (b, 3, h, w) in 0..1."""
    if not getattr(samples, "already_decoded", False):
        samples = decode_latent_batch(p.sd_model, samples, target_device=devices.cpu, check_for_nans=True)
    return torch.clamp((torch.stack(samples).float() + 1.0) / 2.0, min=0.0, max=1.0)


def _after_decoding(p: StableDiffusionProcessing, n: int, samples: torch.Tensor) -> list[torch.Tensor]:
    """The pictures after the scripts' hooks for whole batches; prompts are the full ones again."""
    if p.scripts is None:
        return list(samples)
    p.scripts.postprocess_batch(p, samples, batch_number=n)
    p.prompts = p.batch_slice(p.all_prompts, n)
    p.negative_prompts = p.batch_slice(p.all_negative_prompts, n)
    args = scripts.PostprocessBatchListArgs(list(samples))
    p.scripts.postprocess_batch_list(p, args, batch_number=n)
    return args.images


def _result(p: StableDiffusionProcessing, output: Output) -> Processed:
    result = Processed(
        p,
        images_list=output.pictures,
        seed=p.all_seeds[0],
        info=output.infotexts[0],
        subseed=p.all_subseeds[0],
        index_of_first_image=output.index_of_first_image,
        infotexts=output.infotexts,
    )
    if p.scripts is not None:
        p.scripts.postprocess(p, result)
    return result

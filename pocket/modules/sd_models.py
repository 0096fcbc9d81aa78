"""Loads checkpoints and keeps the one in use: an SD1.x or SDXL model of any width, on the CPU, in float32."""

from __future__ import annotations

import contextlib
import enum
import gc
import os
import sys
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import safetensors.torch
import torch
from omegaconf import OmegaConf

from modules import (
    devices,
    safe,
    script_callbacks,
    sd_checkpoint_info,
    sd_hijack,
    sd_inpainting,
    sd_models_config,
    sd_models_xl,
    sd_text_encoder,
    sd_vae,
    shared,
)
from modules.sd_checkpoint_info import (  # noqa: F401  (part of this module's interface)
    CheckpointInfo,
    checkpoint_aliases,
    checkpoint_tiles,
    checkpoints_list,
    get_closet_checkpoint_match,
    list_models,
    model_hash,
    read_metadata_from_safetensors,
    select_checkpoint,
)

import ldm.models.diffusion.ddpm  # isort: skip  (sd_hijack has made ldm importable)

checkpoint_alisases = checkpoint_aliases  # the WebUI's old spelling, which extensions still use
OLD_TEXT_KEYS = ("embeddings.", "encoder.", "final_layer_norm.")
TEXT_PREFIX = "cond_stage_model.transformer."
RANDOM_FILLERS = ("kaiming_uniform_", "kaiming_normal_", "xavier_uniform_", "normal_", "uniform_", "trunc_normal_")
ZERO_SNR_LAST = 4.8973451890853435e-08  # alphas_cumprod of the last step where zero would divide by zero


class ModelType(enum.Enum):
    """Families of checkpoints; only SD1 and SDXL are loaded here."""

    SD1 = 1
    SD2 = 2
    SDXL = 3
    SSD = 4
    SD3 = 5


class SkipWritingToConfig:
    """While entered, loading a checkpoint does not make it the chosen one in the settings."""

    skip = False

    def __enter__(self) -> SkipWritingToConfig:
        self.previous = SkipWritingToConfig.skip
        SkipWritingToConfig.skip = True
        return self

    def __exit__(self, *_: object) -> None:
        SkipWritingToConfig.skip = self.previous


def _current_key(key: str) -> str:
    """Keys of the text encoder as transformers names them now; old files lack `text_model.`."""
    rest = key.removeprefix(TEXT_PREFIX)
    return TEXT_PREFIX + "text_model." + rest if rest != key and rest.startswith(OLD_TEXT_KEYS) else key


def read_state_dict(
    checkpoint_file: str, print_global_state: bool = False, map_location: Any = None
) -> dict[str, torch.Tensor]:
    """Tensors of a `.safetensors` or (weights only, nothing is run) `.ckpt` file, with today's key names."""
    if checkpoint_file.lower().endswith(".safetensors"):
        tensors = safetensors.torch.load_file(checkpoint_file, device=str(map_location or "cpu"))
    else:
        tensors = safe.load_weights(checkpoint_file, map_location or "cpu")
    return {_current_key(key): value for key, value in tensors.items() if isinstance(value, torch.Tensor)}


def _config_of(state_dict: Mapping[str, torch.Tensor], path: str) -> Any:
    """SD1.x's configuration with a text encoder of the weights' size and without what only training needs."""
    config = OmegaConf.load(path).model
    if sd_inpainting.is_inpainting(state_dict):
        sd_inpainting.make_inpainting(config)
    params = config.params
    heads = params.cond_stage_config.get("params", {}).get("heads")
    params.cond_stage_config = {
        "target": "modules.sd_text_encoder.FrozenCLIPEmbedder",
        "params": sd_text_encoder.sizes_of(state_dict, heads),
    }
    params.use_ema = False
    params.unet_config.params.use_checkpoint = False
    params.unet_config.params.use_fp16 = False
    params.pop("scheduler_config", None)
    return config


@contextlib.contextmanager
def _without_initialisation() -> Iterator[None]:
    """New layers keep whatever is in memory: every weight comes from the file, and filling them takes long."""
    former = {name: getattr(torch.nn.init, name) for name in RANDOM_FILLERS}
    for name in former:
        setattr(torch.nn.init, name, lambda tensor, *_, **__: tensor)
    try:
        yield
    finally:
        for name, function in former.items():
            setattr(torch.nn.init, name, function)


def _build(state_dict: Mapping[str, torch.Tensor], config_path: str) -> Any:
    with _without_initialisation():
        if sd_models_config.is_xl(state_dict):
            return sd_models_xl.build(config_path, state_dict)
        config = _config_of(state_dict, config_path)
        return getattr(ldm.models.diffusion.ddpm, config.target.rpartition(".")[2])(**config.params)


def _fill(model: Any, state_dict: Mapping[str, torch.Tensor], filename: str) -> None:
    """Copies the weights in; each is cast to the model's float32.

    Raises:
        UnsupportedCheckpointError: a weight is missing or has another size than the configuration says.
    """
    try:
        missing = model.load_state_dict(state_dict, strict=False).missing_keys
    except RuntimeError as error:
        raise sd_models_config.UnsupportedCheckpointError(
            f"{os.path.basename(filename)} does not fit its configuration: {str(error).splitlines()[-1].strip()}"
        ) from error
    weights = {name for name, _ in model.named_parameters()}
    lost = sorted(weights.intersection(missing))
    if lost:
        raise sd_models_config.UnsupportedCheckpointError(
            f"{os.path.basename(filename)} lacks {len(lost)} weights of its configuration, the first is {lost[0]}."
        )


def _name_model(model: Any, info: CheckpointInfo, config_path: str) -> None:
    """Sets what the rest of the WebUI asks a model about itself."""
    model.is_sdxl = hasattr(model, "conditioner")
    model.is_sd1 = not model.is_sdxl
    model.model_type = ModelType.SDXL if model.is_sdxl else ModelType.SD1
    model.is_sd2 = model.is_ssd = model.is_sd3 = model.is_sdxl_inpaint = False
    model.latent_channels = 4
    model.lowvram = False
    model.used_config = config_path
    model.sd_model_hash = info.calculate_shorthash()
    model.sd_model_checkpoint = info.filename
    model.sd_checkpoint_info = info


class SdModelData:
    """The model in use; the first one who asks for it loads it."""

    def __init__(self) -> None:
        self.sd_model: Any = None
        self.loaded_sd_models: list[Any] = []
        self.was_loaded_at_least_once = False
        self.lock = threading.Lock()

    def get_sd_model(self) -> Any:
        """The model in use; None if loading failed (the reason is on stderr)."""
        if self.sd_model is None and not self.was_loaded_at_least_once:
            with self.lock:
                if self.sd_model is None and not self.was_loaded_at_least_once:
                    self._load_first()
        return self.sd_model

    def _load_first(self) -> None:
        try:
            load_model()
        except (OSError, ValueError, KeyError, safetensors.SafetensorError) as error:
            # a server without a model still serves settings and the list of checkpoints
            print(f"Stable diffusion model failed to load: {error}", file=sys.stderr)

    def set_sd_model(self, v: Any, already_loaded: bool = False) -> None:
        """Makes `v` the model in use, the only one kept; None drops it."""
        self.sd_model = v
        self.loaded_sd_models = [] if v is None else [v]


model_data = SdModelData()


def setup_model() -> None:
    """Makes the folder of checkpoints."""
    os.makedirs(sd_checkpoint_info.model_folder(), exist_ok=True)


def unload_model_weights(sd_model: Any = None, info: Any = None) -> Any:
    """Drops the model in use; the next one who asks for it has it loaded again."""
    if model_data.sd_model is not None:
        sd_hijack.model_hijack.undo_hijack(model_data.sd_model)
    model_data.set_sd_model(None)
    model_data.was_loaded_at_least_once = False
    gc.collect()
    return sd_model


def get_empty_cond(sd_model: Any) -> torch.Tensor:
    """Conditioning of the empty prompt, (1, 77, width): what shorter prompts are padded with."""
    with torch.no_grad():
        cond = sd_model.get_learned_conditioning([""])
    return cond["crossattn"] if isinstance(cond, dict) else cond


def load_model(
    checkpoint_info: CheckpointInfo | None = None,
    already_loaded_state_dict: dict[str, torch.Tensor] | None = None,
) -> Any:
    """Loads a checkpoint (the chosen one by default) in the place of the model in use.

    Raises:
        FileNotFoundError: there is no checkpoint, or its file has gone.
        UnsupportedCheckpointError: the file is no SD1.x or SDXL checkpoint, and the model in use stays; or it does not
            fit its configuration, and the next who asks for a model has the chosen one loaded.
    """
    info = checkpoint_info or select_checkpoint()
    state_dict = already_loaded_state_dict or read_state_dict(info.filename)
    sd_models_config.require_supported(state_dict, info.filename)
    config_path = sd_models_config.find_checkpoint_config(state_dict, info)
    unload_model_weights()  # only now: two models at a time may not fit
    model = _build(state_dict, config_path)
    _fill(model, state_dict, info.filename)
    model.float().eval()
    model.alphas_cumprod_original = model.alphas_cumprod
    _name_model(model, info, config_path)
    apply_alpha_schedule_override(model)
    _choose_in_settings(info)
    sd_vae.load_for_new_model(model)
    sd_hijack.model_hijack.hijack(model)
    model_data.set_sd_model(model)
    model_data.was_loaded_at_least_once = True
    script_callbacks.model_loaded_callback(model)
    model.cond_stage_model_empty_prompt = get_empty_cond(model)
    return model


def _choose_in_settings(info: CheckpointInfo) -> None:
    if not SkipWritingToConfig.skip:
        shared.opts.data["sd_model_checkpoint"] = info.title
    shared.opts.data["sd_checkpoint_hash"] = info.sha256


def reload_model_weights(sd_model: Any = None, info: CheckpointInfo | None = None, forced_reload: bool = False) -> Any:
    """Loads `info`, or the checkpoint chosen in the settings, unless it is the one in use already."""
    info = info or select_checkpoint()
    current = sd_model or model_data.sd_model
    if current is not None and current.sd_model_checkpoint == info.filename and not forced_reload:
        return current
    return load_model(info)


def rescale_zero_terminal_snr_abar(alphas_cumprod: torch.Tensor) -> torch.Tensor:
    """alphas_cumprod (T,) shifted and scaled so that the last step is noise alone, the first as before.

    Source: Lin et al., "Common diffusion noise schedules and sample steps are flawed" (2023), algorithm 1.
    """
    signal = alphas_cumprod.sqrt()
    first, last = signal[0].clone(), signal[-1].clone()
    rescaled = ((signal - last) * (first / (first - last))) ** 2
    rescaled[-1] = ZERO_SNR_LAST
    return rescaled


def apply_alpha_schedule_override(sd_model: Any, p: Any = None) -> None:
    """Sets the noise schedule that the settings ask for, from the checkpoint's own one."""
    if not hasattr(sd_model, "alphas_cumprod") or not hasattr(sd_model, "alphas_cumprod_original"):
        return
    alphas = sd_model.alphas_cumprod_original.to(devices.device)
    notes: dict[str, Any] = {}
    if shared.opts.use_downcasted_alpha_bar:
        notes["Downcast alphas_cumprod"] = True
        alphas = alphas.half()
    if shared.opts.sd_noise_schedule == "Zero Terminal SNR":
        notes["Noise Schedule"] = shared.opts.sd_noise_schedule
        alphas = rescale_zero_terminal_snr_abar(alphas)
    sd_model.alphas_cumprod = alphas
    if p is not None:
        p.extra_generation_params.update(notes)


def apply_token_merging(sd_model: Any, token_merging_ratio: float) -> None:
    """Notes the wanted share of merged tokens.

    Raises:
        NotImplementedError: the share is not 0; merging is not part of this host.
    """
    if token_merging_ratio > 0:
        raise NotImplementedError("Token merging is not part of the pocket WebUI; set the ratio to 0.")
    sd_model.applied_token_merged_ratio = token_merging_ratio

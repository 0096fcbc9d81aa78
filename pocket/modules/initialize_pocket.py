"""Starting the host in this process: settings, extensions, scripts, checkpoint, in the order WebUI does it."""

import copy
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import gradio as gr

from modules import extensions as extension_list
from modules import (
    extra_networks,
    paths,
    paths_internal,
    script_callbacks,
    scripts,
    sd_models,
    sd_samplers,
    sd_unet,
    sd_vae,
    shared,
    shared_options,
    styles,
    timer,
    upscaler,
)
from modules.shared import cmd_opts, opts

MOTION_MODULES_OPTION = "animatediff_model_path"

_settings_at_start: dict[str, Any] = {}


def start(
    *,
    checkpoint: Path | None,
    data_dir: Path,
    config: Path | None = None,
    motion_modules: Path | None = None,
    lora_dir: Path | None = None,
    controlnet_dir: Path | None = None,
    extensions: Iterable[Path] = (Path(paths_internal.script_path).parent,),
    ui: bool = True,
    ui_config: Path | None = None,
    about_model: str = "",
) -> None:
    """Start the host; once in a process.

    Args:
        checkpoint: the model to load; None to start without one.
        data_dir: where settings, models and pictures are; made if it is not there.
        config: the checkpoint's `.yaml`; the one beside it or the host's own if not given.
        motion_modules: the default of the extension's folder of motion modules.
        lora_dir: folder of LoRA; `data_dir/models/Lora` if not given.
        controlnet_dir: folder of ControlNet models; given, the host's own small ControlNet is loaded.
        extensions: folders of extensions besides the built-in ones; the repository itself by default.
        ui: make the scripts' panels, without a page. A server makes them with its page and says False.
        ui_config: the page's defaults that suit the model, where the person keeps none in `data_dir/ui-config.json`.
        about_model: what the page says about the model.

    Raises:
        RuntimeError: the host was started before.
        OSError, ValueError: the checkpoint cannot be loaded.
    """
    if _settings_at_start:
        raise RuntimeError("The host has been started already; a process can do it once.")
    use_data_dir(data_dir)
    _set_arguments(checkpoint, config, lora_dir, controlnet_dir)
    if ui_config is not None and not os.path.exists(cmd_opts.ui_config_file):
        cmd_opts.ui_config_file = str(ui_config.absolute())
    shared.about_model = about_model
    opts.load(shared.config_filename)
    if motion_modules is not None:
        opts.data[MOTION_MODULES_OPTION] = str(motion_modules.absolute())
    _load_everything_but_the_model(extensions)
    if ui:
        script_callbacks.before_ui_callback()
        script_callbacks.ui_settings_callback()
        build_script_runners()
    if checkpoint is not None:
        sd_models.load_model()
        timer.startup_timer.record("load model")
    _settings_at_start.update(copy.deepcopy(opts.data))


def use_data_dir(data_dir: Path) -> None:
    """Have everything that is written or looked for below the data folder be in this one."""
    old, new = paths_internal.data_path, str(data_dir.absolute())
    os.makedirs(new, exist_ok=True)

    def moved(value: Any) -> Any:
        inside = isinstance(value, str) and (value == old or value.startswith(old + os.sep))
        return new + value[len(old) :] if inside else value

    for module in (paths_internal, paths, shared):
        for name, value in list(vars(module).items()):
            if isinstance(value, str):
                setattr(module, name, moved(value))
    for name, value in list(vars(cmd_opts).items()):
        setattr(cmd_opts, name, [moved(item) for item in value] if isinstance(value, list) else moved(value))
    for name, folder in shared_options.outdirs(paths_internal.default_output_dir).items():
        opts.data_labels[name].default = opts.data[name] = folder
    shared.styles_filename = [os.path.join(new, "styles.csv")]
    shared.prompt_styles = styles.StyleDatabase(shared.styles_filename)


def _set_arguments(
    checkpoint: Path | None, config: Path | None, lora_dir: Path | None, controlnet_dir: Path | None
) -> None:
    for name, path in {
        "ckpt": checkpoint,
        "config": config,
        "lora_dir": lora_dir,
        "controlnet_dir": controlnet_dir,
    }.items():
        if path is not None:
            setattr(cmd_opts, name, str(path.absolute()))


def _load_everything_but_the_model(folders: Iterable[Path]) -> None:
    sd_samplers.set_samplers()
    controlnet = [extension_list.CONTROLNET] if cmd_opts.controlnet_dir else []
    extension_list.directories[:] = [*(str(folder.absolute()) for folder in folders), *controlnet]
    extension_list.list_extensions()
    sd_models.setup_model()
    sd_models.list_models()
    scripts.load_scripts()
    upscaler.load_upscalers()
    sd_vae.refresh_vae_list()
    sd_unet.list_unets()
    extra_networks.initialize()
    opts.onchange("sd_model_checkpoint", sd_models.reload_model_weights, call=False)
    opts.onchange("sd_vae", sd_vae.reload_vae_weights, call=False)
    opts.reorder()


def build_script_runners() -> None:
    """Make both tabs' scripts and their components, so that they have their places among the arguments."""
    for runner, is_img2img in ((scripts.scripts_txt2img, False), (scripts.scripts_img2img, True)):
        runner.initialize_scripts(is_img2img)
        with gr.Blocks(analytics_enabled=False):
            runner.prepare_ui()
            sections = dict.fromkeys(script.section for script in runner.scripts if script.section is not None)
            for section in sections:
                runner.setup_ui_for_section(section)
            runner.setup_ui()


def reset_options() -> None:
    """Put all settings back to what they were when the host had started, and forget interrupts and conditionings."""
    from modules.processing import StableDiffusionProcessing, StableDiffusionProcessingTxt2Img  # slow to load

    opts.data = {**opts.defaults(), **copy.deepcopy(_settings_at_start)}
    shared.state.skipped = shared.state.interrupted = shared.state.stopping_generation = False
    for owner, names in (
        (StableDiffusionProcessing, ("cached_c", "cached_uc")),
        (StableDiffusionProcessingTxt2Img, ("cached_hr_c", "cached_hr_uc")),
    ):
        for name in names:
            setattr(owner, name, [None, None])

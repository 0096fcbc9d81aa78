"""What every module shares: options, command-line options, the running job, the model.

`shared.sd_model` is a property of this module: reading it loads the checkpoint if none is loaded.
"""

import os
import sys
from collections.abc import Callable
from typing import Any

from modules import options, shared_cmd_options, shared_items, shared_options
from modules.paths_internal import (  # noqa: F401
    data_path,
    default_sd_model_file,
    extensions_builtin_dir,
    extensions_dir,
    models_path,
    script_path,
    sd_configs_path,
    sd_default_config,
    sd_model_file,
)

cmd_opts = shared_cmd_options.cmd_opts
parser = shared_cmd_options.parser

OptionInfo = options.OptionInfo
OptionHTML = options.OptionHTML
options_section = options.options_section
options_templates = shared_options.options_templates
restricted_opts = shared_options.restricted_opts
opts = options.Options(options_templates, restricted_opts)

hide_dirs = {"visible": not cmd_opts.hide_ui_dir_config}
for name in restricted_opts:
    options_templates[name].component_args = hide_dirs
batch_cond_uncond = True
parallel_processing_allowed = True
config_filename: str = cmd_opts.ui_settings_file
styles_filename: list[str] = [os.path.join(data_path, "styles.csv")]
progress_print_out = sys.stdout

demo: Any = None
sd_model: Any  # a property of this module's class
about_model = ""  # what the page says about the model
device: Any = None
weight_load_location: str | None = None
xformers_available = False
clip_model: Any = None
hypernetworks: dict[str, str] = {}
loaded_hypernetworks: list[Any] = []
face_restorers: list[Any] = []
sd_upscalers: list[Any] = []
tab_names: list[str] = []
settings_components: dict[str, Any] | None = None

latent_upscale_default_mode = "Latent"
latent_upscale_modes: dict[str, dict[str, Any]] = {
    f"Latent{suffix}": {"mode": mode, "antialias": antialias}
    for suffix, mode, antialias in (
        ("", "bilinear", False),
        (" (antialiased)", "bilinear", True),
        (" (bicubic)", "bicubic", False),
        (" (bicubic antialiased)", "bicubic", True),
        (" (nearest)", "nearest", False),
        (" (nearest-exact)", "nearest-exact", False),
    )
}

sys.modules[__name__].__class__ = shared_items.Shared

# These import this module and use its names when they run, so they come after all of the above.
from modules import devices, shared_state, shared_total_tqdm, styles, util  # noqa: E402

device = devices.device
state = shared_state.State()
total_tqdm = shared_total_tqdm.TotalTQDM()
prompt_styles = styles.StyleDatabase(styles_filename)

natural_sort_key = util.natural_sort_key
listfiles = util.listfiles
walk_files = util.walk_files
ldm_print = util.ldm_print
list_checkpoint_tiles: Callable[..., list[str]] = shared_items.list_checkpoint_tiles
refresh_checkpoints: Callable[[], None] = shared_items.refresh_checkpoints
list_samplers: Callable[[], list[Any]] = shared_items.list_samplers

"""Where things are. Nothing here imports more than the standard library.

`data_path` is a folder of the system's temporary directory until the host is started with another one
(see `initialize_pocket.start`), so that importing a module never writes beside the source.
"""

import os
import tempfile
from pathlib import Path


def normalized_filepath(filepath: str) -> str:
    """The path made absolute, for command-line arguments."""
    return str(Path(filepath).absolute())


cwd = os.getcwd()
modules_path = os.path.dirname(os.path.realpath(__file__))
script_path = os.path.dirname(modules_path)

sd_configs_path = os.path.join(script_path, "configs")
sd_default_config = os.path.join(sd_configs_path, "v1-inference.yaml")
sd_model_file = os.path.join(script_path, "model.ckpt")
default_sd_model_file = sd_model_file

data_path = os.environ.get("POCKET_DATA_DIR") or os.path.join(tempfile.gettempdir(), "pocket-webui")
models_path = os.path.join(data_path, "models")
extensions_dir = os.path.join(data_path, "extensions")
extensions_builtin_dir = os.path.join(script_path, "extensions-builtin")
config_states_dir = os.path.join(data_path, "config_states")
default_output_dir = os.path.join(data_path, "outputs")

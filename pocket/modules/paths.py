"""The paths that other modules read at run time; `data_path` and `models_path` change when the host is started."""

from modules.paths_internal import (  # noqa: F401
    cwd,
    data_path,
    extensions_builtin_dir,
    extensions_dir,
    models_path,
    script_path,
)

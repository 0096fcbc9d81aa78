"""The command-line options that extensions read from `shared.cmd_opts`, with the WebUI's names and defaults.

The pocket is not started with them; `initialize_pocket.start` sets those that it has an argument for.
"""

import argparse
import os

from modules.paths_internal import (
    data_path,
    models_path,
    normalized_filepath,
    script_path,
    sd_default_config,
    sd_model_file,
)

SWITCHES = {
    "--skip-install": "do not install packages",
    "--skip-torch-cuda-test": "do not check that CUDA works",
    "--medvram": "does nothing here",
    "--medvram-sdxl": "does nothing here",
    "--lowvram": "does nothing here",
    "--lowram": "does nothing here",
    "--xformers": "does nothing here",
    "--opt-channelslast": "does nothing here",
    "--share": "does nothing here",
    "--listen": "does nothing here: the pocket only listens on this machine",
    "--api": "serve the API beside the page",
    "--api-log": "print every API request",
    "--api-server-stop": "does nothing here",
    "--nowebui": "serve the API without the page",
    "--ui-debug-mode": "does nothing here",
    "--disable-nan-check": "do not stop when a picture is all NaN",
    "--disable-safe-unpickle": "does nothing here",
    "--disable-all-extensions": "load no extension",
    "--disable-extra-extensions": "load only built-in extensions",
    "--disable-console-progressbars": "no progress bars",
    "--enable-insecure-extension-access": "does nothing here",
    "--freeze-settings": "settings cannot be changed",
    "--hide-ui-dir-config": "no folders in the settings",
    "--no-download-sd-model": "does nothing here: the pocket never downloads",
    "--no-gradio-queue": "the page asks by plain requests",
    "--no-hashing": "do not compute sha256 of checkpoints",
    "--no-prompt-history": "do not write params.txt",
    "--skip-load-model-at-start": "load the model when it is first used",
    "--skip-version-check": "does nothing here",
    "--unix-filenames-sanitization": "allow any sign but / in file names",
    "--use-ipex": "does nothing here",
    "--update-all-extensions": "does nothing here",
    "--gradio-debug": "gradio's debug mode",
    "--autolaunch": "does nothing here",
    "--use-textbox-seed": "a text box for the seed",
}

FOLDERS = {
    "--data-dir": (data_path, "where everything is written"),
    "--models-dir": (models_path, "where models lie"),
    "--config": (sd_default_config, "model configuration"),
    "--ckpt": (sd_model_file, "checkpoint to load first"),
    "--ckpt-dir": (None, "further folder of checkpoints"),
    "--vae-dir": (None, "further folder of VAE"),
    "--vae-path": (None, "VAE to use always"),
    "--lora-dir": (os.path.join(models_path, "Lora"), "folder of LoRA files"),
    "--controlnet-dir": (None, "folder of ControlNet models"),
    "--embeddings-dir": (os.path.join(data_path, "embeddings"), "folder of embeddings"),
    "--hypernetwork-dir": (os.path.join(models_path, "hypernetworks"), "folder of hypernetworks"),
    "--localizations-dir": (os.path.join(script_path, "localizations"), "folder of translations"),
    "--clip-models-path": (None, "folder of CLIP models"),
    "--ui-settings-file": (os.path.join(data_path, "config.json"), "where the settings are kept"),
    "--ui-config-file": (os.path.join(data_path, "ui-config.json"), "where the page's defaults are kept"),
    "--styles-file": (None, "styles"),
}

TEXTS = {
    "--loglevel": (None, "log level"),
    "--theme": (None, "light or dark"),
    "--subpath": (None, "path under which the page is served"),
    "--server-name": (None, "host name"),
    "--device-id": (None, "CUDA device"),
    "--precision": ("full", "full: the pocket computes in float32"),
    "--api-auth": (None, "user:password for the API, several with commas"),
    "--gradio-auth": (None, "user:password for the page"),
    "--tls-keyfile": (None, "does nothing here"),
    "--tls-certfile": (None, "does nothing here"),
    "--freeze-settings-in-sections": (None, "settings sections that cannot be changed"),
    "--freeze-specific-settings": (None, "settings that cannot be changed"),
}


def build_parser() -> argparse.ArgumentParser:
    """A parser that extensions' `preload.py` may add to."""
    parser = argparse.ArgumentParser()
    for name, text in SWITCHES.items():
        parser.add_argument(name, action="store_true", help=text)
    for name, (path, text) in FOLDERS.items():
        parser.add_argument(name, type=normalized_filepath, default=path, help=text)
    for name, (value, text) in TEXTS.items():
        parser.add_argument(name, type=str, default=value, help=text)
    # The pocket runs in float32 on the CPU, which is what these say in the WebUI.
    parser.add_argument("--no-half", action="store_true", default=True, help="compute in float32")
    parser.add_argument("--no-half-vae", action="store_true", default=True, help="decode in float32")
    parser.add_argument("--upcast-sampling", action="store_true", help="does nothing here")
    parser.add_argument("--use-cpu", nargs="+", type=str.lower, default=["all"], help="modules that run on the CPU")
    parser.add_argument("--port", type=int, default=None, help="port (7860)")
    parser.add_argument("--timeout-keep-alive", type=int, default=30, help="seconds a connection is kept")
    parser.add_argument("--filenames-max-length", type=int, default=128, help="longest file name")
    parser.add_argument("--gradio-allowed-path", action="append", default=[data_path], help="folder the page may show")
    return parser


parser = build_parser()

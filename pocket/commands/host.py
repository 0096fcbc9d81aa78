"""Starts the host in this process, and runs requests through the API's own code."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from interpreter import PocketError
from pydantic import ValidationError
from safetensors import SafetensorError

from commands.model_options import data_folder, model_options
from modules import initialize_pocket, shared

if TYPE_CHECKING:
    from modules.api.api import Api


def start_host(args: argparse.Namespace) -> None:
    """Starts the host with the command's options; scripts get their panels from whoever makes the page or the API.

    Raises:
        PocketError: a file or folder is not there, or the checkpoint cannot be loaded.
    """
    model = model_options(args)
    try:
        initialize_pocket.start(
            checkpoint=model.checkpoint,
            data_dir=data_folder(args),
            config=model.config,
            motion_modules=model.motion_modules,
            lora_dir=model.lora_dir,
            controlnet_dir=model.controlnet_dir,
            ui=False,
            ui_config=model.page_defaults,
            about_model=model.about,
        )
    except (OSError, ValueError, SafetensorError) as error:
        raise PocketError(f"{model.checkpoint} cannot be loaded: {one_line(error)}") from error
    if args.command != "serve":
        shared.opts.data["multiple_tqdm"] = False  # one bar says enough about one job


def one_line(error: BaseException) -> str:
    """What went wrong in one line: the exception's `detail` if it has one, else its text."""
    if isinstance(error, ValidationError):
        return "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
    text = str(vars(error).get("detail") or error) or type(error).__name__
    return " ".join(text.split())


def run_request(api: Api, body: dict[str, Any], img2img: bool) -> dict[str, Any]:
    """The answer to a request, as the server would give it.

    Raises:
        PocketError: the request was refused or the run failed; the sentence is the one that the API gives as `detail`.
    """
    from modules.api import models  # made from the settings, so after the start

    kind = models.StableDiffusionImg2ImgProcessingAPI if img2img else models.StableDiffusionTxt2ImgProcessingAPI
    endpoint = api.img2imgapi if img2img else api.text2imgapi
    try:
        return endpoint(kind(**body)).dict()
    except Exception as error:
        raise PocketError(one_line(error)) from error

"""Starts the host in this process, and runs requests through the API's own code."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interpreter import PocketError
from pydantic import ValidationError

from bootstrap import ROOT
from commands.model_files import model_of
from modules import initialize_pocket, shared

if TYPE_CHECKING:
    from modules.api.api import Api

DATA = ROOT / ".pocket" / "data"
"""Settings and pictures, unless --data-dir or POCKET_DATA_DIR names another folder."""


def _checked(path: Path | None, option: str, folder: bool) -> Path | None:
    if path is not None and not (path.is_dir() if folder else path.is_file()):
        raise PocketError(f"{option} {path}: there is no such {'folder' if folder else 'file'}.")
    return path


def start_host(args: argparse.Namespace) -> None:
    """Starts the host with the command's options; scripts get their panels from whoever makes the page or the API.

    Raises:
        PocketError: a file or folder is not there, or the checkpoint cannot be loaded.
    """
    checkpoint = _checked(args.checkpoint, "--checkpoint", folder=False)
    motion_modules = _checked(args.motion_modules, "--motion-modules", folder=True)
    config = _checked(args.config, "--config", folder=False)
    lora_dir = _checked(args.lora_dir, "--lora-dir", folder=True)
    controlnet_dir = _checked(args.controlnet_dir, "--controlnet-dir", folder=True)
    model = model_of(checkpoint)
    if model is not None:
        checkpoint, motion_modules = model.checkpoint, motion_modules or model.motion_modules
        lora_dir = lora_dir or model.loras
    try:
        initialize_pocket.start(
            checkpoint=checkpoint,
            data_dir=args.data_dir or Path(os.environ.get("POCKET_DATA_DIR") or DATA),
            config=config,
            motion_modules=motion_modules,
            lora_dir=lora_dir,
            controlnet_dir=controlnet_dir,
            ui=False,
            ui_config=model.page_defaults if model else None,
            about_model=model.about if model else "",
        )
    except (OSError, ValueError) as error:
        raise PocketError(f"{checkpoint} cannot be loaded: {one_line(error)}") from error
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

"""The pocket WebUI has what the extension says it uses of a host: mypy checks this file, nobody runs it."""

from modules.processing import Processed as PocketProcessed
from modules.processing import StableDiffusionProcessingImg2Img, StableDiffusionProcessingTxt2Img
from modules.script_base import PostProcessMaskOverlayArgs
from modules.script_callbacks import CFGDenoiserParams
from modules.sd_samplers_cfg_denoiser import CFGDenoiser
from modules.shared_state import State as PocketState
from motion_module.webui.host_types import (
    Denoiser,
    DenoiserCall,
    Hires,
    Img2Img,
    OverlayOfFrame,
    Processed,
    State,
)


def txt2img(p: StableDiffusionProcessingTxt2Img) -> Hires:
    return p


def img2img(p: StableDiffusionProcessingImg2Img) -> Img2Img:
    return p


def processed(result: PocketProcessed) -> Processed:
    return result


def state(state: PocketState) -> State:
    return state


def denoiser(denoiser: CFGDenoiser) -> Denoiser:
    return denoiser


def denoiser_call(params: CFGDenoiserParams) -> DenoiserCall:
    return params


def overlay(args: PostProcessMaskOverlayArgs) -> OverlayOfFrame:
    return args

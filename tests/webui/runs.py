"""Runs in this process, as the page and the API make them, on the host of the `pocket` fixture."""

from contextlib import closing

import numpy as np
from PIL import Image

REQUEST = {
    "scheduler": "Automatic",
    "prompt": "a cat walking",
    "negative_prompt": "bad",
    "steps": 2,
    "width": 64,
    "height": 64,
    "seed": 42,
    "sampler_name": "Euler",
    "cfg_scale": 7.0,
}
HIRES = {
    "enable_hr": True,
    "hr_scale": 1.5,
    "hr_upscaler": "Latent",
    "hr_second_pass_steps": 1,
    "denoising_strength": 0.7,
}
VIDEO = {"enable": True, "model": "mm_tiny_v2.safetensors", "video_length": 4, "format": ["GIF"]}


def video(**fields):
    """The extension's JSON object, with a short video as default."""
    return {**VIDEO, **fields}


def runner_of(tab):
    from modules import scripts

    return scripts.scripts_img2img if tab == "img2img" else scripts.scripts_txt2img


def script_of(tab):
    """The extension's script object in a tab."""
    return next(script for script in runner_of(tab).scripts if script.title() == "AnimateDiff")


def make(tab="txt2img", animatediff=None, **fields):
    """A processing object as the host makes it; `animatediff` None leaves the panel's defaults."""
    from modules import processing, shared

    runner = runner_of(tab)
    if tab == "img2img":
        picture = Image.new("RGB", (64, 64), (200, 60, 30))
        fields = {"init_images": [picture], "denoising_strength": 0.6, **fields}
        made = processing.StableDiffusionProcessingImg2Img
    else:
        made = processing.StableDiffusionProcessingTxt2Img
    p = made(sd_model=shared.sd_model, do_not_save_grid=True, **{**REQUEST, **fields})
    p.scripts = runner
    p.is_api = True
    outdir = shared.opts.outdir_img2img_samples if tab == "img2img" else shared.opts.outdir_txt2img_samples
    p.outpath_samples, p.outpath_grids = outdir, outdir
    p.script_args = arguments(tab, animatediff)
    return p


def arguments(tab, animatediff):
    """The scripts' arguments: what the components hold, with the request's object in our first place."""
    args = [getattr(component, "value", None) for component in runner_of(tab).inputs]
    args[0] = 0
    if animatediff is not None:
        args[script_of(tab).args_from] = animatediff
    return tuple(args)


def run(p, seed=0):
    """Process and close, as every caller in the host does; `seed` is of torch's own random numbers."""
    import torch

    from modules import processing, shared

    torch.manual_seed(seed)  # the host encodes the init picture with noise from the global generator
    shared.state.begin(job="test")
    try:
        with closing(p):
            return processing.process_images(p)
    finally:
        shared.state.end()


def pictures(tab="txt2img", animatediff=None, **fields):
    """The pictures of a run without our videos: uint8 array (n, h, w, 3)."""
    return array(run(make(tab, animatediff, **fields)).images)


def frames(tab="txt2img", fields=None, **request):
    """The frames of one run with a video: uint8 array (n, h, w, 3)."""
    result = run(make(tab, video(**{"format": ["Frame"], **(fields or {})}), **request))
    return array(result.images)


def array(images):
    return np.stack([np.asarray(image.convert("RGB")) for image in images])

"""Short runs of the pocket WebUI, and a script that writes down what happens in them."""

from contextlib import closing

import numpy as np
from PIL import Image

HOOKS = (
    "before_process",
    "process",
    "before_process_batch",
    "after_extra_networks_activate",
    "process_before_every_sampling",
    "process_batch",
    "postprocess",
    "postprocess_batch",
    "postprocess_batch_list",
    "on_mask_blend",
    "post_sample",
    "postprocess_image",
    "postprocess_maskoverlay",
    "postprocess_image_after_composite",
    "before_hr",
)


def recorder(seen, on=None):
    """A runner with one script that appends `(hook, args, kwargs)` to `seen` and then calls `on[hook](p, *args)`."""
    from modules import scripts

    def hook(name):
        def called(self, p, *args, **kwargs):
            seen.append((name, args, kwargs))
            if on and name in on:
                on[name](p, *args, **kwargs)

        return called

    kind = type(
        "Recorder", (scripts.Script,), {"title": lambda self: "Recorder"} | {name: hook(name) for name in HOOKS}
    )
    return runner_of(kind())


def runner_of(*alwayson):
    """A runner with these scripts, none of which has arguments."""
    from modules import scripts

    runner = scripts.ScriptRunner()
    for script in alwayson:
        script.alwayson, script.filename = True, __file__
        script.args_from = script.args_to = 1
        runner.scripts.append(script)
        runner.alwayson_scripts.append(script)
    return runner


def settings(**changes):
    """Arguments of a run that takes about a second; nothing is saved."""
    usual = {
        "prompt": "a red ball",
        "negative_prompt": "blue",
        "steps": 2,
        "width": 64,
        "height": 64,
        "sampler_name": "Euler",
        "scheduler": "Automatic",
        "seed": 5,
        "subseed": 9,
        "do_not_save_samples": True,
        "do_not_save_grid": True,
    }
    return usual | changes


def txt2img(runner=None, **changes):
    """A txt2img run that has not begun."""
    from modules import processing

    p = processing.StableDiffusionProcessingTxt2Img(**settings(**changes))
    p.scripts, p.script_args = runner, [0]
    return p


def img2img(runner=None, **changes):
    """An img2img run that has not begun; from a picture of four colours if none is given."""
    from modules import processing

    p = processing.StableDiffusionProcessingImg2Img(**settings(**{"init_images": [four_colours()]} | changes))
    p.scripts, p.script_args = runner, [0]
    return p


def result_of(p):
    """Run it as the UI and the API do."""
    from modules import processing, shared

    shared.state.begin("test")
    try:
        with closing(p):
            return processing.process_images(p)
    finally:
        shared.state.end()


def four_colours(size=64):
    """A picture with red, green, blue and white quarters."""
    pixels = np.zeros((size, size, 3), np.uint8)
    half = size // 2
    pixels[:half, :half, 0] = pixels[:half, half:, 1] = pixels[half:, :half, 2] = 255
    pixels[half:, half:] = 255
    return Image.fromarray(pixels)


def pixels_of(picture):
    """The picture's numbers, wide enough for differences."""
    return np.array(picture.convert("RGB")).astype(int)

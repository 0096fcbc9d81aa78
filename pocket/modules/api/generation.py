"""txt2img and img2img: from a request's body to pictures."""

from contextlib import closing
from dataclasses import dataclass
from typing import Any

from fastapi.exceptions import HTTPException

from modules import scripts, sd_samplers, shared
from modules.api import models
from modules.api.encoding import decode_base64_to_image, encode_pil_to_base64
from modules.api.infotext import apply_infotext
from modules.api.script_args import get_selectable_script, init_default_script_args, init_script_args
from modules.call_queue import FIFOLock
from modules.processing import (
    Processed,
    StableDiffusionProcessing,
    StableDiffusionProcessingImg2Img,
    StableDiffusionProcessingTxt2Img,
    process_images,
)
from modules.progress import add_task_to_queue, create_task_id, finish_task, start_task
from modules.shared import opts

# Fields of a body that the processing classes do not take.
NOT_FOR_PROCESSING = (
    "include_init_images",
    "script_name",
    "script_args",
    "alwayson_scripts",
    "infotext",
    "send_images",
    "save_images",
)


def validate_sampler_name(name: str) -> str:
    """The name itself.

    Raises:
        HTTPException: 400, there is no such sampler.
    """
    if name not in sd_samplers.all_samplers_map:
        raise HTTPException(status_code=400, detail="Sampler not found")
    return name


@dataclass
class Tab:
    """One of the two kinds of generation, with the defaults of its scripts' arguments."""

    name: str
    processing_class: type[StableDiffusionProcessing]
    runner: scripts.ScriptRunner
    default_args: list[Any]

    @classmethod
    def make(cls, name: str) -> "Tab":
        """`txt2img` or `img2img`; its scripts must be in the page already, or are made here."""
        image = name == "img2img"
        runner = scripts.scripts_img2img if image else scripts.scripts_txt2img
        if not runner.scripts:
            runner.initialize_scripts(image)
        kind = StableDiffusionProcessingImg2Img if image else StableDiffusionProcessingTxt2Img
        return cls(name, kind, runner, init_default_script_args(runner))

    def folders(self) -> dict[str, str]:
        """Where this kind's samples and grids go."""
        samples, grids = f"outdir_{self.name}_samples", f"outdir_{self.name}_grids"
        return {"outpath_samples": getattr(opts, samples), "outpath_grids": getattr(opts, grids)}


def _processing_args(request: Any, sampler: str, scheduler: str) -> dict[str, Any]:
    """The processing class's arguments for a request."""
    args = dict(vars(request))
    for name in NOT_FOR_PROCESSING:
        args.pop(name, None)
    args["sampler_name"] = validate_sampler_name(sampler)
    args["sampler_index"] = None
    args["do_not_save_samples"] = args["do_not_save_grid"] = not request.save_images
    if not args["scheduler"] and scheduler != "Automatic":
        args["scheduler"] = scheduler
    return args


def _run(tab: Tab, p: StableDiffusionProcessing, script_args: list[Any], selectable: Any, task_id: str) -> Processed:
    """One job, from `state.begin` to `state.end`."""
    try:
        shared.state.begin(job=f"scripts_{tab.name}")
        start_task(task_id)
        if selectable is not None:
            p.script_args = script_args
            processed = tab.runner.run(p, *script_args)
        else:
            p.script_args = tuple(script_args)
            processed = process_images(p)
    finally:
        shared.state.end()
        shared.total_tqdm.clear()
    return processed


def generate(tab: Tab, request: Any, queue_lock: FIFOLock, init_images: list[str] | None = None) -> Processed:
    """Runs one request in its turn.

    Raises:
        HTTPException: the request names a script or a sampler that is not there, or a picture cannot be read.
        Exception: whatever the run itself ended with.
    """
    task_id = request.force_task_id or create_task_id(tab.name)
    mask = getattr(request, "mask", None)
    mask_image = decode_base64_to_image(mask) if mask else None
    from_infotext = apply_infotext(request, tab.name, tab.runner)
    selectable, index = get_selectable_script(request.script_name, tab.runner)
    name = request.sampler_name or request.sampler_index
    args = _processing_args(request, *sd_samplers.get_sampler_and_scheduler(name, request.scheduler))
    args.pop("force_task_id")
    if init_images is not None:
        args["mask"] = mask_image
    script_args = init_script_args(request, tab.default_args, selectable, index, tab.runner, from_infotext)

    add_task_to_queue(task_id)
    try:
        with queue_lock, closing(tab.processing_class(sd_model=shared.sd_model, **args)) as p:
            if init_images is not None:
                p.init_images = [decode_base64_to_image(image) for image in init_images]
            p.is_api = True
            p.scripts = tab.runner
            for attribute, folder in tab.folders().items():
                setattr(p, attribute, folder)
            return _run(tab, p, script_args, selectable, task_id)
    finally:
        finish_task(task_id)


def encode_results(processed: Processed, send_images: bool) -> list[Any]:
    """base64 of each result; strings are taken as base64 already."""
    return [encode_pil_to_base64(image) for image in processed.images] if send_images else []


def txt2img(tab: Tab, request: Any, queue_lock: FIFOLock) -> models.TextToImageResponse:
    """The endpoint /sdapi/v1/txt2img."""
    processed = generate(tab, request, queue_lock)
    images = encode_results(processed, request.send_images)
    return models.TextToImageResponse(images=images, parameters=vars(request), info=processed.js())


def img2img(tab: Tab, request: Any, queue_lock: FIFOLock) -> models.ImageToImageResponse:
    """The endpoint /sdapi/v1/img2img.

    Raises:
        HTTPException: 404, without init images.
    """
    if request.init_images is None:
        raise HTTPException(status_code=404, detail="Init image not found")
    processed = generate(tab, request, queue_lock, request.init_images)
    images = encode_results(processed, request.send_images)
    if not request.include_init_images:
        request.init_images = request.mask = None
    return models.ImageToImageResponse(images=images, parameters=vars(request), info=processed.js())

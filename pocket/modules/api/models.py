"""What the API takes and gives: the WebUI's field names and defaults.

The two request bodies are made from the arguments of the processing classes, so a field of theirs is a field here.
"""

import inspect
from typing import Any, Literal

from pydantic import BaseModel, Field, create_model

from modules.processing import StableDiffusionProcessingImg2Img, StableDiffusionProcessingTxt2Img
from modules.shared import opts, parser

# Arguments that a client may not set: the host fills them in.
API_NOT_ALLOWED = {
    "self",
    "kwargs",
    "sd_model",
    "outpath_samples",
    "outpath_grids",
    "sampler_index",
    "extra_generation_params",
    "overlay_images",
    "do_not_reload_embeddings",
    "seed_enable_extras",
    "prompt_for_display",
    "sampler_noise_scheduler_override",
    "ddim_discretize",
}

_COMMON: dict[str, Any] = {
    "sampler_index": (str | None, "Euler"),
    "script_name": (str | None, None),
    "script_args": (list | None, []),
    "send_images": (bool | None, True),
    "save_images": (bool | None, False),
    "alwayson_scripts": (dict | None, {}),
    "force_task_id": (str | None, None),
    "infotext": (str | None, None),
}
_IMG2IMG: dict[str, Any] = {
    "init_images": (list | None, None),
    "denoising_strength": (float | None, 0.75),
    "mask": (str | None, None),
    "include_init_images": (bool | None, Field(default=False, exclude=True)),
}


_PLAIN: dict[str, Any] = {kind.__name__: kind for kind in (bool, int, float, str, list, dict)}


def _field_of(parameter: inspect.Parameter) -> tuple[Any, Any]:
    """Type and default of a request field. Pictures travel as base64 text."""
    kind, default = parameter.annotation, parameter.default
    if "Image" in str(kind):
        kind = str
    if kind is inspect.Parameter.empty or (isinstance(kind, str) and kind not in _PLAIN):
        kind = Any
    kind = _PLAIN.get(kind, kind) if isinstance(kind, str) else kind
    if kind is Any and type(default) in _PLAIN.values():
        kind = type(default)  # the classes take lists of prompts and seeds too, but a request does not
    usable = default is None or isinstance(default, (bool, int, float, str, list, dict, tuple))
    return kind | None, (default if usable else None)


def request_model(name: str, processing_class: type, extra: dict[str, Any]) -> type[BaseModel]:
    """A request body with the arguments of `processing_class` and the fields in `extra`.

    Where a base class has another default, the base class's counts, as in the WebUI: txt2img has no denoising strength.
    """
    parameters: dict[str, inspect.Parameter] = {}
    for owner in inspect.getmro(processing_class)[:-1]:
        parameters.update(inspect.signature(owner).parameters)
    fields = {key: _field_of(value) for key, value in parameters.items() if key not in API_NOT_ALLOWED}
    return create_model(name, **{**fields, **extra})


StableDiffusionTxt2ImgProcessingAPI = request_model(
    "StableDiffusionProcessingTxt2Img", StableDiffusionProcessingTxt2Img, _COMMON
)
StableDiffusionImg2ImgProcessingAPI = request_model(
    "StableDiffusionProcessingImg2Img", StableDiffusionProcessingImg2Img, {**_COMMON, **_IMG2IMG}
)


class TextToImageResponse(BaseModel):
    """Answer of txt2img: base64 of each picture or video, the request, and the info as JSON text."""

    images: list[str] | None = None
    parameters: dict
    info: str


class ImageToImageResponse(TextToImageResponse):
    """Answer of img2img."""


class PNGInfoRequest(BaseModel):
    """Body of png-info: a picture in base64."""

    image: str


class PNGInfoResponse(BaseModel):
    """The picture's infotext, its other texts, and the infotext taken apart."""

    info: str
    items: dict = {}
    parameters: dict = {}


class ProgressRequest(BaseModel):
    """Query of progress."""

    skip_current_image: bool = False


class ProgressResponse(BaseModel):
    """How far the running job is."""

    progress: float
    eta_relative: float
    state: dict
    current_image: str | None = None
    textinfo: str | None = None


class ExtrasBaseRequest(BaseModel):
    """Fields of both upscaling requests."""

    resize_mode: Literal[0, 1] = 0
    show_extras_results: bool = True
    gfpgan_visibility: float = Field(default=0, ge=0, le=1)
    codeformer_visibility: float = Field(default=0, ge=0, le=1)
    codeformer_weight: float = Field(default=0, ge=0, le=1)
    upscaling_resize: float = Field(default=2, gt=0)
    upscaling_resize_w: int = Field(default=512, ge=1)
    upscaling_resize_h: int = Field(default=512, ge=1)
    upscaling_crop: bool = True
    upscaler_1: str = "None"
    upscaler_2: str = "None"
    extras_upscaler_2_visibility: float = Field(default=0, ge=0, le=1)
    upscale_first: bool = False


class ExtrasSingleImageRequest(ExtrasBaseRequest):
    """One picture in base64."""

    image: str = ""


class ExtrasSingleImageResponse(BaseModel):
    """The upscaled picture."""

    html_info: str
    image: str | None = None


class FileData(BaseModel):
    """A named picture in base64."""

    data: str
    name: str


class ExtrasBatchImagesRequest(ExtrasBaseRequest):
    """Several pictures."""

    imageList: list[FileData]  # noqa: N815 - the API's name


class ExtrasBatchImagesResponse(BaseModel):
    """The upscaled pictures."""

    html_info: str
    images: list[str]


def options_model() -> type[BaseModel]:
    """Every option by name. Its type is that of its default, as far as that says one."""
    fields: dict[str, Any] = {}
    for key, info in opts.data_labels.items():
        kind = type(info.default) if info.default and not callable(info.default) else Any
        fields[key] = (opts.typemap.get(kind, kind) | None, info.default)
    return create_model("Options", **fields)


def flags_model() -> type[BaseModel]:
    """Every command-line option by name."""
    actions = [action for action in parser._actions if action.dest != "help"]
    return create_model("Flags", **{action.dest: (Any, action.default) for action in actions})


class SamplerItem(BaseModel):
    """A sampler."""

    name: str
    aliases: list[str]
    options: dict[str, Any]


class SchedulerItem(BaseModel):
    """A noise schedule."""

    name: str
    label: str
    aliases: list[str] | None = None
    default_rho: float | None = None
    need_inner_model: bool | None = None


class UpscalerItem(BaseModel):
    """An upscaler."""

    name: str
    model_name: str | None = None
    model_path: str | None = None
    model_url: str | None = None
    scale: float | None = None


class LatentUpscalerModeItem(BaseModel):
    """A way of upscaling latents."""

    name: str


class SDModelItem(BaseModel):
    """A checkpoint."""

    title: str
    model_name: str
    hash: str | None = None
    sha256: str | None = None
    filename: str
    config: str | None = None


class SDVaeItem(BaseModel):
    """A VAE file."""

    model_name: str
    filename: str


class PromptStyleItem(BaseModel):
    """A style."""

    name: str
    prompt: str | None = None
    negative_prompt: str | None = None


class EmbeddingsResponse(BaseModel):
    """Embeddings; the pocket has none."""

    loaded: dict = {}
    skipped: dict = {}


class MemoryResponse(BaseModel):
    """Bytes in use."""

    ram: dict
    cuda: dict


class ScriptsList(BaseModel):
    """Names of scripts in lower case."""

    txt2img: list
    img2img: list


class ScriptArg(BaseModel):
    """One argument of a script, as its component in the page says."""

    label: str | None = None
    value: Any | None = None
    minimum: Any | None = None
    maximum: Any | None = None
    step: Any | None = None
    choices: list[str] | None = None


class ScriptInfo(BaseModel):
    """A script and its arguments."""

    name: str | None = None
    is_alwayson: bool | None = None
    is_img2img: bool | None = None
    args: list[ScriptArg]


class ExtensionItem(BaseModel):
    """An extension."""

    name: str
    remote: str = ""
    branch: str = ""
    commit_hash: str = ""
    version: str = ""
    commit_date: Any = None
    enabled: bool

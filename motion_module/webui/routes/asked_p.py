"""The `p` that the host's API would make of a request: to be looked at, and never run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, get_args

from fastapi.exceptions import HTTPException
from pydantic import ValidationError

from modules import processing, scripts, sd_samplers, shared
from motion_module.patching import assign
from motion_module.webui.host_types import Processing
from motion_module.webui.plan.facts import Tab

TABS: tuple[Tab, ...] = get_args(Tab)
_NOT_FOR_P = {
    *("script_name", "script_args", "alwayson_scripts", "infotext", "send_images", "save_images"),
    "include_init_images",
}


class HostApi(Protocol):
    """The host's own API, as far as it reads requests and guards its routes."""

    default_script_arg_txt2img: list[Any]
    default_script_arg_img2img: list[Any]

    def add_api_route(self, path: str, endpoint: Callable[..., Any], **kwargs: Any) -> Any:
        """Add a route, behind the API's password if there is one."""

    def get_selectable_script(self, script_name: str | None, script_runner: Any) -> tuple[Any, int | None]:
        """The script that the request chooses, and its number."""

    def apply_infotext(
        self,
        request: Any,
        tabname: str,
        *,
        script_runner: Any = None,
        mentioned_script_args: dict[int, Any] | None = None,
    ) -> Mapping[str, Any]:
        """Fill the request, and these arguments of scripts, from its `infotext`."""

    def init_script_args(
        self,
        request: Any,
        default_script_args: list[Any],
        selectable_scripts: Any,
        selectable_idx: int | None,
        script_runner: Any,
        *,
        input_script_args: dict[int, Any] | None = None,
    ) -> list[Any]:
        """The arguments of all scripts."""


@dataclass(frozen=True)
class _Route:
    """What one of the host's two routes works with.

    Attributes:
        model: of its body.
        kind: of its `p`.
        runner: of its scripts.
        defaults: these scripts' arguments.
    """

    model: Any
    kind: Any
    runner: Any
    defaults: list[Any]


def asked_p(api: HostApi, tab: Tab, body: Mapping[str, Any]) -> Processing:
    """What the host would run for this request; no script has been called with it.

    Args:
        api: the host's.
        tab: which of the host's two routes the request is for.
        body: as that route takes it.

    Raises:
        HTTPException: what the host itself refuses, in its words.
    """
    from modules.api.api import decode_base64_to_image

    route = _routes(api)[tab]
    request = _read(route.model, body)
    pictures, mask = getattr(request, "init_images", []), getattr(request, "mask", None)  # txt2img has neither
    if pictures is None:
        raise HTTPException(status_code=404, detail="Init image not found")
    decoded = {"mask": decode_base64_to_image(mask)} if mask else {}
    script_args = _script_args(api, tab, request, route)
    args = _arguments(request)
    if pictures:
        decoded["init_images"] = [decode_base64_to_image(picture) for picture in pictures]
    p: Any = route.kind(**{**args, **decoded})
    assign(p, is_api=True, scripts_setup_complete=True)  # so that no script is told of it
    assign(p, scripts=route.runner, script_args=tuple(script_args))
    folders = {f"outpath_{kind}": getattr(shared.opts, f"outdir_{tab}_{kind}") for kind in ("samples", "grids")}
    assign(p, **folders)
    return p


def _routes(api: HostApi) -> dict[Tab, _Route]:
    from modules.api import models  # not while scripts load: it reads which options there are, and more will follow

    return {
        "txt2img": _Route(
            models.StableDiffusionTxt2ImgProcessingAPI,
            processing.StableDiffusionProcessingTxt2Img,
            scripts.scripts_txt2img,
            api.default_script_arg_txt2img,
        ),
        "img2img": _Route(
            models.StableDiffusionImg2ImgProcessingAPI,
            processing.StableDiffusionProcessingImg2Img,
            scripts.scripts_img2img,
            api.default_script_arg_img2img,
        ),
    }


def _read(model: Any, body: Mapping[str, Any]) -> Any:
    """Raises: HTTPException: 422, as the host's routes say it."""
    try:
        return model(**body)
    except ValidationError as error:
        errors = [{**said, "loc": ("body", *said["loc"])} for said in error.errors()]
        raise HTTPException(status_code=422, detail=errors) from error


def _script_args(api: HostApi, tab: Tab, request: Any, route: _Route) -> list[Any]:
    mentioned: dict[int, Any] = {}
    api.apply_infotext(request, tab, script_runner=route.runner, mentioned_script_args=mentioned)
    script, index = api.get_selectable_script(request.script_name, route.runner)
    return api.init_script_args(request, route.defaults, script, index, route.runner, input_script_args=mentioned)


def _arguments(request: Any) -> dict[str, Any]:
    """What the host's class takes of a request."""
    from modules.api.api import validate_sampler_name

    args = {name: value for name, value in vars(request).items() if name not in _NOT_FOR_P}
    name = request.sampler_name or request.sampler_index
    sampler, scheduler = sd_samplers.get_sampler_and_scheduler(name, request.scheduler)
    args["sampler_name"], args["sampler_index"] = validate_sampler_name(sampler), None
    if not request.scheduler and scheduler != "Automatic":
        args["scheduler"] = scheduler
    return args

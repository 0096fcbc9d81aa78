"""The routes of the extension, beside those of the host's own API and behind the same password."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fastapi import Body, FastAPI
from fastapi.exceptions import HTTPException

from motion_module.errors import ParamError, UserError
from motion_module.params import VideoParams
from motion_module.schema import schema_of
from motion_module.webui.answers import answering
from motion_module.webui.request import module_choice, motion_modules, unfinished
from motion_module.webui.request.checkpoints import base_of_run
from motion_module.webui.request.few_steps import few_steps
from motion_module.webui.request.module_choice import Base
from motion_module.webui.request.motion_modules import ModuleFile
from motion_module.webui.routes import live_preview
from motion_module.webui.routes.asked_p import TABS, HostApi, asked_p
from motion_module.webui.routes.planned import planned
from motion_module.wording import value_text

_OF_HOST = "/sdapi/v1/txt2img"


def add(_: Any, app: FastAPI) -> None:
    """Add the page's route to the host's app, and the scripts', if it has an API."""
    live_preview.add(app)
    api = _api_of(app)
    if api is None:  # started without --api
        return
    routes = Routes(api)
    api.add_api_route("/animatediff/modules", routes.modules, methods=["GET"])
    api.add_api_route("/animatediff/plan", routes.plan, methods=["POST"])
    api.add_api_route("/animatediff/schema", routes.schema, methods=["GET"])
    api.add_api_route("/animatediff/unfinished", routes.unfinished, methods=["GET"])


def _api_of(app: FastAPI) -> HostApi | None:
    """The host's API object, whose method one of its routes is; the host keeps it nowhere else."""
    endpoints = (getattr(route, "endpoint", None) for route in app.routes if getattr(route, "path", "") == _OF_HOST)
    return next((owner for owner in (getattr(end, "__self__", None) for end in endpoints) if owner is not None), None)


class Routes:
    """What the routes answer.

    Args:
        api: the host's own.
    """

    def __init__(self, api: HostApi) -> None:
        self._api = api

    def modules(self) -> list[dict[str, Any]]:
        """The motion modules that requests may name, and which of them fit the checkpoint."""
        listing, base = motion_modules.files(), _base()
        specs = ((name, path, motion_modules.spec_or_none(path)) for name, path in listing.items())
        usable = [ModuleFile(name, path, spec) for name, path, spec in specs if spec is not None]
        return [
            {
                "name": file.name,
                "kind": file.spec.kind.name,
                "family": file.spec.kind.family,
                "frames": file.spec.frames,
                **_steps(file),
                **_fit(file, base, listing),
            }
            for file in usable
        ]

    def plan(self, body: dict[str, Any] = Body(...)) -> dict[str, Any]:  # noqa: B008 - FastAPI's way
        """What a request to txt2img or img2img would make, without making it; "mode" says which of them is meant."""
        fields = dict(body)
        mode = fields.pop("mode", None)
        if mode not in TABS:
            refusal = ParamError(f"mode is {value_text(mode)}; allowed is one of {', '.join(TABS)}")
            raise HTTPException(status_code=refusal.status, detail=refusal.detail)
        p = asked_p(self._api, mode, fields)
        with answering(p):
            return planned(p, fields.get("script_name"))

    def schema(self) -> dict[str, Any]:
        """The fields of a request, as a JSON schema."""
        return schema_of(VideoParams)

    def unfinished(self) -> list[dict[str, Any]]:
        """The runs that broke off, the latest first: how each is resumed, how far it came, and what it was to make."""
        return [
            {"resume": run.id, "noted": run.noted, "calls": run.all_calls, "asked": run.asked, "infotext": run.infotext}
            for run in unfinished.all_of_them()
        ]


def _steps(file: ModuleFile) -> dict[str, Any]:
    """The fewest and the most steps that a module is made for; null where it is used with any number."""
    few = few_steps(file)
    return {"steps": [few.fewest, few.most] if few is not None else None}


def _base() -> Base:
    """The checkpoint that runs have now; where there is none, nothing is known of it."""
    try:
        return base_of_run()
    except UserError as error:
        return Base("", (), unread=error.sentence)


def _fit(file: ModuleFile, base: Base, listing: Mapping[str, Path]) -> dict[str, Any]:
    """Whether a module fits the checkpoint, and why not; null where nobody knows."""
    if base.unread:
        return {"fits": None, "why": UserError(base.unread).detail}
    try:
        module_choice.check_fits(file, base, listing)
    except UserError as error:
        return {"fits": False, "why": error.detail}
    return {"fits": True, "why": ""}

"""The endpoints by which clients ask what is there."""

from typing import Any

from fastapi import FastAPI

from modules import script_callbacks
from scripts import external_code


def add_endpoints(_: Any, app: FastAPI) -> None:
    """Below /controlnet, as clients know them."""

    @app.get("/controlnet/version")
    def version() -> dict[str, Any]:
        return {"version": external_code.get_api_version()}

    @app.get("/controlnet/model_list")
    def model_list(update: bool = True) -> dict[str, Any]:
        return {"model_list": external_code.get_models(update)}

    @app.get("/controlnet/module_list")
    def module_list(alias_names: bool = False) -> dict[str, Any]:
        detail = external_code.get_modules_detail(alias_names)
        return {"module_list": external_code.get_modules(alias_names), "module_detail": detail}

    @app.get("/controlnet/settings")
    def settings() -> dict[str, Any]:
        return {"control_net_unit_count": external_code.get_max_models_num()}


script_callbacks.on_app_started(add_endpoints)

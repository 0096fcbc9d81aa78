"""The API's routes, under the names and paths of the WebUI's."""

from collections.abc import Callable
from secrets import compare_digest
from typing import Any

import uvicorn
from fastapi import Depends, FastAPI
from fastapi.exceptions import HTTPException
from fastapi.security import HTTPBasic, HTTPBasicCredentials

from modules import scripts, shared, ui
from modules.api import generation, listings, models, upscaling
from modules.api.encoding import decode_base64_to_image, encode_pil_to_base64
from modules.api.generation import Tab, validate_sampler_name
from modules.api.infotext import apply_infotext
from modules.api.middleware import api_middleware
from modules.api.script_args import get_selectable_script, init_script_args, script_name_to_index
from modules.call_queue import FIFOLock

__all__ = [
    "Api",
    "api_middleware",
    "decode_base64_to_image",
    "encode_pil_to_base64",
    "script_name_to_index",
    "validate_sampler_name",
]


class Api:
    """All routes of one app. Makes the page's components if nobody has: the scripts' arguments come from them."""

    def __init__(self, app: FastAPI, queue_lock: FIFOLock) -> None:
        self.app = app
        self.queue_lock = queue_lock
        pairs = (pair.split(":", 1) for pair in (shared.cmd_opts.api_auth or "").split(",") if pair)
        self.credentials = dict(pairs)
        api_middleware(app)
        if not scripts.scripts_txt2img.scripts or not scripts.scripts_img2img.scripts:
            ui.create_ui()
        self.txt2img_tab, self.img2img_tab = Tab.make("txt2img"), Tab.make("img2img")
        self.default_script_arg_txt2img = self.txt2img_tab.default_args
        self.default_script_arg_img2img = self.img2img_tab.default_args
        self._add_job_routes()
        self._add_state_routes()
        self._add_list_routes()

    def add_api_route(self, path: str, endpoint: Callable[..., Any], **kwargs: Any) -> None:
        """Adds a route, behind the API's password if there is one."""
        if self.credentials:
            kwargs["dependencies"] = [Depends(self.auth)]
        self.app.add_api_route(path, endpoint, **kwargs)

    def auth(self, credentials: HTTPBasicCredentials = Depends(HTTPBasic())) -> bool:  # noqa: B008 - FastAPI's way
        """Lets a known user in.

        Raises:
            HTTPException: 401.
        """
        password = self.credentials.get(credentials.username)
        if password is not None and compare_digest(credentials.password, password):
            return True
        headers = {"WWW-Authenticate": "Basic"}
        raise HTTPException(status_code=401, detail="Incorrect username or password", headers=headers)

    def get_selectable_script(self, script_name: str | None, script_runner: Any) -> tuple[Any, int | None]:
        """The script that a request's `script_name` chooses, and its place in the page's list."""
        return get_selectable_script(script_name, script_runner)

    def apply_infotext(
        self,
        request: Any,
        tabname: str,
        *,
        script_runner: Any = None,
        mentioned_script_args: dict[int, Any] | None = None,
    ) -> dict[str, Any]:
        """Fills a request and, by their place, these arguments of scripts from the request's infotext."""
        if mentioned_script_args is not None:
            mentioned_script_args.update(apply_infotext(request, tabname, script_runner))
        return {}

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
        """All scripts' arguments for one request."""
        return init_script_args(
            request, default_script_args, selectable_scripts, selectable_idx, script_runner, input_script_args or {}
        )

    def _post(self, name: str, endpoint: Callable[..., Any], model: Any = None) -> None:
        self.add_api_route(f"/sdapi/v1/{name}", endpoint, methods=["POST"], response_model=model)

    def _get(self, name: str, endpoint: Callable[..., Any], model: Any = None) -> None:
        self.add_api_route(f"/sdapi/v1/{name}", endpoint, methods=["GET"], response_model=model)

    def _add_job_routes(self) -> None:
        self._post("txt2img", self.text2imgapi, models.TextToImageResponse)
        self._post("img2img", self.img2imgapi, models.ImageToImageResponse)
        self._post("extra-single-image", self.extras_single_image_api, models.ExtrasSingleImageResponse)
        self._post("extra-batch-images", self.extras_batch_images_api, models.ExtrasBatchImagesResponse)
        self._post("png-info", self.pnginfoapi, models.PNGInfoResponse)

    def _add_state_routes(self) -> None:
        self._get("progress", self.progressapi, models.ProgressResponse)
        self._post("interrupt", self.interruptapi)
        self._post("skip", self.skip)
        self._get("options", listings.get_options, models.options_model())
        self._post("options", self.set_config)
        self._get("cmd-flags", self.get_cmd_flags, models.flags_model())
        self._get("memory", listings.get_memory, models.MemoryResponse)
        self._post("refresh-checkpoints", self.refresh_checkpoints)
        self._post("refresh-vae", self.nothing_to_do)
        self._post("refresh-embeddings", self.nothing_to_do)

    def _add_list_routes(self) -> None:
        self._get("samplers", listings.get_samplers, list[models.SamplerItem])
        self._get("schedulers", listings.get_schedulers, list[models.SchedulerItem])
        self._get("upscalers", listings.get_upscalers, list[models.UpscalerItem])
        self._get("latent-upscale-modes", listings.get_latent_upscale_modes, list[models.LatentUpscalerModeItem])
        self._get("sd-models", listings.get_sd_models, list[models.SDModelItem])
        self._get("sd-vae", listings.get_sd_vaes, list[models.SDVaeItem])
        self._get("prompt-styles", listings.get_prompt_styles, list[models.PromptStyleItem])
        self._get("embeddings", self.get_embeddings, models.EmbeddingsResponse)
        self._get("scripts", listings.get_scripts_list, models.ScriptsList)
        self._get("script-info", listings.get_script_info, list[models.ScriptInfo])
        self._get("extensions", listings.get_extensions, list[models.ExtensionItem])
        for name in ("hypernetworks", "face-restorers", "realesrgan-models"):
            self._get(name, self.get_none)

    def text2imgapi(self, txt2imgreq: models.StableDiffusionTxt2ImgProcessingAPI) -> models.TextToImageResponse:
        """Pictures from words."""
        return generation.txt2img(self.txt2img_tab, txt2imgreq, self.queue_lock)

    def img2imgapi(self, img2imgreq: models.StableDiffusionImg2ImgProcessingAPI) -> models.ImageToImageResponse:
        """Pictures from pictures."""
        return generation.img2img(self.img2img_tab, img2imgreq, self.queue_lock)

    def extras_single_image_api(self, req: models.ExtrasSingleImageRequest) -> models.ExtrasSingleImageResponse:
        """One picture made larger."""
        with self.queue_lock:
            return upscaling.single(req)

    def extras_batch_images_api(self, req: models.ExtrasBatchImagesRequest) -> models.ExtrasBatchImagesResponse:
        """Several pictures made larger."""
        with self.queue_lock:
            return upscaling.batch(req)

    def pnginfoapi(self, req: models.PNGInfoRequest) -> models.PNGInfoResponse:
        """What is written inside a picture."""
        return listings.get_png_info(req.image)

    def progressapi(self, req: models.ProgressRequest = Depends()) -> models.ProgressResponse:  # noqa: B008
        """How far the running job is."""
        return listings.get_progress(req.skip_current_image)

    def interruptapi(self) -> dict[str, Any]:
        """Ends the running job; what it has so far is its result."""
        shared.state.interrupt()
        return {}

    def skip(self) -> None:
        """Ends the running batch and goes on with the next."""
        shared.state.skip()

    def set_config(self, req: dict[str, Any]) -> None:
        """Changes settings."""
        listings.set_options(req)

    def get_cmd_flags(self) -> dict[str, Any]:
        """The command-line options."""
        return vars(shared.cmd_opts)

    def get_embeddings(self) -> models.EmbeddingsResponse:
        """None: the pocket has no embeddings."""
        return models.EmbeddingsResponse()

    def get_none(self) -> list[Any]:
        """The empty list, for kinds of files that the pocket does not load."""
        return []

    def refresh_checkpoints(self) -> None:
        """Looks for checkpoints again."""
        with self.queue_lock:
            shared.refresh_checkpoints()

    def nothing_to_do(self) -> None:
        """For lists that the pocket reads anew each time or does not have."""

    def launch(self, server_name: str, port: int, root_path: str = "") -> None:
        """Serves until it is stopped."""
        keep_alive = shared.cmd_opts.timeout_keep_alive
        uvicorn.run(self.app, host=server_name, port=port, timeout_keep_alive=keep_alive, root_path=root_path)

"""The page: both tabs, what extensions add, and the settings."""

from typing import Any

import gradio as gr
import gradio.utils
from fastapi import FastAPI

from modules import (
    gradio_extensons,
    img2img,
    infotext_utils,
    script_callbacks,
    scripts,
    sd_models,
    shared,
    txt2img,
    ui_common,
    ui_loadsave,
    ui_pnginfo,
    ui_settings,
)
from modules.call_queue import (  # noqa: F401 - extensions take them from here
    wrap_gradio_call,
    wrap_gradio_gpu_call,
    wrap_queued_call,
)
from modules.ui_common import create_refresh_button  # noqa: F401
from modules.ui_components import FormGroup, FormHTML, FormRow, InputAccordion, ToolButton  # noqa: F401
from modules.ui_gradio_extensions import allowed_paths, reload_javascript
from modules.ui_img2img import Img2ImgTab
from modules.ui_toprow import paste_symbol  # noqa: F401
from modules.ui_txt2img import Txt2ImgTab

random_symbol = "\U0001f3b2\ufe0f"
reuse_symbol = "\u267b\ufe0f"
refresh_symbol = ui_common.refresh_symbol
save_style_symbol = "\U0001f4be"
apply_style_symbol = "\U0001f4cb"
clear_prompt_symbol = "\U0001f5d1\ufe0f"
extra_networks_symbol = "\U0001f3b4"
switch_values_symbol = "\U000021c5"

plaintext_to_html = ui_common.plaintext_to_html
create_setting_component = ui_settings.create_setting_component

# gradio asks the network for its newest version and for this machine's address; neither is wanted here.
gradio.utils.version_check = lambda: None
gradio.utils.get_local_ip_address = lambda: "127.0.0.1"


def gr_show(visible: bool = True) -> dict[str, Any]:
    """An update that shows or hides a component."""
    return {"visible": visible, "__type__": "update"}


TITLE = "Pocket WebUI"
WHAT = "A small stand-in for AUTOMATIC1111's WebUI, with AnimateDiff in it."
FIRST = "Press Generate: the video that the prompt describes is there in about half a minute."


def _head() -> gr.Dropdown:
    """What this is, what the bundled model can do, and the dropdown for the checkpoint; over the tabs."""
    with gr.Row(elem_id="page_head", equal_height=False):
        with gr.Column(scale=3, min_width=300):
            first = f" {FIRST}" if shared.about_model else ""
            gr.HTML(f"<h1>{TITLE}</h1><p>{WHAT}{first}</p>", elem_id="page_title")
            if shared.about_model:
                about = plaintext_to_html(shared.about_model)
                gr.HTML(
                    f"<details><summary>What can be in the prompt</summary>{about}</details>", elem_id="about_model"
                )
        with gr.Column(scale=2, min_width=300):
            return _checkpoint_choice()


def _checkpoint_choice() -> gr.Dropdown:
    with gr.Row(elem_id="quicksettings", variant="compact"):
        return gr.Dropdown(
            label="Stable Diffusion checkpoint",
            elem_id="setting_sd_model_checkpoint",
            choices=sd_models.checkpoint_tiles(),
            value=lambda: shared.opts.sd_model_checkpoint,
        )


def _choose_checkpoint(title: str) -> tuple[Any, str]:
    shared.opts.set("sd_model_checkpoint", title)
    return gr.update(value=shared.opts.sd_model_checkpoint), shared.opts.dumpjson()


def create_ui() -> gr.Blocks:
    """Builds the whole page; the scripts of both tabs are made anew."""
    gradio_extensons.install()
    reload_javascript()
    infotext_utils.reset()
    settings = ui_settings.UiSettings()
    settings.register_settings()
    loadsave = ui_loadsave.UiLoadsave(shared.cmd_opts.ui_config_file)
    interfaces = [
        (Txt2ImgTab(scripts.scripts_txt2img).build(txt2img.txt2img), "txt2img", "txt2img"),
        (Img2ImgTab(scripts.scripts_img2img).build(img2img.img2img), "img2img", "img2img"),
    ]
    scripts.scripts_current = None
    for interface, _, name in interfaces:
        loadsave.add_block(interface, name)
    interfaces.append((ui_pnginfo.create_ui(), "PNG Info", "pnginfo"))
    interfaces += script_callbacks.ui_tabs_callback()
    interfaces.append((settings.create_ui(), "Settings", "settings"))
    shared.tab_names = [label for _, label, _ in interfaces]

    with gr.Blocks(analytics_enabled=False, title=TITLE) as demo:
        checkpoint = _head()
        infotext_utils.connect_paste_params_buttons()
        with gr.Tabs(elem_id="tabs"):
            for interface, label, name in interfaces:
                with gr.TabItem(label, id=name, elem_id=f"tab_{name}"):
                    interface.render()
        shown = [checkpoint, settings.text_settings]  # from which the page's scripts know the settings
        checkpoint.input(fn=wrap_queued_call(_choose_checkpoint), inputs=[checkpoint], outputs=shown)
        gr.HTML('<a href="docs">API</a>', elem_id="footer")
    demo.allowed_paths = [*shared.cmd_opts.gradio_allowed_path, *allowed_paths()]
    demo.blocked_paths = []
    return demo


def setup_ui_api(app: FastAPI) -> None:
    """Adds the route by which a page finds out that the server is there."""

    @app.get("/internal/ping")
    def ping() -> dict[str, Any]:
        return {}

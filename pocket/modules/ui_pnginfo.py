"""The PNG Info tab: what a picture was made from, and the buttons that send it to the other tabs."""

import gradio as gr

from modules import extras, infotext_utils
from modules.call_queue import wrap_gradio_call_no_job
from modules.infotext_utils import ParamBinding
from modules.ui_components import ResizeHandleRow


def create_ui() -> gr.Blocks:
    """The tab's interface: for pictures as in the WebUI, and a place for videos, which is the pocket's own."""
    listed = ", ".join(ending[1:].upper() for ending in extras.VIDEOS)
    with gr.Blocks(analytics_enabled=False) as interface:
        with ResizeHandleRow(equal_height=False):
            with gr.Column(variant="panel"):
                image = gr.Image(elem_id="pnginfo_image", label="Source", source="upload", interactive=True, type="pil")
                video = gr.File(
                    elem_id="pnginfo_video", label=f"Or a video: {listed}", file_types=list(extras.VIDEOS), height=140
                )
            with gr.Column(variant="panel"):
                head = gr.HTML()
                generation_info = gr.Textbox(visible=False, elem_id="pnginfo_generation_info")
                shown = gr.HTML(elem_id="pnginfo_shown")
                with gr.Row():
                    buttons = infotext_utils.create_buttons(["txt2img", "img2img"])
        for tabname, button in buttons.items():
            infotext_utils.register_paste_params_button(
                ParamBinding(button, tabname, source_text_component=generation_info, source_image_component=image)
            )
        for source, read in ((image, extras.run_pnginfo), (video, extras.run_video_info)):
            source.change(
                fn=wrap_gradio_call_no_job(read),
                inputs=[source],
                outputs=[head, generation_info, shown],
                show_progress=False,
            )
    return interface

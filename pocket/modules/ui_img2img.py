"""The img2img tab: what it has besides txt2img."""

from typing import Any

import gradio as gr

from modules.infotext_utils import PasteField
from modules.ui_components import FormGroup, FormRow
from modules.ui_generation import GenerationTab

# Kinds of input, in the order of the number that `modules.img2img.img2img` gets as its mode.
IMG2IMG, SKETCH, INPAINT, INPAINT_SKETCH, INPAINT_UPLOAD, BATCH = range(6)


class Img2ImgTab(GenerationTab):
    """Pictures from pictures: whole, under a mask, or a folder of them."""

    tabname = "img2img"

    def build_image(self) -> None:
        """The tabs for the input, and how it is resized."""
        parts = self.parts
        parts["mode"] = gr.Number(value=IMG2IMG, visible=False, precision=0)
        with gr.Tabs(elem_id="mode_img2img"):
            with gr.TabItem("img2img", id="img2img", elem_id="img2img_img2img_tab") as whole:
                parts["init_img"] = self._picture("Image for img2img", "img2img_image", tool="editor")
            with gr.TabItem("Inpaint", id="inpaint", elem_id="img2img_inpaint_tab") as inpaint:
                parts["init_img_with_mask"] = self._picture("Image to paint a mask on", "img2maskimg", tool="sketch")
            with gr.TabItem("Inpaint upload", id="inpaint_upload", elem_id="img2img_inpaint_upload_tab") as upload:
                parts["init_img_inpaint"] = self._picture("Image for img2img", "img_inpaint_base")
                parts["init_mask_inpaint"] = self._picture("Mask", "img_inpaint_mask")
            with gr.TabItem("Batch", id="batch", elem_id="img2img_batch_tab") as batch:
                self._build_batch_input()
        # The pocket has no sketch tabs, but the function behind the button takes their pictures.
        for name in ("sketch", "inpaint_color_sketch", "inpaint_color_sketch_orig"):
            parts[name] = gr.State(None)
        parts["resize_mode"] = gr.Radio(
            label="Resize mode",
            elem_id="resize_mode",
            choices=["Just resize", "Crop and resize", "Resize and fill", "Just resize (latent upscale)"],
            type="index",
            value="Just resize",
        )
        self.modes = {whole: IMG2IMG, inpaint: INPAINT, upload: INPAINT_UPLOAD, batch: BATCH}

    def _picture(self, label: str, elem_id: str, **kwargs: Any) -> gr.Image:
        return gr.Image(
            label=label,
            elem_id=elem_id,
            source="upload",
            interactive=True,
            type="pil",
            image_mode="RGBA",
            **kwargs,
        )

    def _build_batch_input(self) -> None:
        parts = self.parts
        with gr.Tabs(elem_id="img2img_batch_source"):
            parts["batch_source"] = gr.Textbox(visible=False, value="from dir")
            with gr.TabItem("From directory", elem_id="img2img_batch_from_dir_tab") as folder:
                for name, label in (
                    ("input_dir", "Input directory"),
                    ("output_dir", "Output directory"),
                    ("inpaint_mask_dir", "Inpaint batch mask directory"),
                ):
                    parts[f"batch_{name}"] = gr.Textbox(label=label, elem_id=f"img2img_batch_{name}")
            with gr.TabItem("Upload", elem_id="img2img_batch_upload_tab") as upload:
                parts["batch_upload"] = gr.Files(label="Files", interactive=True, elem_id="img2img_batch_upload")
        folder.select(fn=lambda: "from dir", inputs=[], outputs=[parts["batch_source"]])
        upload.select(fn=lambda: "upload", inputs=[], outputs=[parts["batch_source"]])
        parts["batch_use_png_info"] = gr.Checkbox(value=False, visible=False)
        parts["batch_png_info_props"] = gr.CheckboxGroup(["Prompt", "Negative prompt", "Seed"], visible=False)
        parts["batch_png_info_dir"] = gr.Textbox(value="", visible=False)

    def build_inpaint(self) -> None:
        """What to do with the mask."""
        with FormGroup(elem_id="inpaint_controls", visible=False) as self.inpaint_controls:
            self.slider("mask_blur", "Mask blur", 0, 64, 1, 4)
            self.parts["mask_alpha"] = gr.Slider(label="Mask transparency", visible=False, elem_id="img2img_mask_alpha")
            for name, elem, label, choices, value in (
                ("mask_invert", "mask_mode", "Mask mode", ["Inpaint masked", "Inpaint not masked"], 0),
                (
                    "inpainting_fill",
                    "inpainting_fill",
                    "Masked content",
                    ["fill", "original", "latent noise", "latent nothing"],
                    1,
                ),
                ("inpaint_full_res", "inpaint_full_res", "Inpaint area", ["Whole picture", "Only masked"], 0),
            ):
                self.parts[name] = gr.Radio(
                    label=label, choices=choices, value=choices[value], type="index", elem_id=f"img2img_{elem}"
                )
            self.slider("inpaint_full_res_padding", "Only masked padding, pixels", 0, 256, 4, 32)
        for tab, mode in self.modes.items():
            tab.select(
                fn=lambda mode=mode: (mode, gr.update(visible=mode in (INPAINT, INPAINT_UPLOAD))),
                inputs=[],
                outputs=[self.parts["mode"], self.inpaint_controls],
            )

    def build_dimensions(self) -> None:
        """Width and height, or a factor."""
        with gr.Tabs(elem_id="img2img_tabs_resize"):
            self.parts["scale_tab"] = gr.Number(value=0, visible=False, precision=0)
            with gr.Tab(label="Resize to", id="to", elem_id="img2img_tab_resize_to") as to:
                super().build_dimensions()
            with gr.Tab(label="Resize by", id="by", elem_id="img2img_tab_resize_by") as by:
                self.slider("scale", "Scale", 0.05, 4.0, 0.05, 1.0)
        to.select(fn=lambda: 0, inputs=[], outputs=[self.parts["scale_tab"]])
        by.select(fn=lambda: 1, inputs=[], outputs=[self.parts["scale_tab"]])

    def build_cfg(self) -> None:
        """CFG scale, and the one for instruct-pix2pix, which nobody sees."""
        super().build_cfg()
        self.parts["image_cfg_scale"] = gr.Slider(
            minimum=0, maximum=3.0, step=0.05, value=1.5, visible=False, elem_id="img2img_image_cfg_scale"
        )

    def build_denoising(self) -> None:
        """How much is changed."""
        with FormRow():
            self.slider("denoising_strength", "Denoising strength", 0.0, 1.0, 0.01, 0.75)

    def inputs(self) -> list[Any]:
        """In the order of `modules.img2img.img2img`."""
        pictures = [
            "init_img",
            "sketch",
            "init_img_with_mask",
            "inpaint_color_sketch",
            "inpaint_color_sketch_orig",
            "init_img_inpaint",
            "init_mask_inpaint",
        ]
        settings = [
            "mask_blur",
            "mask_alpha",
            "inpainting_fill",
            "batch_count",
            "batch_size",
            "cfg_scale",
            "image_cfg_scale",
            "denoising_strength",
            "scale_tab",
            "height",
            "width",
            "scale",
            "resize_mode",
            "inpaint_full_res",
            "inpaint_full_res_padding",
            "mask_invert",
        ]
        batch = ["batch_input_dir", "batch_output_dir", "batch_inpaint_mask_dir", "override_settings"]
        batch += ["batch_use_png_info", "batch_png_info_props", "batch_png_info_dir", "batch_source", "batch_upload"]
        top = self.toprow
        head = [self.dummy, self.parts["mode"], top.prompt, top.negative_prompt, top.ui_styles.dropdown]
        return [*head, *(self.parts[name] for name in [*pictures, *settings, *batch])]

    def paste_fields(self) -> list[PasteField]:
        """Those of the mask and of resizing; choices stand in infotexts by name, in the API by number."""
        return [
            PasteField(self.parts["mask_blur"], "Mask blur", api="mask_blur"),
            PasteField(self.parts["mask_invert"], "Mask mode"),
            PasteField(self.parts["inpainting_fill"], "Masked content"),
            PasteField(self.parts["inpaint_full_res"], "Inpaint area"),
            PasteField(self.parts["inpaint_full_res_padding"], "Masked area padding", api="inpaint_full_res_padding"),
            PasteField(self.parts["image_cfg_scale"], "Image CFG scale", api="image_cfg_scale"),
            PasteField(self.parts["resize_mode"], "Resize mode"),
        ]

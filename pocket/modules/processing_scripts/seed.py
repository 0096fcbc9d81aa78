"""The seed's part of both tabs."""

from typing import Any

import gradio as gr

from modules import scripts
from modules.infotext_utils import PasteField


class ScriptSeed(scripts.ScriptBuiltinUI):
    """Seed and its variation; a run from the API brings its own."""

    section = "seed"
    create_group = False

    def title(self) -> str:
        """The script's name."""
        return "Seed"

    def ui(self, is_img2img: bool) -> list[Any]:
        """Seed, whether to use the rest, variation seed and strength, size of the seed's own picture."""
        with gr.Row(elem_id=self.elem_id("seed_row")):
            self.seed = gr.Number(label="Seed", value=-1, elem_id=self.elem_id("seed"), min_width=100, precision=0)
            extra = gr.Checkbox(label="Extra", elem_id=self.elem_id("subseed_show"), value=False)
        with gr.Group(visible=False, elem_id=self.elem_id("seed_extras")) as extras:
            subseed = gr.Number(label="Variation seed", value=-1, elem_id=self.elem_id("subseed"), precision=0)
            strength = gr.Slider(
                label="Variation strength",
                elem_id=self.elem_id("subseed_strength"),
                minimum=0,
                maximum=1,
                step=0.01,
                value=0.0,
            )
            width, height = self._size("width", "w"), self._size("height", "h")
        extra.change(lambda shown: gr.update(visible=shown), inputs=[extra], outputs=[extras], show_progress=False)
        self.infotext_fields = [
            PasteField(self.seed, "Seed", api="seed"),
            PasteField(extra, lambda d: "Variation seed" in d or "Seed resize from-1" in d),
            PasteField(subseed, "Variation seed", api="subseed"),
            PasteField(strength, "Variation seed strength", api="subseed_strength"),
            PasteField(width, "Seed resize from-1", api="seed_resize_from_w"),
            PasteField(height, "Seed resize from-2", api="seed_resize_from_h"),
        ]
        return [self.seed, extra, subseed, strength, width, height]

    def _size(self, name: str, letter: str) -> gr.Slider:
        elem_id = self.elem_id(f"seed_resize_from_{letter}")
        return gr.Slider(label=f"Resize seed from {name}", elem_id=elem_id, minimum=0, maximum=2048, step=8, value=0)

    def setup(self, p: Any, seed: int, extra: bool, subseed: int, strength: float, width: int, height: int) -> None:
        """Gives the page's choice to the run."""
        p.seed = seed
        if extra and strength > 0:
            p.subseed, p.subseed_strength = subseed, strength
        if extra and width > 0 and height > 0:
            p.seed_resize_from_w, p.seed_resize_from_h = width, height

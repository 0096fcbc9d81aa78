"""What a script is: the base class with every hook, and the objects that hooks get."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

AlwaysVisible = object()
"""What `Script.show` returns for a script that runs in every generation."""


class MaskBlendArgs:
    """Inpainting: the original is about to be blended with the new; hooks may replace `blended_latent`.

    `denoiser` and `sigma` are there at each step, and None in the final blend.
    """

    def __init__(
        self,
        current_latent: Any,
        nmask: Any,
        init_latent: Any,
        mask: Any,
        blended_latent: Any,
        denoiser: Any = None,
        sigma: Any = None,
    ) -> None:
        self.current_latent = current_latent
        self.nmask = nmask
        self.init_latent = init_latent
        self.mask = mask
        self.blended_latent = blended_latent
        self.denoiser = denoiser
        self.is_final_blend = denoiser is None
        self.sigma = sigma


@dataclass
class PostSampleArgs:
    """The samples of a batch: latents `(b, 4, h, w)`, or a list of decoded pictures after hires fix."""

    samples: Any


@dataclass
class PostprocessImageArgs:
    """One finished PIL picture."""

    image: Any


@dataclass
class PostProcessMaskOverlayArgs:
    """The mask and the picture that are laid over result number `index`; each may be None."""

    index: int
    mask_for_overlay: Any
    overlay_image: Any


@dataclass
class PostprocessBatchListArgs:
    """The pictures of a batch as tensors `(3, h, w)` in 0..1; the list may be changed."""

    images: list[Any]


@dataclass
class OnComponent:
    """The component that a callback of `on_before_component` or `on_after_component` is called for."""

    component: Any


ComponentCallback = Callable[[OnComponent], object]


class Script:
    """A script of the host or of an extension. Hooks get the values of the components that `ui` returned."""

    name: str | None = None
    section: str | None = None
    filename: str = ""
    args_from: int | None = None
    args_to: int | None = None
    alwayson = False
    is_txt2img = False
    is_img2img = False
    tabname: str | None = None
    group: Any = None
    create_group = True
    infotext_fields: list[Any] | None = None
    paste_field_names: list[str] | None = None
    api_info: Any = None
    on_before_component_elem_id: list[tuple[str, ComponentCallback]] | None = None
    on_after_component_elem_id: list[tuple[str, ComponentCallback]] | None = None
    setup_for_ui_only = False
    controls: list[Any] | None = None

    def title(self) -> str:
        """The name shown to people; the API knows the script by it in lower case."""
        raise NotImplementedError

    def ui(self, is_img2img: bool) -> list[Any] | None:
        """Make the components; their values are the arguments of the hooks."""

    def show(self, is_img2img: bool) -> Any:
        """`AlwaysVisible`, or True to be in the scripts' dropdown of this tab, or False not to be there."""
        return True

    def run(self, p: Any, *args: Any) -> Any:
        """The script was chosen in the dropdown: make the pictures and return the `Processed`, or None."""

    def setup(self, p: Any, *args: Any) -> None:
        """`p` was made; nothing has been done yet."""

    def before_process(self, p: Any, *args: Any) -> None:
        """A run begins; `override_settings` are not applied yet."""

    def process(self, p: Any, *args: Any) -> None:
        """Prompts and seeds of all pictures are known, the checkpoint is the one asked for."""

    def before_process_batch(self, p: Any, *args: Any, **kwargs: Any) -> None:
        """A batch begins; its prompts still have their networks. kwargs: batch_number, prompts, seeds, subseeds."""

    def after_extra_networks_activate(self, p: Any, *args: Any, **kwargs: Any) -> None:
        """The batch's networks are active. kwargs: as before, and extra_network_data."""

    def process_before_every_sampling(self, p: Any, *args: Any, **kwargs: Any) -> None:
        """A sampling pass begins; hires fix has two. kwargs: x, noise, c, uc."""

    def process_batch(self, p: Any, *args: Any, **kwargs: Any) -> None:
        """The batch's prompts are final. kwargs: batch_number, prompts, seeds, subseeds."""

    def postprocess_batch(self, p: Any, *args: Any, **kwargs: Any) -> None:
        """The batch is decoded. kwargs: batch_number, images `(b, 3, h, w)` in 0..1."""

    def postprocess_batch_list(self, p: Any, pp: PostprocessBatchListArgs, *args: Any, **kwargs: Any) -> None:
        """As `postprocess_batch`, where the number of pictures may change. kwargs: batch_number."""

    def on_mask_blend(self, p: Any, mba: MaskBlendArgs, *args: Any) -> None:
        """Inpainting blends the original in, at each step and at the end."""

    def post_sample(self, p: Any, ps: PostSampleArgs, *args: Any) -> None:
        """The batch is sampled, not yet decoded."""

    def postprocess_image(self, p: Any, pp: PostprocessImageArgs, *args: Any) -> None:
        """A picture is there, before anything is laid over it."""

    def postprocess_maskoverlay(self, p: Any, ppmo: PostProcessMaskOverlayArgs, *args: Any) -> None:
        """The mask and the overlay of a picture are known."""

    def postprocess_image_after_composite(self, p: Any, pp: PostprocessImageArgs, *args: Any) -> None:
        """A picture is finished; it is saved next."""

    def postprocess(self, p: Any, processed: Any, *args: Any) -> None:
        """The run is over."""

    def before_hr(self, p: Any, *args: Any) -> None:
        """Hires fix begins its second pass."""

    def before_component(self, component: Any, **kwargs: Any) -> None:
        """Any component is about to be made; kwargs are the component's."""

    def after_component(self, component: Any, **kwargs: Any) -> None:
        """Any component was made; kwargs are the component's."""

    def on_before_component(self, callback: ComponentCallback, *, elem_id: str) -> None:
        """Have `callback` called before the component with this id is made. To be used in `show`."""
        if self.on_before_component_elem_id is None:
            self.on_before_component_elem_id = []
        self.on_before_component_elem_id.append((elem_id, callback))

    def on_after_component(self, callback: ComponentCallback, *, elem_id: str) -> None:
        """Have `callback` called after the component with this id was made. To be used in `show`."""
        if self.on_after_component_elem_id is None:
            self.on_after_component_elem_id = []
        self.on_after_component_elem_id.append((elem_id, callback))

    def describe(self) -> str:
        """Not used by anything."""
        return ""

    def _tab_prefix(self) -> str:
        in_both_tabs = self.show(True) == self.show(False)
        return ("img2img_" if self.is_img2img else "txt2img_") if in_both_tabs else ""

    def elem_id(self, item_id: str) -> str:
        """An HTML id: `script_[tab_]title_item`, the tab only for scripts that are in both."""
        title = re.sub(r"[^a-z_0-9]", "", re.sub(r"\s", "_", self.title().lower()))
        return f"script_{self._tab_prefix()}{title}_{item_id}"


class ScriptBuiltinUI(Script):
    """A script that is a part of the host's own page, such as the seed field."""

    setup_for_ui_only = True

    def elem_id(self, item_id: str) -> str:
        """An HTML id without the script's title."""
        return f"{self._tab_prefix()}{item_id}"

    def show(self, is_img2img: bool) -> Any:
        """Always there."""
        return AlwaysVisible

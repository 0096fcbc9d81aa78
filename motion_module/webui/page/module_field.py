"""The panel's list of motion modules, its refresh button, and the line below it that says what the chosen one is."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from typing import Any

import gradio as gr
from gradio.context import Context

from modules.ui_components import ToolButton
from motion_module.errors import SaidError, UserError
from motion_module.fields import Field
from motion_module.params import VideoParams
from motion_module.webui.page.events import SILENT
from motion_module.webui.request import module_choice, motion_modules
from motion_module.webui.request.checkpoints import base_of_run
from motion_module.webui.request.module_choice import Base
from motion_module.wording import mention

_MADE_FOR = re.compile(r" \([^()]+ for [^()]+\)$")
_REFRESH = "\U0001f504"


def build(field: Field, elem_id: str) -> Any:
    """The list, a button that looks into the folders again, and a line of text that follows the choice."""
    listed = titles()
    with gr.Row(elem_id=f"{elem_id}_row", elem_classes=["animatediff-beside"]):
        component = gr.Dropdown(
            choices=listed,
            value=next(iter(listed), ""),
            label=field.label,
            elem_id=elem_id,
            allow_custom_value=True,
        )
        refresh = ToolButton(_REFRESH, elem_id=f"{elem_id}_refresh", tooltip="Look for motion modules again")
    component.preprocess, component.postprocess = name_of, _title_of
    line = gr.HTML(elem_id=f"{elem_id}_about", elem_classes=["animatediff-about"])
    refresh.click(_refreshed, inputs=[component], outputs=[component, line], **SILENT)
    component.change(about, inputs=[component], outputs=[line], **SILENT)
    # The host gives the list its default after it is built, and files come and go while the server runs.
    Context.root_block.load(_refreshed, inputs=[component], outputs=[component, line], **SILENT)
    return component


def titles() -> list[str]:
    """The modules as the list shows them: those that fit the loaded checkpoint first, the others with their family."""
    listing = motion_modules.files()
    specs = {name: spec for name, path in listing.items() if (spec := motion_modules.spec_or_none(path))}
    base = _base()
    fitting = specs if base is None else module_choice.fitting(base, listing)
    others = (name for name in specs if name not in fitting)
    return [*fitting, *(f"{name} ({specs[name].kind.name} for {specs[name].kind.family})" for name in others)]


def name_of(title: str | None) -> str:
    """The module's name in what the list shows."""
    return _MADE_FOR.sub("", title or "")


def _title_of(name: str | None) -> str:
    """What the list shows for a module that was pasted or is the default."""
    return next((title for title in titles() if name_of(title) == name_of(name)), name or "")


def _refreshed(name: str) -> Sequence[Any]:
    listed = titles()
    kept = name if not name or any(name_of(title) == name for title in listed) else name_of(next(iter(listed), ""))
    return gr.update(choices=listed, value=kept), about(kept)


def about(name: str) -> str:
    """What a module is and whether it can be used now, as one line of HTML."""
    try:
        said = _about(name)
    except SaidError as error:
        said = error.sentence
    return html.escape(VideoParams.worded_for_page(said))


def _about(name: str) -> str:
    listing, base = motion_modules.files(), _base()
    module_choice.check_possible(name, listing)
    if not name:
        first = next(iter(module_choice.fitting(base, listing) if base is not None else []), "none yet")
        return f"{mention('model')} is empty: the first that fits is used ({first})"
    module = module_choice.named(name, listing)
    kind = module.spec.kind
    what = f"{kind.name} for {kind.family}, sees up to {module.spec.frames} frames"
    if base is None:
        return what
    if base.unread:
        return f"{what}. {base.unread}"
    fits = module.spec.fits(base.family, base.widths)
    return f"{what}, fits this checkpoint" if fits else f"{what}, does not fit this checkpoint ({base.family})"


def _base() -> Base | None:
    """The checkpoint that a run would have; None where there is none yet."""
    try:
        return base_of_run()
    except UserError:
        return None

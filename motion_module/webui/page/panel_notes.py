"""What the panel says before a run: what it will make, which fields change nothing, or why it would be refused."""

from __future__ import annotations

import dataclasses
import html
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr
from gradio.context import Context

from modules import scripts, shared
from motion_module.errors import SaidError
from motion_module.fields import Field, range_text, read_value
from motion_module.params import VideoParams
from motion_module.webui.page.events import SILENT
from motion_module.webui.page.page_facts import PROMPTS, facts_of_page, host_components, picture_components
from motion_module.webui.page.pasted import sentences
from motion_module.webui.page.timeline import timelines
from motion_module.webui.plan.amount import amount_of
from motion_module.webui.plan.facts import Facts
from motion_module.webui.plan.frame_count import frames_of
from motion_module.webui.plan.out_folder import as_people_see_it, folder_below
from motion_module.webui.plan.plan import Plan
from motion_module.webui.plan.request import Request
from motion_module.webui.plan.resumed import run_to_resume
from motion_module.webui.plan.summary import summary
from motion_module.webui.progress import foreseen
from motion_module.webui.request import interpolation
from motion_module.webui.request.checkpoints import base_of_run
from motion_module.webui.request.continued import described_clip, with_old_frames
from motion_module.webui.request.read import script_among
from motion_module.webui.request.sources import Source, described, without_controlnet
from motion_module.without_effect import idle_fields
from motion_module.wording import mention

_FILES = ("image", "video")
_MOST_NAMED = 3  # changed fields in the title of a part


@dataclass(frozen=True)
class PanelNotes:
    """The line of text below the first fields, and the titles of the parts.

    Attributes:
        line: a `gr.HTML`.
        parts: title -> accordion, whose title names the fields that were changed in it.
        fields: name -> component.
        sent: the same, but for files what stands in for them.
        ask: a hidden button that asks for both.
        pasted: a hidden box with what was left out of pasted parameters.
        tab: txt2img or img2img.
    """

    line: Any
    parts: Mapping[str, Any]
    fields: Mapping[str, Any]
    sent: Mapping[str, Any]
    ask: Any
    pasted: Any
    tab: str

    def follow(self) -> None:
        """Let them follow the fields of the panel and of the WebUI; call it when both are there."""
        of_host = host_components(self.tab)
        of_host |= {name: _presence(place) for name, place in picture_components(self.tab).items()}
        inputs = [self.pasted, *self.sent.values(), *of_host.values()]
        outputs = [self.line, *self.parts.values()]

        def told(left_out: str, *values: Any) -> Sequence[Any]:
            ours = dict(zip(self.sent, values, strict=False))
            found = dict(zip(of_host, values[len(ours) :], strict=True))
            shown = _hint(ours, found, _left_out(left_out, ours), self._elem_ids(), self.tab)
            return [shown, *(gr.update(label=_titled(title, ours)) for title in self.parts)]

        for event in (Context.root_block.load, self.ask.click):  # fields get the host's defaults after they are built
            answer = event(told, inputs=inputs, outputs=outputs, **SILENT)
            answer.then(fn=None, _js=f"() => animatediffAnswered('{self.tab}')")
        events = [field.blur if _is_typed(name, field) else field.change for name, field in self.sent.items()]
        events += [self.pasted.change]
        events += [
            of_host[name].blur if name in (*PROMPTS, "batch_folder") else of_host[name].change for name in of_host
        ]
        for event in events:  # javascript/animatediff.js asks, because gradio drops events while an answer is awaited
            event(fn=None, _js=f"() => animatediffChanged('{self.tab}')")

    def _elem_ids(self) -> dict[str, str]:
        return {name: field.elem_id for name, field in self.fields.items()}


def build(
    line: Any, parts: Mapping[str, Any], fields: Mapping[str, Any], files: Mapping[str, Any], tab: str, ask_id: str
) -> PanelNotes:
    """The notes of a panel, inside of it.

    Args:
        line, parts, fields, tab: as the attributes of `PanelNotes`.
        files: for fields of files, the component that says which file it is.
        ask_id: of the hidden button.
    """
    sent = {name: files.get(name) or (_presence(field) if _is_file(name) else field) for name, field in fields.items()}
    ask, left_out = gr.Button(visible=False, elem_id=ask_id), gr.Textbox("", visible=False)
    notes = PanelNotes(line, parts, fields, sent, ask, left_out, tab)
    line.value = _as_html("", [], {}, notes._elem_ids())
    return notes


def _is_file(name: str) -> bool:
    return VideoParams.table()[name].kind in _FILES


def _is_typed(name: str, component: Any) -> bool:
    return isinstance(component, gr.Textbox) and not _is_file(name)


def _presence(file: Any) -> Any:
    """A hidden box that is ticked while there is a picture, so that the picture itself need not be sent."""
    box = gr.Checkbox(False, visible=False)
    file.change(fn=None, _js="(file) => Boolean(file)", inputs=[file], outputs=[box])
    return box


def _titled(title: str, ours: Mapping[str, Any]) -> str:
    """The title of a part, with the labels of the fields in it that are not as in a new panel."""
    members = {name: field for name, field in VideoParams.table().items() if field.group == title}
    changed = [field.label for name, field in members.items() if _is_changed(name, field, ours[name])]
    if not changed:
        return title
    more = f" and {len(changed) - _MOST_NAMED} more" if len(changed) > _MOST_NAMED else ""
    return f"{title}: {', '.join(changed[:_MOST_NAMED])}{more}"


def _is_changed(name: str, field: Field, value: Any) -> bool:
    if field.kind in _FILES:
        return bool(value)
    try:
        return bool(read_value(name, field, value) != VideoParams.default_of(name))
    except SaidError:
        return True


def _left_out(left_out: str, ours: Mapping[str, Any]) -> Sequence[str]:
    """What is to be said of values that were pasted and are not allowed."""
    table = VideoParams.table()
    return list(sentences(left_out, {name: _is_changed(name, table[name], value) for name, value in ours.items()}))


def _hint(
    ours: Mapping[str, Any],
    of_host: Mapping[str, Any],
    left_out: Sequence[str],
    elem_ids: Mapping[str, str],
    tab: str,
) -> str:
    travel = ""
    try:
        params = VideoParams.from_json({name: _as_read(name, value) for name, value in ours.items()})
        facts = facts_of_page(tab, params, of_host)
        clip = described_clip(params, facts.width, facts.height) if params.enable else None
        before = clip.frames if clip is not None else 0
        facts = dataclasses.replace(facts, before=before)
        source = described(with_old_frames(params, before)) if params.enable else None
        facts = _limited(_with_start(facts, source), source)
        if params.enable:
            run_to_resume(params, facts)
            travel = timelines(facts.read, frames_of(params, facts)[0] or params.batch_size)
        request = Request.of(params, facts, source, clip).at_rate_of_source()
        planned, said = _planned(request, tab) if params.enable else ("", [])
        said = [*said, *_of_source(source, tab)]
    except SaidError as error:
        return _as_html("", [error.whole, *left_out], {}, elem_ids, travel, refused=True)
    idle = idle_fields(params, request.frames or None, facts.each_has_picture)
    return _as_html(planned, [*left_out, *request.messages, *said], idle, elem_ids, travel)


def _as_read(name: str, value: Any) -> Any:
    """A field's value; a picture's place is only known to be taken."""
    if VideoParams.table()[name].kind == "image":
        return "a picture" if value else None
    return value


def _limited(facts: Facts, source: Source | None) -> Facts:
    """The facts with the number of frames of the source, as far as its header or the folder tells."""
    if source is None or not source.expected:
        return facts
    return dataclasses.replace(facts, limits={source.name: source.expected}, source_is_unread=False)


def _with_start(facts: Facts, source: Source | None) -> Facts:
    """The facts with what img2img is known to start from: ControlNet would take the frames if a unit were enabled."""
    starts = facts.tab == "img2img" and (facts.lacks_picture or not _has_controlnet(facts.tab))
    if source is None or not source.has_frames or not starts:
        return facts
    return dataclasses.replace(facts, starts_from=source.name)


def _of_source(source: Source | None, tab: str) -> Iterator[str]:
    """Who takes the frames of a video; what the person has set in ControlNet's panel nobody here knows.

    Raises:
        ParamError: ControlNet would, but is not there.
    """
    if source is None or not source.has_frames:
        return
    name = mention(source.name)
    unit = "enable one of its units, and give it no picture of its own"
    if tab == "img2img":
        instead = f"; for ControlNet to take them instead, {unit}" if _has_controlnet(tab) else ""
        yield f"Each frame starts from that of {name}, as far as the denoising strength leaves it{instead}."
    elif _has_controlnet(tab):
        yield f"The frames of {name} go to ControlNet: {unit}."
    else:
        raise without_controlnet(source.name)


def _has_controlnet(tab: str) -> bool:
    of_tab = {"txt2img": scripts.scripts_txt2img, "img2img": scripts.scripts_img2img}
    return script_among(of_tab[tab], "controlnet") is not None


def _planned(request: Request, tab: str) -> tuple[str, Sequence[str]]:
    """The plan in one line, and what else is to be said of it.

    Raises:
        UserError: there is no such plan.
    """
    interpolation.check_possible(request.params)
    plan = Plan.foreseen(request, base_of_run())
    return summary(plan, foreseen(amount_of(request, request.facts.batch_count)), _folder(tab)), plan.messages


def _folder(tab: str) -> str:
    """Where the videos of a tab will be."""
    return as_people_see_it(folder_below(shared.opts.outdir_samples or getattr(shared.opts, f"outdir_{tab}_samples")))


def _as_html(
    planned: str,
    sentences: Sequence[str],
    idle: Mapping[str, str],
    elem_ids: Mapping[str, str],
    travel: str = "",
    refused: bool = False,
) -> str:
    """For the page's scripts the element carries what numbers may be, the fields' tooltips, and what is dimmed."""
    worded, table = VideoParams.worded_for_page, VideoParams.table()
    text = "<br>".join(html.escape(worded(sentence)) for sentence in sentences)
    plan = f'<div class="animatediff-plan">{html.escape(worded(planned))}</div>' if planned else ""
    numbers = {name: range_text(of) for name, of in table.items() if of.kind in ("int", "number")}
    of_fields = {
        "ranges": numbers,
        "tooltips": {name: of.more for name, of in table.items() if of.more},
        "idle": {name: worded(f"No effect: {why}.") for name, why in idle.items()},
    }
    carried = {
        what: {elem_ids[name]: said for name, said in of.items() if name in elem_ids} for what, of in of_fields.items()
    }
    kind = "animatediff-hint animatediff-refused" if refused else "animatediff-hint"
    data = " ".join(f'data-{name}="{html.escape(json.dumps(value))}"' for name, value in carried.items())
    return f'<div class="{kind}" {data}>{plan}{text}{travel}</div>'

"""Components that extensions use in their panels, besides gradio's own."""

import itertools
from types import TracebackType
from typing import Any

import gradio as gr


class FormComponent:
    """Makes a component fit inside gradio's forms, without a border of its own."""

    def get_expected_parent(self) -> type[gr.components.Form]:
        """The block that gradio puts around it."""
        return gr.components.Form


gr.Dropdown.get_expected_parent = FormComponent.get_expected_parent


class ToolButton(FormComponent, gr.Button):
    """A small button with one sign on it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, elem_classes=["tool", *kwargs.pop("elem_classes", [])], **kwargs)

    def get_block_name(self) -> str:
        """The name of gradio's component for it."""
        return "button"


class ResizeHandleRow(gr.Row):
    """A row of two columns with a handle between them."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.elem_classes.append("resize-handle-row")

    def get_block_name(self) -> str:
        """The name of gradio's component for it."""
        return "row"


class FormRow(FormComponent, gr.Row):
    """A row for forms."""

    def get_block_name(self) -> str:
        """The name of gradio's component for it."""
        return "row"


class FormColumn(FormComponent, gr.Column):
    """A column for forms."""

    def get_block_name(self) -> str:
        """The name of gradio's component for it."""
        return "column"


class FormGroup(FormComponent, gr.Group):
    """A group for forms."""

    def get_block_name(self) -> str:
        """The name of gradio's component for it."""
        return "group"


class FormHTML(FormComponent, gr.HTML):
    """HTML for forms."""

    def get_block_name(self) -> str:
        """The name of gradio's component for it."""
        return "html"


class FormColorPicker(FormComponent, gr.ColorPicker):
    """A colour picker for forms."""

    def get_block_name(self) -> str:
        """The name of gradio's component for it."""
        return "colorpicker"


class DropdownMulti(FormComponent, gr.Dropdown):
    """A dropdown from which several things can be chosen."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(multiselect=True, **kwargs)

    def get_block_name(self) -> str:
        """The name of gradio's component for it."""
        return "dropdown"


class DropdownEditable(FormComponent, gr.Dropdown):
    """A dropdown into which something else can be typed."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(allow_custom_value=True, **kwargs)

    def get_block_name(self) -> str:
        """The name of gradio's component for it."""
        return "dropdown"


class InputAccordion(gr.Checkbox):
    """An accordion with a value: True when it is open.

    It is a hidden checkbox beside a real accordion; javascript/page.js keeps the two equal.
    """

    _numbers = itertools.count()

    def __init__(self, value: bool, **kwargs: Any) -> None:
        self.accordion_id = kwargs.get("elem_id") or f"input-accordion-{next(self._numbers)}"
        super().__init__(value, **{**kwargs, "elem_id": f"{self.accordion_id}-checkbox", "visible": False})
        script = f'function(checked){{ inputAccordionChecked("{self.accordion_id}", checked); }}'
        self.change(fn=None, _js=script, inputs=[self])
        shown = {
            "label": "Accordion",
            **kwargs,
            "elem_id": self.accordion_id,
            "elem_classes": ["input-accordion"],
            "open": value,
        }
        self.accordion = gr.Accordion(**shown)

    def extra(self) -> gr.Column:
        """A place in the accordion's head, to be used as `with accordion.extra(): ...`."""
        return gr.Column(elem_id=f"{self.accordion_id}-extra", elem_classes="input-accordion-extra", min_width=0)

    def __enter__(self) -> "InputAccordion":
        self.accordion.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        self.accordion.__exit__(kind, error, traceback)

    def get_block_name(self) -> str:
        """The name of gradio's component for it."""
        return "checkbox"

"""The settings: what options there are, their values, and reading and writing them as JSON."""

import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import gradio as gr

from modules import errors
from modules.shared_cmd_options import cmd_opts

Section = tuple[str | None, str]


class OptionInfo:
    """One option: its default and how the Settings page shows it. The methods return self, to be chained."""

    def __init__(
        self,
        default: Any = None,
        label: str = "",
        component: Callable[..., Any] | None = None,
        component_args: Mapping[str, Any] | Callable[[], Mapping[str, Any]] | None = None,
        onchange: Callable[[], object] | None = None,
        section: Section | None = None,
        refresh: Callable[[], object] | None = None,
        comment_before: str = "",
        comment_after: str = "",
        infotext: str | None = None,
        restrict_api: bool = False,
        category_id: str | None = None,
    ) -> None:
        self.default = default
        self.label = label
        self.component = component
        self.component_args = component_args
        self.onchange = onchange
        self.section = section
        self.category_id = category_id
        self.refresh = refresh
        self.do_not_save = False
        self.comment_before = comment_before
        self.comment_after = comment_after
        self.infotext = infotext
        self.restrict_api = restrict_api

    def link(self, label: str, url: str) -> "OptionInfo":
        """Put a link after the label."""
        self.comment_before += f"[<a href='{url}' target='_blank'>{label}</a>]"
        return self

    def js(self, label: str, js_func: str) -> "OptionInfo":
        """Put a link that runs a JavaScript function after the label."""
        self.comment_before += f"[<a onclick='{js_func}(); return false'>{label}</a>]"
        return self

    def info(self, info: str) -> "OptionInfo":
        """Put an explanation in brackets after the label."""
        return self.html(f"<span class='info'>({info})</span>")

    def html(self, html: str) -> "OptionInfo":
        """Put HTML after the label."""
        self.comment_after += html
        return self

    def needs_restart(self) -> "OptionInfo":
        """Say that a change takes effect after a restart."""
        return self.html(" <span class='info'>(requires restart)</span>")

    def needs_reload_ui(self) -> "OptionInfo":
        """Say that a change takes effect when the page is loaded again."""
        return self.html(" <span class='info'>(requires Reload UI)</span>")


class OptionHTML(OptionInfo):
    """A piece of text among the options; it has no value."""

    def __init__(self, text: str) -> None:
        super().__init__(str(text).strip(), component=lambda **kwargs: gr.HTML(elem_classes="settings-info", **kwargs))
        self.do_not_save = True


def options_section(section_identifier: tuple[Any, ...], options_dict: dict[str, OptionInfo]) -> dict[str, OptionInfo]:
    """Give all options of the dict one section: `(id, title)` or `(id, title, category id)`."""
    for info in options_dict.values():
        info.section = (section_identifier[0], section_identifier[1])
        if len(section_identifier) == 3:
            info.category_id = section_identifier[2]
    return options_dict


@dataclass
class OptionsCategory:
    """A heading over several sections."""

    id: str
    label: str


class OptionsCategories:
    """The headings, in the order in which they were registered."""

    def __init__(self) -> None:
        self.mapping: dict[str, OptionsCategory] = {}

    def register_category(self, category_id: str, label: str) -> str:
        """Add a heading unless there is one with this id; returns the id."""
        self.mapping.setdefault(category_id, OptionsCategory(category_id, label))
        return category_id


categories = OptionsCategories()


class Options:
    """The options' values as attributes: `opts.name` reads, `opts.name = value` writes.

    An option that was never set has its default; a name that is no option is an ordinary attribute.
    """

    _own = frozenset({"data_labels", "data", "restricted_opts", "typemap"})
    typemap: dict[type, type] = {int: float}

    def __init__(self, data_labels: dict[str, OptionInfo], restricted_opts: set[str]) -> None:
        self.data_labels = data_labels
        self.restricted_opts = restricted_opts
        self.data: dict[str, Any] = self.defaults()

    def __setattr__(self, key: str, value: Any) -> None:
        if key in self._own or (key not in self.data and key not in self.data_labels):
            super().__setattr__(key, value)
        elif cmd_opts.freeze_settings:
            raise RuntimeError(f"changing settings is disabled, so {key!r} stays as it is")
        elif self.is_hidden(key):
            raise RuntimeError(f"not possible to set {key!r}: the Settings page does not show it")
        elif key not in self.data_labels or not self.data_labels[key].do_not_save:
            self.data[key] = value

    def is_hidden(self, key: str) -> bool:
        """Whether nobody may change the option: the page hides it, or `--hide-ui-dir-config` guards it."""
        info = self.data_labels.get(key)
        shown = info.component_args if info is not None else None
        if isinstance(shown, Mapping) and shown.get("visible", True) is False:
            return True
        return cmd_opts.hide_ui_dir_config and key in self.restricted_opts

    def __getattr__(self, item: str) -> Any:
        if item not in self._own:
            if item in self.data:
                return self.data[item]
            if item in self.data_labels:
                return self.data_labels[item].default
        raise AttributeError(f"there is no option {item!r}")

    def defaults(self) -> dict[str, Any]:
        """The default of every option that has a value."""
        return {key: info.default for key, info in self.data_labels.items() if not info.do_not_save}

    def set(self, key: str, value: Any, is_api: bool = False, run_callbacks: bool = True) -> bool:
        """Set an option and run its `onchange`; a failing `onchange` puts the old value back.

        Returns:
            Whether the option changed.

        Raises:
            KeyError: there is no such option.
        """
        old = self.data.get(key)
        if old == value:
            return False
        info = self.data_labels[key]
        if info.do_not_save or (is_api and info.restrict_api) or (self.is_hidden(key) and not cmd_opts.freeze_settings):
            return False
        setattr(self, key, value)
        return not run_callbacks or info.onchange is None or self._announced(key, info.onchange, old)

    def _announced(self, key: str, onchange: Callable[[], object], old: Any) -> bool:
        done = False
        with errors.swallowed(f"changing setting {key} to {self.data[key]}"):
            onchange()
            done = True
        if not done:
            setattr(self, key, old)
        return done

    def get_default(self, key: str) -> Any:
        """The option's default; None if there is no such option."""
        info = self.data_labels.get(key)
        return None if info is None else info.default

    def save(self, filename: str) -> None:
        """Write all values to a JSON file."""
        with open(filename, "w", encoding="utf8") as file:
            json.dump(self.data, file, indent=4, ensure_ascii=False)

    def load(self, filename: str) -> None:
        """Read the values from a JSON file; what is not in it, or all if there is none, gets its default."""
        read: dict[str, Any] = {}
        if os.path.exists(filename):
            with open(filename, encoding="utf8") as file:
                read = json.load(file)
        self.data = {**self.defaults(), **read}
        for key, value in read.items():
            info = self.data_labels.get(key)
            if info is not None and not self.same_type(info.default, value):
                expected, got = type(info.default).__name__, type(value).__name__
                print(f"Warning: bad setting value: {key}: {value} ({got}; expected {expected})", file=sys.stderr)

    def same_type(self, x: Any, y: Any) -> bool:
        """Whether two values have the same type, where int counts as float and None as anything."""
        if x is None or y is None:
            return True
        return self.typemap.get(type(x), type(x)) == self.typemap.get(type(y), type(y))

    def onchange(self, key: str, func: Callable[[], object], call: bool = True) -> None:
        """Have `func` called when the option changes, and (if `call`) once now."""
        self.data_labels[key].onchange = func
        if call:
            func()

    def add_option(self, key: str, info: OptionInfo) -> None:
        """Add an option; a value read from the settings file before is kept."""
        self.data_labels[key] = info
        if key not in self.data and not info.do_not_save:
            self.data[key] = info.default

    def dumpjson(self) -> str:
        """All values, the comments beside labels and the sections' headings, for the page's JavaScript."""
        labels = self.data_labels
        shown: dict[str, Any] = {key: self.data.get(key, info.default) for key, info in labels.items()}
        shown["_comments_before"] = {key: info.comment_before for key, info in labels.items() if info.comment_before}
        shown["_comments_after"] = {key: info.comment_after for key, info in labels.items() if info.comment_after}
        shown["_categories"] = [*self._headings(), ["Defaults", "Other"]]
        return json.dumps(shown)

    def _headings(self) -> list[list[str]]:
        first_section: dict[str, str] = {}
        for info in self.data_labels.values():
            if info.section is not None and info.section[0] is not None:
                category = categories.mapping.get(info.category_id or "")
                first_section.setdefault(category.label if category else "Uncategorized", info.section[1])
        return [[section, heading] for heading, section in first_section.items()]

    def reorder(self) -> None:
        """Put options of one section together and sections of one category together, sections by title."""
        category_of: dict[Section | None, str | None] = {}
        for info in self.data_labels.values():
            info.category_id = category_of.setdefault(info.section, info.category_id)
        rank = {category_id: place for place, category_id in enumerate(categories.mapping)}

        def place(item: tuple[str, OptionInfo]) -> tuple[int, str]:
            info = item[1]
            return rank.get(info.category_id or "", len(rank)), info.section[1] if info.section else ""

        self.data_labels = dict(sorted(self.data_labels.items(), key=place))

    def cast_value(self, key: str, value: Any) -> Any:
        """The value, perhaps a string from an infotext, turned into the option's own type."""
        default = self.data_labels[key].default
        default = getattr(self, key, None) if default is None else default
        if value is None or default is None:
            return None
        if isinstance(default, bool) and value == "False":
            return False
        return type(default)(value)

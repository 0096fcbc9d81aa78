"""Callbacks: functions that extensions leave with the host to be called at certain points.

`on_NAME(callback)` registers; the host calls `NAME_callback(...)`. What a callback raises is printed and swallowed.
"""

import inspect
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI

from modules import errors, extensions, shared, timer, util


@dataclass
class ImageSaveParams:
    """A picture about to be saved; `pnginfo["parameters"]` is its infotext. `p` may be None."""

    image: Any
    p: Any
    filename: str
    pnginfo: dict[str, Any]


@dataclass
class ExtraNoiseParams:
    """Noise about to be added in img2img or hires fix: `(b, 4, h, w)` each; `xi` is `x` with noise."""

    noise: Any
    x: Any
    xi: Any


@dataclass
class CFGDenoiserParams:
    """The denoiser's inputs before one model call; a callback may replace x, the conds and sigma."""

    x: Any
    image_cond: Any
    sigma: Any
    sampling_step: int
    total_sampling_steps: int
    text_cond: Any
    text_uncond: Any
    denoiser: Any = None


@dataclass
class CFGDenoisedParams:
    """The model's output of one denoiser call, before guidance: `x` has the rows of the call."""

    x: Any
    sampling_step: int
    total_sampling_steps: int
    inner_model: Any


@dataclass
class AfterCFGCallbackParams:
    """The denoised latents after guidance; a callback may replace `x`."""

    x: Any
    sampling_step: int
    total_sampling_steps: int


@dataclass
class UiTrainTabParams:
    """Inputs of the txt2img tab, for a training tab's preview."""

    txt2img_preview_params: Any


@dataclass
class ImageGridLoopParams:
    """The pictures of a grid about to be made; all three may be changed."""

    imgs: list[Any]
    cols: int
    rows: int


@dataclass
class BeforeTokenCounterParams:
    """The prompt whose tokens are about to be counted."""

    prompt: str
    steps: int
    styles: list[str]
    is_positive: bool = True


@dataclass
class ScriptCallback:
    """A registered callback; `script` is the file that registered it."""

    script: str
    callback: Any
    name: str = "unnamed"


CATEGORIES = (
    "app_started",
    "model_loaded",
    "ui_tabs",
    "ui_train_tabs",
    "ui_settings",
    "before_image_saved",
    "image_saved",
    "extra_noise",
    "cfg_denoiser",
    "cfg_denoised",
    "cfg_after_cfg",
    "before_component",
    "after_component",
    "image_grid",
    "infotext_pasted",
    "script_unloaded",
    "before_ui",
    "on_reload",
    "list_optimizers",
    "list_unets",
    "before_token_counter",
)

callback_map: dict[str, list[ScriptCallback]] = {f"callbacks_{category}": [] for category in CATEGORIES}
ordered_callbacks_map: dict[str, list[ScriptCallback]] = {}


def _calling_file() -> str:
    outside = (frame.filename for frame in inspect.stack(0) if frame.filename != __file__)
    return next(outside, "unknown file")


def add_callback(
    callbacks: list[ScriptCallback],
    fun: Any,
    *,
    name: str | None = None,
    category: str = "unknown",
    filename: str | None = None,
) -> None:
    """Append a callback under a name that is unique in the list: `extension/file/category[/name][-number]`."""
    filename = filename or _calling_file()
    extension = extensions.find_extension(filename)
    owner = extension.canonical_name if extension else "base"
    base = "/".join(part for part in (owner, os.path.basename(filename), category, name) if part)
    taken = {callback.name for callback in callbacks}
    unique, number = base, 0
    while unique in taken:
        number += 1
        unique = f"{base}-{number}"
    callbacks.append(ScriptCallback(filename, fun, unique))


def sort_callbacks(
    category: str, unordered_callbacks: list[ScriptCallback], *, enable_user_sort: bool = True
) -> list[ScriptCallback]:
    """The callbacks in the order that extensions' metadata ask for, then those the user prefers first."""
    by_name = {callback.name: callback for callback in unordered_callbacks}
    earlier: dict[str, list[str]] = {name: [] for name in by_name}
    for extension in extensions.extensions:
        for wish in extension.metadata.list_callback_order_instructions():
            if wish.name in by_name:
                earlier[wish.name] += [name for name in wish.after if name in by_name]
                for name in wish.before:
                    if name in by_name:
                        earlier[name].append(wish.name)
    names = util.topological_sort(earlier)
    if enable_user_sort:
        preferred = getattr(shared.opts, f"prioritized_callbacks_{category}", [])
        names.sort(key=lambda name: preferred.index(name) if name in preferred else len(preferred))
    return [by_name[name] for name in names]


def ordered_callbacks(
    category: str, unordered_callbacks: list[ScriptCallback] | None = None, *, enable_user_sort: bool = True
) -> list[ScriptCallback]:
    """The callbacks of a category in the order in which they run (remembered until their number changes)."""
    if unordered_callbacks is None:
        unordered_callbacks = callback_map.get(f"callbacks_{category}", [])
    if not enable_user_sort:
        return sort_callbacks(category, unordered_callbacks, enable_user_sort=False)
    known = ordered_callbacks_map.get(category)
    if known is None or len(known) != len(unordered_callbacks):
        known = ordered_callbacks_map[category] = sort_callbacks(category, unordered_callbacks)
    return known


def enumerate_callbacks() -> Iterator[tuple[str, list[ScriptCallback]]]:
    """Each category with its callbacks."""
    for category, callbacks in callback_map.items():
        yield category.removeprefix("callbacks_"), callbacks


def clear_callbacks() -> None:
    """Forget all callbacks, as before scripts are loaded again."""
    for callbacks in callback_map.values():
        callbacks.clear()
    ordered_callbacks_map.clear()


def _remove(unwanted: Callable[[ScriptCallback], bool]) -> None:
    for callbacks in [*callback_map.values(), *ordered_callbacks_map.values()]:
        callbacks[:] = [callback for callback in callbacks if not unwanted(callback)]


def remove_current_script_callbacks() -> None:
    """Remove every callback that the calling file registered."""
    filename = _calling_file()
    _remove(lambda callback: callback.script == filename)


def remove_callbacks_for_function(callback_func: Any) -> None:
    """Remove this function wherever it is registered."""
    _remove(lambda callback: callback.callback == callback_func)


def _call(category: str, *args: Any, backwards: bool = False, **kwargs: Any) -> list[Any]:
    """Call every callback of a category and return what those returned that did not fail."""
    callbacks = list(ordered_callbacks(category))
    results = []
    for callback in reversed(callbacks) if backwards else callbacks:
        with errors.swallowed(f"Error executing callback {category} for {callback.script}"):
            results.append(callback.callback(*args, **kwargs))
    return results


def app_started_callback(demo: Any, app: FastAPI) -> None:
    """The server runs; `demo` is the gradio Blocks, or None without a UI."""
    _call("app_started", demo, app)
    timer.startup_timer.record("app_started_callback")


def app_reload_callback() -> None:
    """The server is about to be started again."""
    _call("on_reload")


def model_loaded_callback(sd_model: Any) -> None:
    """A checkpoint was loaded."""
    _call("model_loaded", sd_model)


def ui_tabs_callback() -> list[tuple[Any, str, str]]:
    """The extensions' own tabs: `(blocks, title, elem_id)`."""
    return [tab for tabs in _call("ui_tabs") for tab in tabs or []]


def ui_train_tabs_callback(params: UiTrainTabParams) -> None:
    """The training tab is being made."""
    _call("ui_train_tabs", params)


def ui_settings_callback() -> None:
    """Extensions add their options now."""
    _call("ui_settings")


def before_image_saved_callback(params: ImageSaveParams) -> None:
    """A picture is about to be saved."""
    _call("before_image_saved", params)


def image_saved_callback(params: ImageSaveParams) -> None:
    """A picture was saved."""
    _call("image_saved", params)


def extra_noise_callback(params: ExtraNoiseParams) -> None:
    """Extra noise is about to be added."""
    _call("extra_noise", params)


def cfg_denoiser_callback(params: CFGDenoiserParams) -> None:
    """The denoiser is about to call the model."""
    _call("cfg_denoiser", params)


def cfg_denoised_callback(params: CFGDenoisedParams) -> None:
    """The denoiser has the model's answer."""
    _call("cfg_denoised", params)


def cfg_after_cfg_callback(params: AfterCFGCallbackParams) -> None:
    """The denoiser has applied guidance."""
    _call("cfg_after_cfg", params)


def before_component_callback(component: Any, **kwargs: Any) -> None:
    """A gradio component is being made."""
    _call("before_component", component, **kwargs)


def after_component_callback(component: Any, **kwargs: Any) -> None:
    """A gradio component was made."""
    _call("after_component", component, **kwargs)


def image_grid_callback(params: ImageGridLoopParams) -> None:
    """A grid is about to be made."""
    _call("image_grid", params)


def infotext_pasted_callback(infotext: str, params: dict[str, Any]) -> None:
    """An infotext was parsed into `params`, which may be changed."""
    _call("infotext_pasted", infotext, params)


def script_unloaded_callback() -> None:
    """Scripts are about to be unloaded; the last registered is called first."""
    _call("script_unloaded", backwards=True)


def before_ui_callback() -> None:
    """The UI is about to be made; the last registered is called first."""
    _call("before_ui", backwards=True)


def list_optimizers_callback() -> list[Any]:
    """The attention optimisations that extensions bring."""
    found: list[Any] = []
    _call("list_optimizers", found)
    return found


def list_unets_callback() -> list[Any]:
    """The UNets that extensions bring."""
    found: list[Any] = []
    _call("list_unets", found)
    return found


def before_token_counter_callback(params: BeforeTokenCounterParams) -> None:
    """The tokens of a prompt are about to be counted."""
    _call("before_token_counter", params)


Register = Callable[..., None]


def _registrar(category: str, doc: str) -> Register:
    def register(callback: Callable[..., Any], *, name: str | None = None) -> None:
        add_callback(callback_map[f"callbacks_{category}"], callback, name=name, category=category)

    register.__doc__ = doc
    return register


on_app_started = _registrar("app_started", "Call `f(demo, app)` when the server runs.")
on_before_reload = _registrar("on_reload", "Call `f()` before the server is started again.")
on_model_loaded = _registrar("model_loaded", "Call `f(sd_model)` when a checkpoint was loaded.")
on_ui_tabs = _registrar("ui_tabs", "Call `f()` for a list of `(blocks, title, elem_id)`, or None.")
on_ui_train_tabs = _registrar("ui_train_tabs", "Call `f(UiTrainTabParams)` when the training tab is made.")
on_ui_settings = _registrar("ui_settings", "Call `f()` when options may be added.")
on_before_image_saved = _registrar("before_image_saved", "Call `f(ImageSaveParams)` before a picture is saved.")
on_image_saved = _registrar("image_saved", "Call `f(ImageSaveParams)` after a picture was saved.")
on_extra_noise = _registrar("extra_noise", "Call `f(ExtraNoiseParams)` before extra noise is added.")
on_cfg_denoiser = _registrar("cfg_denoiser", "Call `f(CFGDenoiserParams)` before each model call.")
on_cfg_denoised = _registrar("cfg_denoised", "Call `f(CFGDenoisedParams)` after each model call.")
on_cfg_after_cfg = _registrar("cfg_after_cfg", "Call `f(AfterCFGCallbackParams)` after guidance.")
on_before_component = _registrar("before_component", "Call `f(component, **kwargs)` before a component is made.")
on_after_component = _registrar("after_component", "Call `f(component, **kwargs)` after a component was made.")
on_image_grid = _registrar("image_grid", "Call `f(ImageGridLoopParams)` before a grid is made.")
on_infotext_pasted = _registrar("infotext_pasted", "Call `f(infotext, params)` when an infotext was parsed.")
on_script_unloaded = _registrar("script_unloaded", "Call `f()` before scripts are unloaded.")
on_before_ui = _registrar("before_ui", "Call `f()` before the UI is made.")
on_list_optimizers = _registrar("list_optimizers", "Call `f(list)` to add attention optimisations.")
on_list_unets = _registrar("list_unets", "Call `f(list)` to add UNets.")
on_before_token_counter = _registrar("before_token_counter", "Call `f(BeforeTokenCounterParams)` before counting.")

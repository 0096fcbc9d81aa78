"""The scripts of one tab: made, shown, and called at every hook. What a hook raises is printed and swallowed."""

from typing import Any

from modules import errors, script_callbacks, shared
from modules.script_base import (
    AlwaysVisible,
    ComponentCallback,
    MaskBlendArgs,
    OnComponent,
    PostprocessBatchListArgs,
    PostprocessImageArgs,
    PostProcessMaskOverlayArgs,
    PostSampleArgs,
    Script,
)
from modules.script_ui import ScriptPanels

COMPONENT_HOOKS = ("before_component", "after_component")


class ScriptRunner(ScriptPanels):
    """All scripts of a tab; `scripts` has always-on and selectable ones in the order they were loaded in."""

    callback_names = (
        "before_process",
        "process",
        "before_process_batch",
        "after_extra_networks_activate",
        "process_batch",
        "postprocess",
        "postprocess_batch",
        "postprocess_batch_list",
        "post_sample",
        "on_mask_blend",
        "postprocess_image",
        "postprocess_maskoverlay",
        "postprocess_image_after_composite",
        "before_component",
        "after_component",
    )

    def __init__(self) -> None:
        super().__init__()
        self.callback_map: dict[str, tuple[int, list[script_callbacks.ScriptCallback]]] = {}
        self.on_before_component_elem_id: dict[str, list[tuple[ComponentCallback, Script]]] = {}
        self.on_after_component_elem_id: dict[str, list[tuple[ComponentCallback, Script]]] = {}

    def initialize_scripts(self, is_img2img: bool) -> None:
        """Make an object of every loaded script class that wants to be in this tab."""
        from modules import scripts  # which imports this module

        self.__init__()  # type: ignore[misc]
        for data in scripts.scripts_data:
            with errors.swallowed(f"Error # failed to initialize Script {data.module}: "):
                self._take(data.script_class(), data.path, is_img2img)
        self.apply_on_before_component_callbacks()

    def _take(self, script: Script, path: str, is_img2img: bool) -> None:
        script.filename = path
        script.is_txt2img = not is_img2img
        script.is_img2img = is_img2img
        script.tabname = "img2img" if is_img2img else "txt2img"
        visibility = script.show(is_img2img)
        script.alwayson = visibility is AlwaysVisible
        if visibility:
            self.scripts.append(script)
            (self.alwayson_scripts if script.alwayson else self.selectable_scripts).append(script)

    def apply_on_before_component_callbacks(self) -> None:
        """Take over the component callbacks that scripts have asked for since the last time."""
        for script in self.scripts:
            for wanted, mine in (
                (script.on_before_component_elem_id, self.on_before_component_elem_id),
                (script.on_after_component_elem_id, self.on_after_component_elem_id),
            ):
                for elem_id, callback in wanted or []:
                    mine.setdefault(elem_id, []).append((callback, script))
                if wanted:
                    wanted.clear()

    def list_scripts_for_method(self, method_name: str) -> list[Script]:
        """Component hooks go to all scripts, the others to those that are always on."""
        return self.scripts if method_name in COMPONENT_HOOKS else self.alwayson_scripts

    def create_ordered_callbacks_list(
        self, method_name: str, *, enable_user_sort: bool = True
    ) -> list[script_callbacks.ScriptCallback]:
        """The scripts that have a hook of their own, in the order that metadata and settings ask for."""
        category = f"script_{method_name}"
        callbacks: list[script_callbacks.ScriptCallback] = []
        for script in self.list_scripts_for_method(method_name):
            if getattr(type(script), method_name, None) is not getattr(Script, method_name, None):
                name = type(script).__name__
                script_callbacks.add_callback(callbacks, script, category=category, name=name, filename=script.filename)
        return script_callbacks.sort_callbacks(category, callbacks, enable_user_sort=enable_user_sort)

    def ordered_callbacks(
        self, method_name: str, *, enable_user_sort: bool = True
    ) -> list[script_callbacks.ScriptCallback]:
        """The same list, remembered until the number of scripts changes."""
        count = len(self.list_scripts_for_method(method_name))
        known = self.callback_map.get(method_name)
        if known is None or known[0] != count:
            made = self.create_ordered_callbacks_list(method_name, enable_user_sort=enable_user_sort)
            known = self.callback_map[method_name] = (count, made)
        return known[1]

    def ordered_scripts(self, method_name: str) -> list[Script]:
        """The scripts that have this hook, in the order in which they are called."""
        return [callback.callback for callback in self.ordered_callbacks(method_name)]

    def _call(self, hook: str, p: Any, *objects: Any, **kwargs: Any) -> None:
        """Call a hook of all scripts with `p`, the hook's own objects, then the script's arguments."""
        for script in self.ordered_scripts(hook):
            with errors.swallowed(f"Error running {hook}: {script.filename}"):
                script_args = p.script_args[script.args_from : script.args_to]
                getattr(script, hook)(p, *objects, *script_args, **kwargs)

    def setup_scrips(self, p: Any, *, is_ui: bool = True) -> None:
        """`p` is made. (The name is WebUI's.)"""
        for script in self.ordered_scripts("setup"):
            if is_ui or not script.setup_for_ui_only:
                with errors.swallowed(f"Error running setup: {script.filename}"):
                    script.setup(p, *p.script_args[script.args_from : script.args_to])

    def before_process(self, p: Any) -> None:
        """Call the hook of all scripts."""
        self._call("before_process", p)

    def process(self, p: Any) -> None:
        """Call the hook of all scripts."""
        self._call("process", p)

    def process_before_every_sampling(self, p: Any, **kwargs: Any) -> None:
        """Call the hook of all scripts."""
        self._call("process_before_every_sampling", p, **kwargs)

    def before_process_batch(self, p: Any, **kwargs: Any) -> None:
        """Call the hook of all scripts."""
        self._call("before_process_batch", p, **kwargs)

    def after_extra_networks_activate(self, p: Any, **kwargs: Any) -> None:
        """Call the hook of all scripts."""
        self._call("after_extra_networks_activate", p, **kwargs)

    def process_batch(self, p: Any, **kwargs: Any) -> None:
        """Call the hook of all scripts."""
        self._call("process_batch", p, **kwargs)

    def postprocess(self, p: Any, processed: Any) -> None:
        """Call the hook of all scripts."""
        self._call("postprocess", p, processed)

    def postprocess_batch(self, p: Any, images: Any, **kwargs: Any) -> None:
        """Call the hook of all scripts."""
        self._call("postprocess_batch", p, images=images, **kwargs)

    def postprocess_batch_list(self, p: Any, pp: PostprocessBatchListArgs, **kwargs: Any) -> None:
        """Call the hook of all scripts."""
        self._call("postprocess_batch_list", p, pp, **kwargs)

    def post_sample(self, p: Any, ps: PostSampleArgs) -> None:
        """Call the hook of all scripts."""
        self._call("post_sample", p, ps)

    def on_mask_blend(self, p: Any, mba: MaskBlendArgs) -> None:
        """Call the hook of all scripts."""
        self._call("on_mask_blend", p, mba)

    def postprocess_image(self, p: Any, pp: PostprocessImageArgs) -> None:
        """Call the hook of all scripts."""
        self._call("postprocess_image", p, pp)

    def postprocess_maskoverlay(self, p: Any, ppmo: PostProcessMaskOverlayArgs) -> None:
        """Call the hook of all scripts."""
        self._call("postprocess_maskoverlay", p, ppmo)

    def postprocess_image_after_composite(self, p: Any, pp: PostprocessImageArgs) -> None:
        """Call the hook of all scripts."""
        self._call("postprocess_image_after_composite", p, pp)

    def before_hr(self, p: Any) -> None:
        """Call the hook of all scripts."""
        self._call("before_hr", p)

    def _component(
        self,
        hook: str,
        elem_id: str | None,
        asked: dict[str, list[tuple[ComponentCallback, Script]]],
        component: Any,
        kwargs: dict[str, Any],
    ) -> None:
        for callback, script in asked.get(elem_id or "", []):
            with errors.swallowed(f"Error running on_{hook}: {script.filename}"):
                callback(OnComponent(component=component))
        for script in self.ordered_scripts(hook):
            with errors.swallowed(f"Error running {hook}: {script.filename}"):
                getattr(script, hook)(component, **kwargs)

    def before_component(self, component: Any, **kwargs: Any) -> None:
        """A component is about to be made."""
        asked = self.on_before_component_elem_id
        self._component("before_component", kwargs.get("elem_id"), asked, component, kwargs)

    def after_component(self, component: Any, **kwargs: Any) -> None:
        """A component was made."""
        asked = self.on_after_component_elem_id
        self._component("after_component", getattr(component, "elem_id", None), asked, component, kwargs)

    def run(self, p: Any, *args: Any) -> Any:
        """Run the script chosen in the dropdown (`args[0]`: 0 or None = none).

        Returns:
            The script's `Processed`; None if none is chosen or it leaves the work to the host.
        """
        if not args[0]:
            return None
        script = self.selectable_scripts[args[0] - 1]
        processed = script.run(p, *args[script.args_from : script.args_to])
        shared.total_tqdm.clear()
        return processed

    def script(self, title: str) -> Script | None:
        """The script with this title in any case."""
        return self.title_map.get(title.lower())

    def set_named_arg(self, args: Any, script_name: str, arg_elem_id: str, value: Any, fuzzy: bool = False) -> Any:
        """Set one argument of one script, found by its component's id (or a part of it if `fuzzy`).

        Returns:
            The arguments: the same list changed, or a new tuple.

        Raises:
            RuntimeError: there is no such script, or it has no such component.
        """
        script = next((one for one in self.scripts if one.name == script_name), None)
        if script is None:
            raise RuntimeError(f"script {script_name} not found")
        for place, control in enumerate(script.controls or []):
            if arg_elem_id == control.elem_id or (fuzzy and arg_elem_id in control.elem_id):
                index = (script.args_from or 0) + place
                if isinstance(args, tuple):
                    return (*args[:index], value, *args[index + 1 :])
                args[index] = value
                return args
        raise RuntimeError(f"arg_elem_id {arg_elem_id} not found in script {script_name}")

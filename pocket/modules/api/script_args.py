"""Script arguments of a request: the page's defaults, with what the request says put over them."""

from typing import Any

import gradio as gr
from fastapi.exceptions import HTTPException

from modules.scripts import Script, ScriptRunner


def script_name_to_index(name: str, scripts: list[Script]) -> int:
    """Place of the script with that title, in any case.

    Raises:
        HTTPException: 422, there is none.
    """
    titles = [script.title().lower() for script in scripts]
    if not isinstance(name, str) or name.lower() not in titles:
        raise HTTPException(status_code=422, detail=f"Script '{name}' not found")
    return titles.index(name.lower())


def get_selectable_script(name: str | None, runner: ScriptRunner) -> tuple[Script | None, int | None]:
    """The script that a request's `script_name` chooses, and its place in the page's list."""
    if not name:
        return None, None
    index = script_name_to_index(name, runner.selectable_scripts)
    return runner.selectable_scripts[index], index


def init_default_script_args(runner: ScriptRunner) -> list[Any]:
    """The values that the page starts with, in the order of the runner's inputs. Place 0 is the chosen script's."""
    length = max([1, *(script.args_to for script in runner.scripts if script.args_to is not None)])
    values: list[Any] = [None] * length
    values[0] = 0
    with gr.Blocks():  # components can only be made inside of one
        for script in runner.scripts:
            controls = script.ui(script.is_img2img)
            if controls:
                values[script.args_from : script.args_to] = [control.value for control in controls]
    return values


def _alwayson_script(name: str, runner: ScriptRunner) -> Script:
    script = runner.scripts[script_name_to_index(name, runner.scripts)] if name else None
    if script is None:
        raise HTTPException(status_code=422, detail=f"always on script {name} not found")
    if script.alwayson is False:
        raise HTTPException(status_code=422, detail="Cannot have a selectable script in the always on scripts params")
    return script


def init_script_args(
    request: Any,
    defaults: list[Any],
    selectable: Script | None,
    selectable_index: int | None,
    runner: ScriptRunner,
    from_infotext: dict[int, Any],
) -> list[Any]:
    """All scripts' arguments for one request.

    Raises:
        HTTPException: 422, a script that is not there, or a selectable one among the always-on ones.
    """
    values = defaults.copy()
    for index, value in from_infotext.items():
        values[index] = value
    if selectable is not None:
        values[selectable.args_from : selectable.args_to] = request.script_args
        values[0] = selectable_index + 1
    for name, said in (request.alwayson_scripts or {}).items():
        script = _alwayson_script(name, runner)
        # More arguments than the script has are ignored, as in the WebUI; a script without "args" runs on its defaults.
        args = said["args"][: script.args_to - script.args_from] if "args" in said else []
        values[script.args_from : script.args_from + len(args)] = args
    return values

"""Comments in prompts: from # to the end of the line."""

import re
from typing import Any

from modules import script_callbacks, scripts, shared

WHOLE_LINES = re.compile(r"(^|\n)#[^\n]*(\n|$)")
ENDS_OF_LINES = re.compile(r"#[^\n]*(\n|$)")

SINGLE = ("main_prompt", "main_negative_prompt")
LISTS = ("all_prompts", "all_negative_prompts")
HIRES_SINGLE = ("hr_prompt", "hr_negative_prompt")
HIRES_LISTS = ("all_hr_prompts", "all_hr_negative_prompts")


def strip_comments(text: str) -> str:
    """The prompt without comments."""
    return ENDS_OF_LINES.sub("\n", WHOLE_LINES.sub("\n", text))


class ScriptStripComments(scripts.Script):
    """Takes comments out of the prompts of a run, unless the settings say that # is an ordinary sign."""

    def title(self) -> str:
        """The script's name."""
        return "Comments"

    def show(self, is_img2img: bool) -> Any:
        """Always on."""
        return scripts.AlwaysVisible

    def process(self, p: Any, *args: Any) -> None:
        """Change all prompts that the run will use."""
        if not shared.opts.enable_prompt_comments:
            return
        hires = getattr(p, "enable_hr", False)
        for name in (*LISTS, *(HIRES_LISTS if hires else ())):
            setattr(p, name, [strip_comments(prompt) for prompt in getattr(p, name)])
        for name in (*SINGLE, *(HIRES_SINGLE if hires else ())):
            setattr(p, name, strip_comments(getattr(p, name)))


def before_token_counter(params: script_callbacks.BeforeTokenCounterParams) -> None:
    """Comments do not count."""
    if shared.opts.enable_prompt_comments:
        params.prompt = strip_comments(params.prompt)


script_callbacks.on_before_token_counter(before_token_counter)

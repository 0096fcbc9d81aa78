"""Styles: named pieces of prompt, kept in a CSV file with the columns name, prompt, negative_prompt."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from modules import errors

PLACEHOLDER = "{prompt}"


class PromptStyle(NamedTuple):
    """One style; `{prompt}` inside it says where the prompt goes, else the style is put behind."""

    name: str
    prompt: str
    negative_prompt: str
    path: str | None = None


NO_STYLE = PromptStyle("None", "", "")


def merge_prompts(style_prompt: str, prompt: str) -> str:
    """The prompt with one style's text."""
    if PLACEHOLDER in style_prompt:
        return style_prompt.replace(PLACEHOLDER, prompt)
    return ", ".join(part for part in (prompt.strip(), style_prompt.strip()) if part)


def apply_styles_to_prompt(prompt: str, styles: Iterable[str]) -> str:
    """The prompt with the texts of several styles, one after the other."""
    for style in styles:
        prompt = merge_prompts(style, prompt)
    return prompt


def without_style(style_text: str, prompt: str) -> str | None:
    """The prompt as it was before the style was applied; None if this style was not applied."""
    before, found, after = style_text.strip().partition(PLACEHOLDER)
    text = prompt.strip()
    if not found:
        before, after = "", before
    if not (text.startswith(before) and text.endswith(after)) or len(text) < len(before) + len(after):
        return None
    inside = text[len(before) : len(text) - len(after)]
    return inside if found else inside.removesuffix(", ")


class StyleDatabase:
    """The styles read from CSV files; a file that is not there has none."""

    def __init__(self, paths: Sequence[str | Path]) -> None:
        self.paths = [Path(path) for path in paths]
        self.no_style = NO_STYLE
        self.styles: dict[str, PromptStyle] = {}
        self.reload()

    def reload(self) -> None:
        """Read the files again."""
        self.styles.clear()
        for path in self.paths:
            if path.is_file():
                with errors.swallowed(f"Error loading styles from {path}"):
                    self.load_from_csv(path)

    def load_from_csv(self, path: Path) -> None:
        """Add the styles of one file; lines whose name begins with # are comments."""
        with open(path, encoding="utf-8-sig", newline="") as file:
            for row in csv.DictReader(file, skipinitialspace=True):
                if row and not row["name"].startswith("#"):
                    prompt = row["prompt"] if "prompt" in row else row["text"]
                    negative = row.get("negative_prompt") or ""
                    self.styles[row["name"]] = PromptStyle(row["name"], prompt or "", negative, str(path))

    def _named(self, names: Iterable[str]) -> list[PromptStyle]:
        return [self.styles.get(name, NO_STYLE) for name in names]

    def get_style_prompts(self, styles: Iterable[str]) -> list[str]:
        """The prompt texts of these styles; an unknown one is empty."""
        return [style.prompt for style in self._named(styles)]

    def get_negative_style_prompts(self, styles: Iterable[str]) -> list[str]:
        """The negative texts of these styles; an unknown one is empty."""
        return [style.negative_prompt for style in self._named(styles)]

    def apply_styles_to_prompt(self, prompt: str, styles: Iterable[str]) -> str:
        """The prompt with these styles."""
        return apply_styles_to_prompt(prompt, self.get_style_prompts(styles))

    def apply_negative_styles_to_prompt(self, prompt: str, styles: Iterable[str]) -> str:
        """The negative prompt with these styles."""
        return apply_styles_to_prompt(prompt, self.get_negative_style_prompts(styles))

    def save_styles(self, path: str | None = None) -> None:
        """Write every style back to the file it came from; new ones go to the first file."""
        default = str(path or self.paths[0])
        for target in {default, *(style.path or default for style in self.styles.values())}:
            with open(target, "w", encoding="utf-8-sig", newline="") as file:
                writer = csv.writer(file)
                writer.writerow(PromptStyle._fields[:3])
                writer.writerows(style[:3] for style in self.styles.values() if (style.path or default) == target)

    def extract_styles_from_prompt(self, prompt: str, negative_prompt: str) -> tuple[list[str], str, str]:
        """Find the styles that were applied to these prompts.

        Returns:
            The styles' names in the order of application, and both prompts without them.
        """
        left = [style for style in self.styles.values() if style.prompt or style.negative_prompt]
        found: list[str] = []
        while (match := self._last_applied(left, prompt, negative_prompt)) is not None:
            style, prompt, negative_prompt = match
            left.remove(style)
            found.insert(0, style.name)
        return found, prompt, negative_prompt

    def _last_applied(
        self, styles: list[PromptStyle], prompt: str, negative: str
    ) -> tuple[PromptStyle, str, str] | None:
        for style in styles:
            positive_before = without_style(style.prompt, prompt)
            negative_before = without_style(style.negative_prompt, negative)
            if positive_before is not None and negative_before is not None:
                return style, positive_before, negative_before
        return None

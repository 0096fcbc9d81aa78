"""The table of fields in the README, made from the parameter table: `python tests/readme_table.py` writes it anew."""

import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
SECTION = re.compile(r"(?<=<!-- fields, made by tests/readme_table.py -->\n).*?(?=<!-- end of fields -->)", re.DOTALL)


def allowed(knob):
    """What a field takes, in short."""
    if knob.choices:
        return ", ".join(f"`{choice}`" for choice in knob.choices)
    if knob.kind in ("int", "number"):
        from motion_module.knobs import range_text

        return range_text(knob)
    kinds = {"bool": "true, false", "image": "a picture", "video": "a video file", "path": "a folder"}
    return kinds.get(knob.kind, knob.pattern_help or "text")


def table():
    """The Markdown of the table."""
    from motion_module.params import VideoParams

    lines = ["| field | on the panel | default | allowed | what it does |", "|---|---|---|---|---|"]
    for name, knob in VideoParams.knobs().items():
        default = json.dumps(VideoParams.default_of(name))
        label = knob.label if knob.tabs else "(API only)"
        lines.append(f"| `{name}` | {label} | `{default}` | {allowed(knob)} | {knob.help} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    README.write_text(SECTION.sub(lambda _: table(), README.read_text("utf8")), "utf8")

"""The table of fields in the README, made from the parameter table: `python tests/readme_table.py` writes it anew."""

import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
SECTION = re.compile(r"(?<=<!-- fields, made by tests/readme_table.py -->\n).*?(?=<!-- end of fields -->)", re.DOTALL)


def allowed(field):
    """What a field takes, in short."""
    if field.choices:
        return ", ".join(f"`{choice}`" for choice in field.choices)
    if field.kind in ("int", "number"):
        from motion_module.fields import range_text

        return range_text(field)
    kinds = {"bool": "true, false", "image": "a picture", "video": "a video file", "path": "a folder"}
    return kinds.get(field.kind, field.pattern_help or "text")


def table():
    """The Markdown of the table."""
    from motion_module.params import VideoParams

    lines = ["| field | on the panel | default | allowed | what it does |", "|---|---|---|---|---|"]
    for name, field in VideoParams.table().items():
        default = json.dumps(VideoParams.default_of(name))
        label = field.label if field.tabs else "(API only)"
        lines.append(f"| `{name}` | {label} | `{default}` | {allowed(field)} | {field.help} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    README.write_text(SECTION.sub(lambda _: table(), README.read_text("utf8")), "utf8")

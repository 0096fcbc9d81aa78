"""The tables in the README that are made from those in the code: `python tests/readme_table.py` writes them anew."""

import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"


def section(name):
    """Finds a table in the README, between its two comments."""
    begin, end = f"<!-- {name}, made by tests/readme_table.py -->\n", f"<!-- end of {name} -->"
    return re.compile(f"(?<={re.escape(begin)}).*?(?={re.escape(end)})", re.DOTALL)


def allowed(field):
    """What a field takes, in short."""
    if field.choices:
        return ", ".join(f"`{choice}`" if choice else "nothing" for choice in map(str, field.choices))
    from motion_module.fields import range_text, values_text

    if field.kind in ("int", "number"):
        return range_text(field)
    if field.kind == "values":
        return values_text(field)
    kinds = {"bool": "true, false", "image": "a picture", "video": "a video file", "path": "a folder"}
    kinds["held"] = "frames with pictures"
    kinds["numbers"] = f"numbers from {range_text(field)}"
    return field.pattern_help or kinds.get(field.kind, "text")


def fields():
    """Every field of a request."""
    from motion_module.params import VideoParams

    yield "field", "on the panel", "default", "allowed", "what it does"
    for name, field in VideoParams.table().items():
        default = json.dumps(VideoParams.default_of(name))
        yield f"`{name}`", field.label if field.tabs else "(API only)", f"`{default}`", allowed(field), field.whole_help


def formats():
    """Every format."""
    from motion_module.formats import FORMATS

    yield "format", "what it is", "on the page", "sound", "frames per second", "opened by libraries for pictures"
    for row in FORMATS:
        neither = "a link; a preview moves in the gallery" if row.kind == "video" else "-"
        page = "moves in the gallery" if row.in_img else "plays in the gallery's place" if row.in_video else neither
        fastest = f"at most {row.fastest}" if row.fastest else "-" if row.kind == "text" else "any"
        yield f"`{row.name}`", row.about, page, "yes" if row.sound else "-", fastest, "yes" if row.picture else "-"


def settings():
    """Every setting."""
    from motion_module.settings import DEFAULT_FOLDER, Settings

    yield "setting", "on the page", "default", "allowed", "looked at"
    for row in Settings.rows():
        default = json.dumps(row.default).replace(str(DEFAULT_FOLDER), "<extension>/model")
        needed = [f"format {name}" for name in row.formats] + [f"`{name}`" for name in row.needs]
        looked_at = ", ".join(needed) or ("always" if row.in_runs else "by new panels")
        yield f"`{row.name}`", row.field.label, f"`{default}`", allowed(row.field), looked_at


TABLES = {"fields": fields, "formats": formats, "settings": settings}


def table(name):
    """The Markdown of a table."""
    head, *rows = TABLES[name]()
    lines = [f"| {' | '.join(cells)} |" for cells in (head, *rows)]
    return "\n".join([lines[0], "|" + "---|" * len(head), *lines[1:]]) + "\n"


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    text = README.read_text("utf8")
    for name in TABLES:
        text = section(name).sub(lambda _, name=name: table(name), text)
    README.write_text(text, "utf8")

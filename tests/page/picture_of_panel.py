"""Makes docs/panel.png, README's picture of the panel, from the pocket's page: `python tests/page/picture_of_panel.py`."""

from __future__ import annotations

import io
import sys
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
PANEL = "#script_txt2img_animatediff_panel"
COLOURS = 64  # of a page that is mostly grey


def main() -> None:
    """Start the page, set a few fields, and take the picture."""
    sys.path[:0] = [str(ROOT)]
    from playwright.sync_api import sync_playwright

    from tests.page.conftest import FLAGS, Served

    server = Served(ROOT)
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=FLAGS)
            page = browser.new_page(viewport={"width": 1400, "height": 1700})
            page.set_default_timeout(600_000)
            page.goto(server.url)
            frames = page.locator(f"{PANEL} #script_txt2img_animatediff_video_length input").first
            frames.fill("64")
            frames.blur()
            page.locator(".animatediff-plan").get_by_text("64 frames").wait_for()
            page.locator("#script_txt2img_animatediff_motion_and_noise .label-wrap").click()
            effect = page.locator("#script_txt2img_animatediff_effect input").first
            effect.fill("0.9")
            effect.blur()
            page.locator(f"{PANEL} .label-wrap").get_by_text("Motion and noise: Effect").wait_for()
            page.wait_for_timeout(500)
            picture = Image.open(io.BytesIO(page.locator(PANEL).screenshot()))
            browser.close()
    finally:
        server.stop()
    picture.convert("RGB").quantize(COLOURS).save(ROOT / "docs" / "panel.png", optimize=True)


if __name__ == "__main__":
    main()

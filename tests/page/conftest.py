"""The page in a real browser: one server, one Chromium and one open page for all tests of a module."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).parents[2]
FLAGS = "--no-sandbox --disable-gpu --no-first-run --disable-background-networking --disable-component-update"
PARTS = ("install.py", "javascript", "model", "motion_module", "pocket", "scripts")  # of the repository, to run


@pytest.fixture(scope="module")
def browser():
    """Chromium; the tests are skipped, with a word, where it or playwright is missing."""
    playwright = pytest.importorskip("playwright.sync_api", reason="the page is not looked at: playwright is missing")
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        pytest.skip("the page is not looked at: Chromium is missing (Debian's package chromium)")
    with playwright.sync_playwright() as running:
        chromium = running.chromium.launch(executable_path=found, args=[*FLAGS.split(), "--disable-sync"])
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A copy of the repository, in a folder with a space in its name below one that begins with a dot."""
    folder = tmp_path_factory.mktemp("home") / ".hidden" / "my clone"
    for name in PARTS:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, folder)
    return folder


class Served:
    """A running `python3 pocket serve`."""

    def __init__(self, clone, *options):
        environment = {**os.environ, "POCKET_PYTHON": "current", "OMP_NUM_THREADS": "2"}
        environment.pop("POCKET_DATA_DIR", None)
        command = [sys.executable, clone / "pocket", "serve", "--port", "0", *options]
        self.process = subprocess.Popen(
            command, cwd=clone, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
        )
        self.said = []
        for line in self.process.stdout:
            self.said.append(line)
            if "ready at" in line:
                break
        else:
            raise RuntimeError(f"serve ended: {''.join(self.said)} {self.process.stderr.read()}")
        self.url = line.split()[3]

    def cpu_seconds(self):
        """What the server has computed so far."""
        times = psutil.Process(self.process.pid).cpu_times()
        return times.user + times.system

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.communicate(timeout=120)
        finally:
            self.process.kill()


@pytest.fixture(scope="module")
def server(clone, browser):
    """`python3 pocket serve` with the bundled model, its data in the default place."""
    running = Served(clone)
    yield running
    running.stop()


@pytest.fixture(scope="module")
def page(browser, server):
    """The page, opened once; nothing but the server can be reached. `page.said` are the console's errors."""
    opened = browser.new_page(viewport={"width": 1400, "height": 1700})
    opened.said = []
    # gradio's page asks for fonts and a script of its own from elsewhere; without the internet they are missing.
    opened.route(lambda url: not url.startswith(server.url), lambda route: route.abort())
    opened.on("console", lambda message: opened.said.append(message) if message.type == "error" else None)
    opened.on("pageerror", lambda error: opened.said.append(error))
    opened.set_default_timeout(600_000)
    opened.goto(server.url)
    opened.wait_for_selector("#txt2img_prompt textarea")
    yield opened
    opened.close()

"""The page in a real browser: one server and one Chromium for all these tests of a process, one open page for a module."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import requests

from tests.page import failure_pictures
from tests.page.generating import ask_for_small
from tests.page.results import errors_of

ROOT = Path(__file__).parents[2]
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    # gradio's page asks for fonts and a script of its own from elsewhere; without the internet they are missing.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)
PATIENCE_MS = 120_000  # the machine may be busy
PARTS = (
    "animatediff_aside.py",
    "install.py",
    "javascript",
    "model",
    "motion_module",
    "pocket",
    "scripts",
    "style.css",
)  # of the repository, to run


@pytest.fixture(scope="package")
def browser():
    """Chromium; the tests are skipped, with a word, where it or playwright is missing."""
    playwright = pytest.importorskip("playwright.sync_api", reason="the page is not looked at: playwright is missing")
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        pytest.skip("the page is not looked at: Chromium is missing (Debian's package chromium)")
    with playwright.sync_playwright() as running:
        chromium = running.chromium.launch(executable_path=found, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="package")
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


@pytest.fixture(scope="package")
def server(clone, browser):
    """`python3 pocket serve` with the bundled model, its data in the default place."""
    running = Served(clone)
    yield running
    running.stop()


@pytest.fixture(scope="module")
def page(browser, server):
    """The page of `server`, opened once; `page.said` are the console's errors."""
    opened = browser.new_page(viewport={"width": 1400, "height": 1700})
    opened.said = []
    opened.on("console", lambda message: opened.said.append(message) if message.type == "error" else None)
    opened.on("pageerror", lambda error: opened.said.append(error))
    opened.set_default_timeout(PATIENCE_MS)
    opened.goto(server.url)
    opened.wait_for_selector("#txt2img_prompt textarea")
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def _page_of_host(browser):
    opened = browser.new_page(viewport={"width": 1300, "height": 3000})
    opened.said = []
    opened.on("pageerror", lambda error: opened.said.append(str(error)))
    opened.set_default_timeout(PATIENCE_MS)
    yield opened
    opened.close()


@pytest.fixture
def host_page(pocket, _page_of_host):
    """The page of the host in this process, opened once; a small picture is asked for. Its scripts make no error."""
    opened = _page_of_host
    if pocket["url"] not in opened.url:
        opened.goto(pocket["url"])
        opened.locator("#txt2img_prompt textarea").first.fill("a red ball")
        ask_for_small(opened, "txt2img")
    yield opened
    assert opened.said == []


@pytest.fixture
def settings(server):
    """Changes settings of the server, in keyword arguments; they are given back."""
    address = f"{server.url}/sdapi/v1/options"
    before = requests.get(address, timeout=300).json()

    def change(**values):
        requests.post(address, json=values, timeout=300).raise_for_status()

    yield change
    now = requests.get(address, timeout=300).json()
    change(**{name: value for name, value in before.items() if now.get(name) != value})


@pytest.fixture
def no_errors(page):
    """While the test ran, the page wrote no error of its own into the console."""
    yield
    assert errors_of(page) == []


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """A test that fails leaves pictures of its pages, whose paths the report names."""
    report = yield
    browser = getattr(item, "funcargs", {}).get("browser")
    if report.failed and browser is not None:
        folder = item.funcargs["tmp_path_factory"].mktemp("failed")
        report.sections.append(("the page when it failed", "\n".join(failure_pictures.take(browser, folder))))
    return report


@pytest.fixture(autouse=True)
def _pictured_where_it_fails(browser, tmp_path_factory):
    """Every test has what a picture of its failure needs."""

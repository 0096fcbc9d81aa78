"""A running WebUI in place of the pocket: with its address in WEBUI_URL, tests that talk to a server talk to that one.

Nobody writes down which tests those are. A test that does not ask for the host is left out; one that does and then looks
into the host's own objects, or changes code, leaves itself out at that place, with the word `in-process`.
"""

import builtins
import contextlib
import functools
import json
import os
from pathlib import Path

import pytest

URL = os.environ.get("WEBUI_URL", "").rstrip("/")
DATA = os.environ.get("WEBUI_DATA", "")  # its data folder; Forge fails to tell
FORGE = bool(DATA)
IN_PROCESS = "in-process"
TESTS = str(Path(__file__).resolve().parents[1])
HOST = ("modules", "scripts", "networks", "internal_controlnet", "motion_module.webui")
MODULES = "animatediff_model_path"
"""A setting that names a folder, which no request may change: it names a link, and the link changes."""
PLAIN = {"prompt": "a plain picture", "seed": 3, "steps": 2, "width": 64, "height": 64, "sampler_name": "Euler"}


class Running:
    """The WebUI at an address: its folders, its settings, and whether its plain pictures stay the same."""

    def __init__(self, url):
        import httpx  # only here: tests without a host do without it, too

        self.http = httpx.Client(base_url=url, timeout=600)
        told = {"data_dir": DATA, "lora_dir": f"{DATA}/models/Lora"} if DATA else self._get("cmd-flags")
        self.data, self.lora = Path(told["data_dir"]), Path(told["lora_dir"])
        if not (self.data / "motion" / "mm_tiny_v1.safetensors").is_file():
            raise RuntimeError(f"{url} was not started with a folder of `python tests/running/data.py`: {self.data}")
        self._set(self._get("options"))  # the WebUI only puts back what it has in its settings file
        self.at_start = self._settings()
        self.scripts = {name for names in self._get("scripts").values() for name in names}
        self.picture = self.plain()
        self.left_out = False

    def weights(self):
        """What the fixture `tiny` is, from the WebUI's own folders."""
        made = {
            "checkpoint": self.data / "models" / "Stable-diffusion" / "tiny.safetensors",
            "other": self.data / "models" / "Stable-diffusion" / "other.safetensors",
            "wide": self.data / "models" / "Stable-diffusion" / "wide.safetensors",
            "control": self.data / "models" / "ControlNet" / "control_tiny.safetensors",
        }
        return made | {
            version: self.data / "own" / "motion" / f"mm_tiny_{version}.safetensors" for version in ("v1", "v2", "v3")
        }

    def put_back(self):
        """The settings from before the tests."""
        self.point(self.data / "own" / "motion")
        now = self._settings()
        changed = {name: value for name, value in self.at_start.items() if now.get(name) != value}
        if changed:
            self._set(changed)

    def plain(self):
        """A picture without the extension, as the server sends it."""
        answer = self.http.post("/sdapi/v1/txt2img", json={**PLAIN, "save_images": False})
        answer.raise_for_status()
        return answer.json()["images"]

    def point(self, folder):
        """Have the setting of the motion modules' folder mean another one."""
        link, new = self.data / "motion", self.data / "motion.new"
        if os.readlink(link) != str(folder):
            new.symlink_to(folder)
            new.replace(link)

    def _settings(self):
        """All of them; a WebUI tells only its own, and writes those of extensions into its file."""
        return json.loads((self.data / "config.json").read_text("utf8")) | self._get("options")

    def _get(self, path):
        answer = self.http.get(f"/sdapi/v1/{path}")
        answer.raise_for_status()
        return answer.json()

    def _set(self, settings):
        self.http.post("/sdapi/v1/options", json=settings).raise_for_status()


@functools.cache
def running():
    """The WebUI whose address is in WEBUI_URL."""
    return Running(URL)


def leave_out(reason=IN_PROCESS):
    """Skip the test that is running."""
    running().left_out = True
    pytest.skip(reason)


def set_folder(name, folder):
    """Change a setting that names a folder, if that can be done from outside."""
    if name != MODULES:
        leave_out()
    running().point(folder)


class OutOfReach:
    """Stands in for `caplog` and `monkeypatch`, which do not reach into another process; of the tests' own they may."""

    def __init__(self, patches=None):
        self.patches = patches

    def setattr(self, target, *args, **kwargs):
        if self.patches is None or not str(getattr(target, "__file__", "")).startswith(TESTS):
            leave_out()
        self.patches.setattr(target, *args, **kwargs)

    def __getattr__(self, name):
        leave_out()


@contextlib.contextmanager
def host_out_of_reach():
    """Whoever in the tests imports the host leaves its test out."""
    original = builtins.__import__

    def guarded(name, namespace=None, *args, **kwargs):
        of_host = any(name == part or name.startswith(f"{part}.") for part in HOST)
        if of_host and str((namespace or {}).get("__file__", "")).startswith(TESTS):
            leave_out()
        return original(name, namespace, *args, **kwargs)

    builtins.__import__ = guarded
    try:
        yield
    finally:
        builtins.__import__ = original


def leave_out_what_asks_no_server(items):
    """Mark the tests of tests/webui that never ask for the host, or only for the one in this process."""
    for item in items:
        if "webui" not in item.path.parts:
            continue
        asked = {name for name in item.fixturenames if name == "pocket" or name.endswith("client")}
        if not asked or (asked == {"pocket"} and _looks_into_the_host(item.module)):
            item.add_marker(pytest.mark.skip(reason=IN_PROCESS))


def _looks_into_the_host(module):
    owners = {getattr(value, "__module__", None) or getattr(value, "__name__", "") for value in vars(module).values()}
    return any(str(owner).startswith("motion_module.webui") for owner in owners)


def leave_out_without_controlnet(host):
    """What asks for control units has no answer on a WebUI without that extension."""
    if URL and "controlnet" not in host["scripts"]:
        leave_out("ControlNet")

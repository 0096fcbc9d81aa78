"""One pocket WebUI for all tests of a process, with tiny seeded weights, and its server on a free port.

The host can be started once in a process, like the real one; its settings are put back after every test that used it.
"""

import os
import subprocess
import threading
import time
from collections import Counter

os.environ.setdefault("OMP_NUM_THREADS", "1")  # the suite runs in several processes
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # spinning threads starve each other on a busy machine

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])  # machines may be busy
settings.load_profile("suite")


LONG = ("quality", "page", "webui", "pocket", "core", "media")  # folders of tests, those with long files first


def pytest_collection_modifyitems(items):
    """Long files come first, so that no process of several is alone with one at the end."""
    sizes = Counter(item.path for item in items)

    def place(item):
        folder = item.path.parent.name
        return LONG.index(folder) if folder in LONG else len(LONG), -sizes[item.path], str(item.path)

    items.sort(key=place)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """Seeded random weights: {"checkpoint": path, "other": ..., "wide": ..., "v1": ..., "v2": ..., "v3": ..., "control": ...}.

    `other` is a checkpoint of the same sizes, `wide` one that the motion modules do not fit.
    """
    return make_weights(tmp_path_factory.mktemp("weights"))


def make_weights(folder):
    """What `tiny` is; the same bits wherever it is made."""
    import weights

    made = {"checkpoint": weights.make_checkpoint(folder / "checkpoints" / "tiny.safetensors", seed=1)}
    beside = folder / "data" / "models" / "Stable-diffusion"  # where the host lists checkpoints
    made["other"] = weights.make_checkpoint(beside / "other.safetensors", seed=2)
    made["wide"] = weights.make_checkpoint(beside / "wide.safetensors", seed=3, model_channels=64)
    for seed, version in enumerate(("v1", "v2", "v3"), start=11):
        path = folder / "motion" / f"mm_tiny_{version}.safetensors"
        made[version] = weights.make_motion_module(path, version=version, seed=seed)
    made["control"] = weights.make_controlnet(folder / "controlnet" / "control_tiny.safetensors", seed=21)
    return made


@pytest.fixture(scope="session")
def _started_host(tiny):
    from modules import initialize_pocket

    data = tiny["other"].parents[2]
    lora = data / "lora"
    lora.mkdir()
    initialize_pocket.start(
        checkpoint=tiny["checkpoint"],
        motion_modules=tiny["v1"].parent,
        lora_dir=lora,
        controlnet_dir=tiny["control"].parent,
        data_dir=data,
        ui=False,  # the page makes the scripts' panels
    )
    from modules import web_app

    listener = web_app.listen(0)
    ready = threading.Event()
    urls = []
    server = web_app.Server(web_app.create_app(), lambda url: (urls.append(url), ready.set()))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    if not ready.wait(300):
        raise RuntimeError("the server did not start within five minutes")
    yield {"url": urls[0], "data": data, "lora": lora}
    server.should_exit = True
    thread.join(10)
    listener.close()


@pytest.fixture
def pocket(_started_host):
    """The running host: {"url": ..., "data": Path, "lora": Path}; settings and state are fresh for every test."""
    from modules import initialize_pocket, sd_models, shared

    initialize_pocket.reset_options()
    sd_models.reload_model_weights()  # another test may have left another checkpoint
    yield _started_host
    deadline = time.monotonic() + 600
    while shared.state.job and time.monotonic() < deadline:  # a test that interrupts may end before its job does
        time.sleep(0.05)
    initialize_pocket.reset_options()


@pytest.fixture
def small_disk(tmp_path):
    """A folder on a disk of 1 MB of its own."""
    yield from _mounted(tmp_path / "small", "size=1m")


@pytest.fixture
def read_only_folder(tmp_path):
    """A folder that nobody can write to, not even root."""
    yield from _mounted(tmp_path / "read-only", "ro")


def _mounted(folder, options):
    folder.mkdir()
    try:
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no file system can be mounted here: {error}")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)

"""One pocket WebUI for all tests of a process, with tiny seeded weights, and its server on a free port.

The host can be started once in a process, like the real one; its settings are put back after every test that used it.
"""

import os
import shutil
import subprocess
import threading
import time
from collections import Counter

os.environ.setdefault("OMP_NUM_THREADS", "1")  # the suite runs in several processes
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # spinning threads starve each other on a busy machine

import pytest
from hypothesis import HealthCheck, settings

from tests.running import webui

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
    if webui.URL:
        webui.leave_out_what_asks_no_server(items)


def pytest_runtest_teardown(item):
    """An error in a table of tests keeps the frames that it came through, and with them a host's model: let go of."""
    tables = [*vars(item.module).values(), *(item.callspec.params.values() if hasattr(item, "callspec") else ())]
    for table in tables:
        for error in table if isinstance(table, list | tuple) else (table,):
            if isinstance(error, BaseException):
                error.__traceback__ = error.__context__ = None


def pytest_configure(config):
    if webui.URL:
        config.option.fold_skipped = False  # what was left out is told by name


@pytest.fixture(params=["some", pytest.param("all", marks=pytest.mark.slow)])
def picked(request):
    """`picked(cases, n)` is one in n of a long list of like cases; with `-m slow`, and with WEBUI_URL, all of them."""
    return lambda cases, one_in: list(cases)[:: 1 if request.param == "all" or webui.URL else one_in]


@pytest.fixture(scope="session")
def running():
    """The WebUI whose address is in WEBUI_URL."""
    return webui.running()


@pytest.fixture(scope="session")
def tiny(request, tmp_path_factory):
    """Seeded random weights: {"checkpoint": path, "other": ..., "wide": ..., "v1": ..., "v2": ..., "v3": ..., "control": ...}.

    `other` is a checkpoint of the same sizes, `wide` one that the motion modules do not fit.
    """
    if webui.URL:
        return request.getfixturevalue("running").weights()
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
def tiny_xl(tmp_path_factory):
    """Seeded random weights in SDXL's layout: {"checkpoint": path, "sdxl": ..., "hotshot": ..., "hotshot_own": ..., "network": ...}.

    `hotshot_own` is HotShot-XL under its own names. The motion modules lie in a folder of their own.
    """
    from safetensors.torch import load_file

    import weights
    import weights_xl
    from tests.reference.reference_weights_xl import make_lora, under_own_names

    folder, sizes = tmp_path_factory.mktemp("weights_xl"), weights_xl.SizesXL()
    made = {"checkpoint": weights_xl.make_checkpoint(folder / "tiny_xl.safetensors", sizes=sizes)}
    for seed, (kind, frames) in enumerate({"sdxl": 32, "hotshot": 24}.items(), start=41):
        path = folder / "motion" / f"mm_tiny_{kind}.safetensors"
        made[kind] = weights.make_motion_module(path, version="v3", widths=sizes.widths, frames=frames, seed=seed)
    own = folder / "motion" / "hsxl_tiny.safetensors"
    made["hotshot_own"] = weights.save(under_own_names(load_file(made["hotshot"])), own, weights.torch.float16)
    made["network"] = make_lora(folder / "tiny_xl_lora.safetensors", sizes)
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
def pocket(request):
    """The running host: {"url": ..., "data": Path, "lora": Path}; settings and state are fresh for every test."""
    yield from _elsewhere(request.getfixturevalue("running")) if webui.URL else _in_this_process(request)


def _elsewhere(running):
    """A running WebUI; after the test it makes the same plain picture as ever."""
    running.put_back()
    running.left_out = False
    yield {"url": webui.URL, "data": running.data, "lora": running.lora, "scripts": running.scripts}
    running.put_back()
    assert running.left_out or running.plain() == running.picture, "a plain picture is another one after this test"


def _in_this_process(request):
    host = request.getfixturevalue("_started_host")
    from modules import initialize_pocket, sd_models

    initialize_pocket.reset_options()
    sd_models.reload_model_weights()  # another test may have left another checkpoint
    yield host
    _end_jobs()
    initialize_pocket.reset_options()


def _end_jobs():
    """A test that interrupts may end before its job does."""
    from modules import shared

    deadline = time.monotonic() + 600
    while shared.state.job and time.monotonic() < deadline:
        time.sleep(0.05)
    shared.state.textinfo = None  # what a part of a run, called without its run, showed


@pytest.fixture
def pocket_xl(_started_host, tiny_xl):
    """What `pocket` is, with an SDXL checkpoint, its motion modules and its LoRA; the same entries and `tiny_xl`'s.

    The checkpoint stays until a test with another comes, as loading takes longer than most of these tests.
    """
    import networks

    from modules import initialize_pocket, sd_checkpoint_info, sd_models, shared

    initialize_pocket.reset_options()
    info = sd_models.CheckpointInfo(str(tiny_xl["checkpoint"]))
    info.register()
    shared.opts.data["sd_model_checkpoint"] = info.title
    shared.opts.data["animatediff_model_path"] = str(tiny_xl["sdxl"].parent)
    lora = _started_host["lora"] / tiny_xl["network"].name
    shutil.copy(tiny_xl["network"], lora)
    sd_models.reload_model_weights()
    yield {**_started_host, **tiny_xl, "title": info.title}
    _end_jobs()
    for path in lora.parent.iterdir():
        path.unlink()
    networks.load_networks([])
    networks.networks_in_memory.clear()
    networks.list_available_networks()
    initialize_pocket.reset_options()
    for table in (sd_checkpoint_info.checkpoints_list, sd_checkpoint_info.checkpoint_aliases):
        for name in [name for name, found in table.items() if found.filename == info.filename]:
            del table[name]


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

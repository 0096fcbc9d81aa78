"""Our name on our lines in the log, as the WebUI prints them with and without its own set-up."""

import io
import logging

import pytest

PRINTED = [
    ("motion_module.webui.run.session", "3 frames are made", "AnimateDiff: 3 frames are made"),
    ("motion_module.media.writing.gif", "gifsicle is not installed", "AnimateDiff: gifsicle is not installed"),
    ("motion_module", "AnimateDiff: fps is 0", "AnimateDiff: fps is 0"),
    ("scripts.another", "nobody's concern", "nobody's concern"),
]


@pytest.fixture
def root(pocket, monkeypatch):
    """Takes the handlers off the root logger, as the WebUI leaves it: pytest puts its own on just before the test."""
    from motion_module.webui import logs

    logs.put_name_on()  # the host may load our script twice

    def bare():
        monkeypatch.setattr(logging.root, "handlers", [])
        return logging.root

    return bare


@pytest.mark.parametrize(("logger", "text", "line"), PRINTED)
def test_without_a_set_up_the_line_begins_with_our_name(root, capsys, logger, text, line):
    root()
    logging.getLogger(logger).warning("%s", text)
    assert capsys.readouterr().err == f"{line}\n"


@pytest.mark.parametrize(("logger", "text", "line"), PRINTED)
def test_with_the_hosts_format_the_line_names_us_once(root, capsys, logger, text, line):
    printed = logging.StreamHandler(io.StringIO())
    printed.setFormatter(logging.Formatter("%(levelname)s [%(name)s] %(message)s"))
    root().addHandler(printed)
    logging.getLogger(logger).warning("%s", text)
    name = logger.replace("motion_module", "AnimateDiff")
    assert (printed.stream.getvalue(), capsys.readouterr().err) == (f"WARNING [{name}] {text}\n", "")


def test_what_is_not_urgent_stays_unsaid(root, capsys):
    root()
    logging.getLogger("motion_module.webui.sampling.prompt_travel").info("prompt: 0: yellow")
    logging.getLogger("motion_module.webui.sampling.prompt_travel").debug("nothing")
    assert capsys.readouterr().err == ""


def test_a_fault_keeps_its_traceback(root, capsys):
    root()
    try:
        raise KeyError("fault")
    except KeyError:
        logging.getLogger("motion_module.webui.run.session").exception("could not go on")
    printed = capsys.readouterr().err
    assert printed.startswith("AnimateDiff: could not go on\nTraceback") and printed.endswith("KeyError: 'fault'\n")


def test_a_line_of_a_run_has_our_name(root, client, capsys):
    """Told by the server itself, in whose thread the run is made."""
    root()
    video = {"enable": True, "overlap": 8, "batch_size": 8, "video_length": 12, "format": ["PNG"]}
    client.run({name: value for name, value in video.items() if name != "enable"}, steps=1)
    lines = [line for line in capsys.readouterr().err.splitlines() if "overlap" in line]
    assert lines and all(line.startswith("AnimateDiff: ") for line in lines)

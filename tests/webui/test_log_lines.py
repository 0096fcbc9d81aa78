"""A refused request is one line in the log; a fault of ours keeps its traceback. On the page and in the API."""

import sys
from pathlib import Path

import pytest
from http_client import SMALL, Client

sys.path.insert(2, str(Path(__file__).parents[1] / "pocket"))
from page_client import Page

REFUSED = "video_length is 99999; allowed is a whole number from 0 to 10,000."


@pytest.fixture
def page(pocket):
    return Page(pocket["url"])


def press(page, **fields):
    ours = {f"script_txt2img_animatediff_{name}": value for name, value in {"video_length": 2, **fields}.items()}
    ours["script_txt2img_animatediff_enable-checkbox"] = True
    host = {"txt2img_prompt": "a ball", "txt2img_width": 64, "txt2img_height": 64, "txt2img_steps": 1}
    return page.press("txt2img_generate", {**host, **ours}, first="task(log)")["html_log_txt2img"]


def post(pocket, **fields):
    args = [{"enable": True, "video_length": 2, "format": ["PNG"], **fields}]
    return Client(pocket).post("txt2img", {**SMALL, "steps": 1, "alwayson_scripts": {"AnimateDiff": {"args": args}}})


def lines(caplog, capfd):
    """What stands in the log, and what the host has printed besides."""
    told = [record.getMessage() for record in caplog.records if record.name.startswith("AnimateDiff")]
    return told, capfd.readouterr().err


@pytest.mark.parametrize("fields", [{"video_length": 99_999}, {"model": "gone"}, {"last_frame": "x"}])
def test_a_refused_request_is_one_line(pocket, caplog, capfd, fields):
    reply = post(pocket, **fields)
    assert reply.status == 422 and reply.body["errors"] == reply.body["detail"] and reply.body["body"] == ""
    told, printed = lines(caplog, capfd)
    assert told == [reply.sentence]
    assert "Traceback" not in printed and "***" not in printed


def test_so_is_one_that_ends_while_sampling(pocket, caplog, capfd, monkeypatch):
    from modules import sd_unet

    monkeypatch.setattr(sd_unet, "current_unet", object())
    reply = post(pocket)
    assert reply.status == 422 and "the checkpoint's own UNet" in reply.sentence
    told, printed = lines(caplog, capfd)
    assert told == [reply.sentence] and "Traceback" not in printed


def test_a_refused_generate_is_one_line(page, caplog, capfd):
    from modules import errors

    report = errors.report
    html = press(page, video_length=99_999)
    assert f"<div class='error'>AnimateDiff: {REFUSED.replace('video_length', 'Number of frames')}</div>" in html
    told, printed = lines(caplog, capfd)
    assert told == [f"AnimateDiff: {REFUSED.replace('video_length', 'Number of frames')}"]
    assert "Traceback" not in printed and "***" not in printed
    assert errors.report is report


def test_what_nobody_reports_does_not_keep_the_host_changed(pocket):
    import gc

    import runs

    from modules import errors

    report = errors.report
    p = runs.make("txt2img", runs.video(video_length=99_999))
    p.is_api = False
    with pytest.raises(Exception, match="Number of frames is 99999"):
        runs.run(p)
    del p
    gc.collect()
    assert errors.report is report


def test_other_errors_are_reported_meanwhile(pocket, capfd):
    from modules import errors
    from motion_module.errors import ParamError
    from motion_module.webui import answers

    answer = answers.answer_to(None, ParamError("no."))
    with pytest.raises(answers.Answer):
        answers.fail(answer)
    try:
        raise ZeroDivisionError("of another job")
    except ZeroDivisionError:
        errors.report("Error completing request", exc_info=True)
    assert "ZeroDivisionError: of another job" in capfd.readouterr().err
    try:
        raise answer
    except answers.Answer:
        errors.report("Error completing request", exc_info=True)
    assert capfd.readouterr().err == ""


def test_a_fault_of_ours_keeps_its_traceback(pocket, page, caplog, capfd, monkeypatch):
    from motion_module.webui.plan import request

    def broken(*args):
        raise ZeroDivisionError("in our own code")

    monkeypatch.setattr(request, "frames_of", broken)
    reply = post(pocket)
    assert reply.status == 500 and reply.sentence == "AnimateDiff: ZeroDivisionError: in our own code"
    assert "Traceback" in capfd.readouterr().err
    html = press(page)
    assert "<div class='error'>AnimateDiff: ZeroDivisionError: in our own code</div>" in html
    assert "Traceback" in capfd.readouterr().err


def test_the_system_is_translated(pocket, monkeypatch):
    from motion_module.webui.plan import request

    def broken(*args):
        raise OSError(30, "Read-only file system", "/some/file")

    monkeypatch.setattr(request, "frames_of", broken)
    reply = post(pocket)
    assert reply.status == 500 and reply.sentence == "AnimateDiff: the disk is read-only (/some/file)"


def test_so_it_is_where_the_host_prints_by_another_function(pocket, capfd, monkeypatch):
    import traceback

    from motion_module.errors import ParamError
    from motion_module.webui import answers
    from motion_module.webui.host import host

    monkeypatch.setattr(type(host), "reports_errors_by", lambda self: (traceback, "print_exc"))
    before, answer = traceback.print_exc, answers.answer_to(None, ParamError("no."))
    with pytest.raises(answers.Answer):
        answers.fail(answer)
    for error, said in ((ZeroDivisionError("of another job"), "ZeroDivisionError: of another job"), (answer, "")):
        try:
            raise error
        except type(error):
            traceback.print_exc()
        printed = capfd.readouterr().err
        assert said in printed and bool(printed) == bool(said)
        assert error is answer or traceback.print_exc is not before
    assert traceback.print_exc is before

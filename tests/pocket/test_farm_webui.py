"""Running WebUIs as hosts, with a small stand-in for one: refusals, answers of a proxy, lost connections, and who stays away."""

import socket
import threading
import time

import pytest
from interpreter import PocketError

from farm.request_file import Request
from farm.webui import RefusedError, WebUI, WebUIAwayError
from farm.webui_hosts import WebUIHosts
from tests.pocket.webui_stand_in import DROP, MADE

SICK = (500, {"error": "OutOfMemoryError", "detail": "", "errors": "no\nmemory"})


def ends(*stand_ins, count, patience=0.5):
    requests = [Request(n, n, 0, f"{n:064}", "img2img" if n == 2 else "txt2img") for n in range(1, count + 1)]
    hosts = WebUIHosts([WebUI(one.url) for one in stand_ins], patience)
    return {one.request.number: one for one in hosts.outcomes(requests, lambda request: {"seed": request.number})}


def test_each_request_goes_to_its_own_path_with_its_body(stand_in):
    webui = stand_in(MADE)
    found = ends(webui, count=3)
    assert webui.asked == [
        ("/sdapi/v1/txt2img", {"seed": 1}),
        ("/sdapi/v1/img2img", {"seed": 2}),
        ("/sdapi/v1/txt2img", {"seed": 3}),
    ]
    assert [(one.status, one.tries, one.response) for one in found.values()] == [("made", 1, MADE[1])] * 3
    assert all(one.seconds > 0 for one in found.values())


def test_two_webuis_share_the_requests(stand_in):
    first, second = stand_in(MADE), stand_in(MADE)
    assert {one.status for one in ends(first, second, count=8).values()} == {"made"}
    assert len(first.asked) + len(second.asked) == 8
    assert first.asked and second.asked


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        ((422, {"detail": "AnimateDiff: fps is 0."}), "AnimateDiff: fps is 0."),
        ((500, {"error": "HostError", "detail": "AnimateDiff: no room.", "errors": "x"}), "AnimateDiff: no room."),
        ((404, b"<html>"), "the WebUI answers with status 404."),
        ((422, {"detail": [{"loc": ["body", "steps"], "msg": "not an integer"}]}), "steps: not an integer"),
    ],
)
def test_a_refusal_is_told_and_not_tried_again(stand_in, answer, sentence):
    webui = stand_in(answer, MADE)
    found = ends(webui, count=2)
    assert (found[1].status, found[1].sentence, found[1].tries) == ("refused", sentence, 1)
    assert found[2].status == "made"
    assert len(webui.asked) == 2


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (SICK, "no memory"),
        ((500, b"Internal Server Error"), "the WebUI answers with status 500."),
        ((200, b"<html>"), "the WebUI's answer is none to a request, though it says that all is well."),
        ((200, b"[" * 100_000), "the WebUI's answer is none to a request, though it says that all is well."),
    ],
)
def test_what_a_webui_fails_at_another_one_makes(stand_in, answer, sentence):
    sick, good = stand_in(answer, seconds=0), stand_in(MADE, seconds=0.05)
    found = ends(sick, good, count=12)
    assert {one.status for one in found.values()} == {"made"}
    alone = stand_in(answer, MADE)
    found = ends(alone, count=2)
    assert (found[1].status, found[1].sentence, found[1].tries) == ("failed", f"{alone.url} fails: {sentence}", 1)
    assert found[2].status == "made"


@pytest.mark.parametrize("away", [DROP, (502, b"Bad Gateway"), (503, {"detail": "stopped"}), (504, b"")], ids=str)
def test_a_request_without_an_answer_is_made_anew(stand_in, away):
    webui = stand_in(away, away, MADE)
    found = ends(webui, count=2)
    assert [(one.status, one.tries) for one in (found[1], found[2])] == [("made", 3), ("made", 1)]


def test_three_times_without_an_answer_are_reported_and_the_others_are_made(stand_in):
    def answer(body):
        return DROP if body["seed"] == 1 else MADE

    webui = stand_in(answer)
    found = ends(webui, count=4)
    assert found[1].sentence == f"the WebUI went away three times while making it, at last {webui.url}"
    assert (found[1].status, found[1].tries) == ("failed", 3)
    assert [found[number].status for number in (2, 3, 4)] == ["made"] * 3


def test_one_that_answers_no_request_does_not_swallow_all_of_them(stand_in):
    """Its proxy says that it is well, and 502 to each request."""
    hole, good = stand_in((502, b""), seconds=0), stand_in(MADE, seconds=0.2)
    found = ends(hole, good, count=20)
    assert {one.status for one in found.values()} == {"made"}
    alone = ends(stand_in((502, b""), seconds=0), count=20)
    assert {one.sentence.partition(" while")[0] for one in alone.values()} == {"the WebUI went away three times"}


@pytest.mark.parametrize("wrong", [SICK, DROP, (502, b"Bad Gateway")], ids=str)
@pytest.mark.parametrize("seats", [1, 2])
def test_requests_that_a_webui_fails_at_cost_the_others_nothing(stand_in, wrong, seats):
    """However many there are, and however early: which are wrong is not known."""
    webuis = [stand_in(lambda body: wrong if body["seed"] <= 8 else MADE, seconds=0) for _ in range(seats)]
    found = ends(*webuis, count=12)
    assert [found[number].status for number in range(1, 13)] == ["failed"] * 8 + ["made"] * 4


def test_one_that_takes_no_request_has_no_seat_any_more(stand_in, monkeypatch):
    webui = WebUI(stand_in(MADE).url)
    asked = []

    def refuse(mode, body):
        asked.append(mode)
        raise WebUIAwayError(begun=False)

    monkeypatch.setattr(webui, "make", refuse)
    hosts = WebUIHosts([webui], 0.5)
    (end,) = hosts.outcomes([Request(1, 1, 0, "1")], lambda request: {})
    assert (end.status, end.sentence, end.tries) == ("failed", "no WebUI is left to make it", 0)
    assert len(asked) == 6


def test_whatever_keeps_a_request_from_being_sent_costs_the_others_nothing(stand_in):
    def body_of(request):
        return {"seed": request.number, "odd": {1, 2} if request.number == 2 else 0}  # no JSON

    requests = [Request(number, number, 0, str(number)) for number in (1, 2, 3)]
    found = list(WebUIHosts([WebUI(stand_in(MADE).url)], 0.5).outcomes(requests, body_of))
    assert [one.status for one in found] == ["made", "failed", "made"]
    assert found[1].sentence == "it cannot be sent: Object of type set is not JSON serializable."


def test_one_that_stays_away_loses_its_seat_and_its_request_goes_to_another(stand_in):
    def stop(body):
        threading.Thread(target=leaves.stop).start()
        leaves.progress = (502, {})
        return DROP

    leaves, good = stand_in(stop), stand_in(MADE, seconds=0.1)
    found = ends(leaves, good, count=6)
    assert {one.status for one in found.values()} == {"made"}
    assert sorted(one.tries for one in found.values()) == [1, 1, 1, 1, 1, 2]
    leaves.start()  # for the fixture's end


def test_with_no_seat_left_the_others_are_reported(stand_in, capsys):
    webui = stand_in(MADE, lambda body: (threading.Thread(target=webui.stop).start(), DROP)[1])
    found = ends(webui, count=4, patience=0.3)
    assert found[1].status == "made"
    assert [found[number].sentence for number in (2, 3, 4)] == ["no WebUI is left to make it"] * 3
    assert capsys.readouterr().out.splitlines() == [
        f"pocket: {webui.url} is away; it has 0 s to come back",
        f"pocket: {webui.url} stays away, and makes no more of these",
    ]
    webui.start()


def test_a_webui_has_the_time_to_come_back_that_is_set(monkeypatch):
    monkeypatch.setattr("farm.webui_hosts.PATIENCE", 0.25)
    assert WebUIHosts([])._patience == 0.25


def test_one_that_comes_back_goes_on(stand_in):
    def restart(body):
        def later():
            webui.stop()
            time.sleep(0.5)
            webui.start()

        threading.Thread(target=later).start()
        return DROP

    webui = stand_in(MADE, restart, MADE)
    found = ends(webui, count=4, patience=30)
    assert {one.status for one in found.values()} == {"made"}
    assert found[2].tries == 2


@pytest.mark.parametrize(
    ("progress", "sentence"),
    [
        ((404, {}), "no API answers there (404); start the WebUI with --api."),
        ((401, {}), "asks for a name and a password"),
        ((200, b"<html>"), "what answers there is no WebUI; correct the address."),
        ((200, {}), "what answers there is no WebUI; correct the address."),
        ((200, []), "what answers there is no WebUI; correct the address."),
    ],
)
def test_a_server_without_the_api_is_told_before_anything_starts(stand_in, progress, sentence):
    webui = stand_in(MADE, progress=progress)
    with pytest.raises(PocketError) as caught:
        WebUI(webui.url).check()
    assert sentence in str(caught.value)


def test_a_password_is_sent_but_not_shown(stand_in):
    webui = stand_in(MADE)
    named = WebUI(webui.url.replace("//", "//me:s%40cret@"))
    named.make("txt2img", {})
    assert webui.heads[0]["Authorization"] == "Basic bWU6c0BjcmV0"
    assert named.name == webui.url


def test_a_path_before_the_api_is_kept(stand_in):
    webui = stand_in(MADE)
    WebUI(f"{webui.url}/behind/").make("txt2img", {})
    assert webui.asked[0][0] == "/behind/sdapi/v1/txt2img"


def test_a_long_answer_is_waited_for_on_a_connection_that_is_kept_alive(stand_in, monkeypatch):
    monkeypatch.setattr("farm.webui._SECONDS_TO_CONNECT", 0.2)
    webui, options = stand_in(MADE, seconds=1), []
    set_option = socket.socket.setsockopt

    class Noting(socket.socket):
        def setsockopt(self, *option):
            options.append(option)
            return set_option(self, *option)

    monkeypatch.setattr(socket, "socket", Noting)
    assert WebUI(webui.url).make("txt2img", {}) == MADE[1]
    assert (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1) in options


def test_a_refused_connection_is_no_try():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(WebUIAwayError) as caught:
        WebUI(f"http://127.0.0.1:{port}").make("txt2img", {})
    assert not caught.value.begun
    assert not WebUI(f"http://127.0.0.1:{port}").comes_back(0.1)


def test_refused_is_what_the_person_reads(stand_in):
    with pytest.raises(RefusedError, match="fps is 0"):
        WebUI(stand_in((422, {"detail": "fps is 0"})).url).make("txt2img", {})

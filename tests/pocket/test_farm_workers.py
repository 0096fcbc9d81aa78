"""Hosts in Dask's workers, with hosts that only pretend: what dies is made anew, three times at most."""

import time
from types import SimpleNamespace

import pytest
from interpreter import PocketError

from farm import worker_hosts
from farm.cluster import workers
from farm.request_file import Request, WrongLineError
from farm.worker_hosts import WorkerHosts
from tests.pocket.farm_fakes import FakeHost, of_clusters


@pytest.fixture(scope="module")
def client():
    with workers(2, tries=1) as client:
        yield client


def ends(client, bodies, name="fake"):
    """The outcomes of requests with these bodies, by their numbers."""
    requests = [Request(number, number, 0, f"{number:064}") for number in range(1, len(bodies) + 1)]
    hosts = WorkerHosts(client, FakeHost(SimpleNamespace()), name)
    found = {}
    for outcome in hosts.outcomes(requests, lambda request: bodies[request.number - 1]):
        assert outcome.request.number not in found
        found[outcome.request.number] = outcome
    return found


def test_each_request_has_its_end(client):
    found = ends(client, [{"seed": n, "refuse": n == 3} for n in range(8)])
    assert [found[number].status for number in range(1, 9)] == ["made"] * 3 + ["refused"] + ["made"] * 4
    assert found[4].sentence == "the steps are wrong"
    assert {outcome.tries for outcome in found.values()} == {1}
    assert [found[number].response["body"]["seed"] for number in (1, 2, 8)] == [0, 1, 7]
    assert len({found[number].response["pid"] for number in (1, 2, 3)}) == 2
    _until(lambda: not client.futures and not client.run_on_scheduler(_tasks))


def _tasks(dask_scheduler):
    return len(dask_scheduler.tasks)


def _until(holds):
    """Waits for what Dask does a moment later."""
    end = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_request_whose_worker_dies_is_made_anew(client, tmp_path):
    found = ends(client, [{}, {"die_once": str(tmp_path / "died"), "sleep": 0.3}, {}, {}])
    assert [found[number].status for number in range(1, 5)] == ["made"] * 4
    assert found[2].tries == 2
    assert len(of_clusters()) == 2


def test_three_deaths_are_reported_and_the_others_are_made(client):
    found = ends(client, [{}, {"die": True, "sleep": 0.3}, {}, {"die": True, "sleep": 0.3}, *[{"sleep": 0.5}] * 4])
    assert [found[number].status for number in range(1, 9)] == ["made", "failed"] * 2 + ["made"] * 4
    assert found[2].sentence == "the worker died three times while making it"
    assert found[2].tries == 3


def test_whatever_a_worker_raises_costs_the_others_nothing(client):
    found = ends(client, [{}, {"raise": True}, {}])
    assert [found[number].status for number in (1, 2, 3)] == ["made", "failed", "made"]
    assert (found[2].sentence, found[2].tries) == ("the worker failed: no room", 1)


def test_whatever_keeps_a_request_from_being_sent_costs_the_others_nothing(client):
    deep = []
    for _ in range(600):
        deep = [deep]
    found = ends(client, [{}, {"odd": deep}, {}])
    assert [found[number].status for number in (1, 2, 3)] == ["made", "failed", "made"]
    assert found[2].sentence.startswith("it cannot be sent: ") and found[2].tries == 0


def test_a_host_that_cannot_be_started_ends_the_farm(client):
    with pytest.raises(PocketError, match="the checkpoint is none"):
        ends(client, [{}, {"break": True}, {}])


def test_a_line_that_was_changed_is_refused(client):
    def body_of(request):
        if request.number == 1:
            raise WrongLineError("line 1 has been changed")
        return {}

    hosts = WorkerHosts(client, FakeHost(SimpleNamespace()), "fake")
    outcomes = list(hosts.outcomes([Request(1, 1, 0, "a"), Request(2, 2, 0, "b")], body_of))
    assert [(one.status, one.sentence, one.tries) for one in outcomes] == [
        ("refused", "line 1 has been changed", 0),
        ("made", "", 1),
    ]


def test_large_bodies_are_sent_without_a_word(client, capsys, recwarn):
    assert ends(client, [{"init_images": ["x" * 20_000_000]}])[1].status == "made"
    assert not [warning for warning in recwarn if "large" in str(warning.message)]


def test_workers_that_cannot_run_the_pocket_are_one_sentence(client):
    class OnlyHere(FakeHost):
        def __reduce__(self):
            return __import__, ("no_such_module",)

    with pytest.raises(PocketError, match="the workers cannot run the pocket .*no_such_module") as caught:
        WorkerHosts(client, OnlyHere(SimpleNamespace()), "other")
    assert "\n" not in str(caught.value)


def test_without_workers_it_ends_with_a_sentence(monkeypatch):
    monkeypatch.setattr(worker_hosts, "_SECONDS_BETWEEN_LOOKS", 0.1)
    monkeypatch.setattr(worker_hosts, "_SECONDS_WITHOUT_WORKERS", 0.5)
    with workers(1) as lent, pytest.raises(PocketError, match="there are no workers any more"):
        lent.cluster.scale(0)
        while lent.nthreads():
            time.sleep(0.05)
        ends(lent, [{}])


def test_a_scheduler_that_goes_away_ends_the_farm_with_a_sentence(monkeypatch):
    monkeypatch.setattr(worker_hosts, "_SECONDS_BETWEEN_LOOKS", 0.1)
    with workers(1) as lent, workers(1, lent.scheduler.address) as client:
        hosts = WorkerHosts(client, FakeHost(SimpleNamespace()), "fake")
        requests = [Request(1, 1, 0, "a"), Request(2, 2, 0, "b")]
        found = hosts.outcomes(requests, lambda request: {"sleep": 3600 * (request.number - 1)})
        assert next(found).status == "made"
        lent.loop.add_callback(lent.cluster.scheduler.close)
        with pytest.raises(PocketError, match="the Dask scheduler is gone"):
            next(found)

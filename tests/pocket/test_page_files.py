"""Which files the page may load, and the parts of them that players ask for."""

from types import SimpleNamespace

import pytest
import requests

from modules import page_files, shared, util


@pytest.fixture
def below_hidden(tmp_path):
    folder = tmp_path / ".hidden" / "data"
    folder.mkdir(parents=True)
    return folder


def test_allowed_folders_may_lie_below_hidden_ones(below_hidden):
    page = SimpleNamespace(allowed_paths=[str(below_hidden)], temp_file_sets=[set()])
    assert page_files.may_be_shown(page, below_hidden / "outputs" / "a.gif")
    assert not page_files.may_be_shown(page, below_hidden / ".00001.part" / "a.gif")
    assert not page_files.may_be_shown(page, below_hidden.with_name("data2") / "a.gif")
    assert not page_files.may_be_shown(page, below_hidden.parent / "a.gif")


def test_files_that_the_page_made_may_lie_anywhere(below_hidden):
    made = below_hidden / ".a.gif"
    page = SimpleNamespace(allowed_paths=[], temp_file_sets=[{str(made)}])
    assert page_files.may_be_shown(page, made)
    assert not page_files.may_be_shown(page, below_hidden / "b.gif")


@pytest.fixture
def served(pocket):
    path = pocket["data"] / "a #1 100%.mp4"
    path.write_bytes(bytes(range(200)))
    yield f"{pocket['url']}/file={requests.utils.quote(str(path))}"
    path.unlink()


@pytest.mark.parametrize(
    ("asked", "status", "first", "last"),
    [
        (None, 200, 0, 199),
        ("bytes=0-", 206, 0, 199),
        ("bytes=10-19", 206, 10, 19),
        ("bytes=199-500", 206, 199, 199),
        ("bytes=200-", 200, 0, 199),
        ("bytes=-5", 200, 0, 199),
        ("bytes=20-10", 200, 0, 199),
        ("lines=1-2", 200, 0, 199),
    ],
)
def test_parts_of_a_file(served, asked, status, first, last):
    answer = requests.get(served, headers={"Range": asked} if asked else {}, timeout=300)
    assert answer.status_code == status
    assert answer.content == bytes(range(first, last + 1))
    assert answer.headers["Content-Type"] == "video/mp4"
    assert answer.headers["Content-Length"] == str(last - first + 1)
    if status == 206:
        assert answer.headers["Content-Range"] == f"bytes {first}-{last}/200"


def test_outside_and_missing_files(pocket, served):
    assert requests.head(served, timeout=300).status_code == 200
    for path, status in (("/etc/passwd", 403), (f"{pocket['data']}/../x", 403), (f"{pocket['data']}/gone", 404)):
        assert requests.get(f"{pocket['url']}/file={path}", timeout=300).status_code == status


def test_models_are_found_below_hidden_folders(pocket, below_hidden):
    (below_hidden / "sub").mkdir()
    (below_hidden / ".cache").mkdir()
    for name in ("a.pt", "sub/b.pt", ".cache/c.pt"):
        (below_hidden / name).touch()
    shared.opts.data["list_hidden_files"] = False
    found = sorted(path[len(str(below_hidden)) :] for path in util.walk_files(str(below_hidden), [".pt"]))
    assert found == ["/a.pt", "/sub/b.pt"]

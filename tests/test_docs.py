"""What is written about the code leads somewhere: links, citations, and the number of each pain."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
SKIPPED = {".git", ".venv", ".pocket", "outputs", "__pycache__"}


def files(*endings):
    """The repository's own files with these endings."""
    for path in sorted(ROOT.rglob("*")):
        if path.suffix in endings and not SKIPPED & {*path.relative_to(ROOT).parts}:
            yield path


TEXTS, CODE = list(files(".md")), list(files(".py", ".js", ".toml", ".yaml"))
CITATION = re.compile(r"docs/([\w-]+\.md)(?:[ #]+(\d+(?:\.\d+)?))?")
NUMBER = re.compile(r"^(?:#+ |\| ?)?(\d+(?:\.\d+)?)[. |]", re.MULTILINE)


@pytest.mark.parametrize("text", TEXTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_into_the_repository_leads_somewhere(text):
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", text.read_text("utf8")):
        assert (text.parent / target).exists(), target


def test_every_citation_is_of_something_that_is_written():
    cited = [(path, *CITATION.search(found).groups()) for path in CODE for found in _citations(path)]
    assert {name for _, name, _ in cited} >= {"behaviour.md", "host-facts.md", "pains.md"}
    for path, name, number in cited:
        assert (DOCS / name).exists(), f"{path} cites {name}"
        if number:
            assert number in NUMBER.findall((DOCS / name).read_text("utf8")), f"{path} cites {name} {number}"


def _citations(path):
    return [found[0] for found in CITATION.finditer(path.read_text("utf8"))]


FOR_DEVELOPERS = ["CONTRIBUTING.md", "motion_module/README.md", "pocket/README.md", *DOCS.glob("*.md")]


@pytest.mark.parametrize("text", FOR_DEVELOPERS, ids=lambda path: Path(path).name)
def test_every_file_of_code_that_is_named_is_there(text):
    code = [path.as_posix() for path in CODE]
    for named in re.findall(r"[\w/]+\.py\b", (ROOT / text).read_text("utf8")):
        assert any(path.endswith(f"/{named}") for path in code), named


def test_nobody_cites_what_no_cloner_has():
    for path in [*TEXTS, *CODE]:
        if path != Path(__file__):
            assert "shared/" + "design" not in path.read_text("utf8"), path
            assert "../shared" not in path.read_text("utf8"), path


def test_each_pain_has_its_test():
    pains = set(re.findall(r"^\| (\d+) \|", (DOCS / "pains.md").read_text("utf8"), re.MULTILINE))
    said = (ROOT / "tests" / "webui" / "test_pains.py").read_text("utf8")
    shown = set(re.findall(r"^\| (\d+) ", said, re.MULTILINE))
    for path in (ROOT / "tests").rglob("test_*.py"):
        shown |= set(re.findall(r"def test_(\d+)_", path.read_text("utf8")))
    assert pains == {str(number) for number in range(1, 40)}
    assert pains <= shown
    for where in re.findall(r"([\w./]+\.py)(?:::(\w+))?", said.partition('"""\n')[0]):
        path = next(
            base / where[0] for base in (ROOT / "tests" / "webui", ROOT / "tests") if (base / where[0]).exists()
        )
        assert where[1] in path.read_text("utf8"), where

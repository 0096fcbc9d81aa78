"""What the page looked like when a test failed."""

from pathlib import Path


def take(browser, folder):
    """Take a screenshot of every open page into a folder; returns what a person reads of it, a line a page."""
    folder = Path(folder)
    pages = [page for context in browser.contexts for page in context.pages]
    return [_taken(page, folder / f"page-{number}.png") for number, page in enumerate(pages, start=1)]


def _taken(page, path):
    try:
        page.screenshot(path=path, full_page=True, timeout=10_000)
    except Exception as error:  # a picture that cannot be taken must not hide why the test failed
        return f"no screenshot of {page.url}: {error}"
    return f"{page.url} looked like {path}"

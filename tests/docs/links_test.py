"""A reader finds every page from README.md, and what the pages link to is there."""

import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
ROOMS = ("README.md", "models/**/README.md", "shim/README.md")


def links(page):
    """The files that a page links to, whether they exist or not."""
    targets = re.findall(r"\]\(([\w./-]+)(?:#[^)]*)?\)", page.read_text())
    return {(page.parent / target).resolve() for target in targets}


def test_every_page_is_reached_from_the_readme():
    reached, unread = set(), {ROOT / "README.md"}
    while unread:
        reached |= unread
        found = {link for page in unread for link in links(page)}
        unread = {link for link in found if link.suffix == ".md" and link.exists()} - reached
    pages = {page for pattern in (*ROOMS, "docs/*.md") for page in ROOT.glob(pattern)}
    assert len(pages) > 10
    assert pages - reached == set()


@pytest.mark.parametrize("pattern", ROOMS)
def test_links_lead_somewhere(pattern):
    found = {link for page in ROOT.glob(pattern) for link in links(page)}
    assert found
    assert [str(link) for link in found if not link.exists()] == []

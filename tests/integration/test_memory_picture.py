"""The exported picture in a real browser: what was said is found, and is shown where it stands."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from agents.memory import export
from tests.support.memories import memory, note

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")
needs_browser = pytest.mark.skipif(BROWSER is None, reason="needs Chromium")
TALK = [
    note("t1", "Hi, I am Bob. I work at Acme and I live in Paris."),
    note("t2", "I moved to Berlin after the flood <of> 2021 & the mess.", 3),
    note("t3", "Carol knows Dave from the rowing club.", 4),
]


def page_after(folder: Path, script: str) -> str:
    """The page's elements after a script ran in it."""
    file = folder / "picture.html"
    with memory(folder) as made:
        made.remember(TALK)
        export.write(made, file)
    return page_of(file, script)


def page_of(file: Path, script: str) -> str:
    page = file.read_text("utf-8")
    assert "</body>" in page
    file.write_text(page.replace("</body>", f"<script>{script}</script></body>"), "utf-8")
    found = subprocess.run(
        [
            str(BROWSER),
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            f"--user-data-dir={file.parent / 'profile'}",
            "--virtual-time-budget=3000",
            "--dump-dom",
            file.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return found.stdout


def part(page: str, start: str, end: str) -> str:
    return page[page.index(start) :].partition(end)[0]


@needs_browser
def test_words_of_a_message_find_it_and_are_marked(tmp_path: Path) -> None:
    search = "document.getElementById('search')"
    page = page_after(
        tmp_path,
        f"{search}.value = 'MESS flood'; {search}.oninput();{search}.onkeydown({{key: 'Enter'}});",
    )
    found = part(page, '<ul id="found">', "</ul>")
    assert '<mark class="">flood</mark>' in found and '<mark class="">mess</mark>' in found
    assert "Bob" in found and "Berlin" in found and "Carol" not in found
    detail = part(page, '<div id="detail">', "</aside>")
    assert "&lt;of&gt; 2021 &amp;" in detail, "what was said stays text"
    first = detail.index("fact")
    assert "Berlin" in detail[first : detail.index("</q>")], "the fact that was asked for is first"


@needs_browser
def test_what_nobody_said_is_not_found(tmp_path: Path) -> None:
    search = "document.getElementById('search')"
    page = page_after(tmp_path, f"{search}.value = 'zeppelin (.*'; {search}.oninput();")
    assert "No name, no fact and nothing that was said has that." in part(
        page, '<ul id="found">', "</ul>"
    )


HUB = """
const out = [live.filter((n) => !n.more).length, folds.get("hub").inside.length, shown(byId.get("alone"))];
choose(byId.get("leaf399"));
out.push(shown(byId.get("leaf399")), folds.get("hub").inside.length);
choose(folds.get("hub"));
out.push(live.length, chosen.id, document.querySelectorAll(".fact").length);
document.body.append(make("output", out.join(" ")));
"""


@needs_browser
def test_of_who_knows_very_many_most_are_folded_until_asked_for(tmp_path: Path) -> None:
    names = ["hub", "alone", "other", *(f"leaf{i}" for i in range(400))]
    ties = [("hub", name) for name in names[2:]]
    value = {
        "made": "now",
        "nodes": [{"id": n, "name": n, "type": "person", "mentions": 2, "also": []} for n in names],
        "facts": [
            {"head": h, "tail": t, "type": "KNOWS", "from": 1, "to": None, "confidence": 1, "sources": []}
            for h, t in [*ties, ("other", "leaf0")]
        ],
    }  # fmt: skip
    file = tmp_path / "picture.html"
    file.write_text(export.page(value), "utf-8")
    shown = part(page_of(file, HUB), '<output class="">', "</output>").partition(">")[2]
    # The hub, who has no facts, the two tied to others too, and six of the others.
    assert shown == "10 393 false true 392 403 hub 60"

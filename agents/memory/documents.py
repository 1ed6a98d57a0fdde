"""Documents: their text, cut into chunks of whole sentences that overlap."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

from agents.memory.text import sentences
from agents.memory.types import Note
from engine.errors import HaloError

CHUNK = 900  # characters, within the embedder's window
OVERLAP = 160  # characters of whole sentences that a chunk shares with the one before
SUFFIXES = (".txt", ".md", ".markdown", ".rst", ".html", ".htm", ".pdf")


@dataclass(frozen=True, slots=True)
class Document:
    """A file's text and what it is called."""

    path: Path
    title: str
    text: str
    modified: float


def read(path: Path) -> Document:
    """A document's text. Raises HaloError for files that are none, or cannot be read."""
    suffix = path.suffix.lower()
    if path.is_dir():
        raise HaloError(f"{path} is a folder.", "Give the files in it.")
    if suffix not in SUFFIXES and path.exists():
        raise HaloError(
            f"{path.name} is no document that can be read.", f"Give one of {', '.join(SUFFIXES)}."
        )
    try:
        modified = path.stat().st_mtime
        if suffix == ".pdf":
            title, text = _pdf(path)
        else:
            text = path.read_text(encoding="utf-8", errors="replace")
            title = ""
            if suffix in (".html", ".htm"):
                title, text = _html(text)
            elif suffix in (".md", ".markdown"):
                text = _markdown(text)
    except OSError as error:
        raise HaloError(
            f"{path} cannot be read: {error.strerror or error}.", "Check its name and permissions."
        ) from error
    if not text.strip():
        why = " It may hold scanned pages only." if suffix == ".pdf" else ""
        raise HaloError(f"{path.name} has no text.{why}", "Give a file with text.")
    return Document(path.absolute(), title.strip() or path.name, text, modified)


def chunks(text: str, size: int = CHUNK, overlap: int = OVERLAP) -> list[str]:
    """Whole sentences up to `size` characters; each chunk begins with the end of the one before.

    A paragraph's end is preferred where at least half of a chunk is full.
    """
    pieces: list[tuple[str, bool]] = []  # sentence, whether a paragraph ends after it
    for paragraph in re.split(r"\n\s*\n", text):
        found = [re.sub(r"\s+", " ", s) for _, s in sentences(paragraph)]
        pieces += [(s, i == len(found) - 1) for i, s in enumerate(found)]
    made: list[str] = []
    current: list[str] = []
    fresh = 0  # sentences of `current` that no chunk has yet
    for sentence, ends in pieces:
        if fresh and _length(current) + len(sentence) > size:
            made.append(" ".join(current))
            current, fresh = _tail(current, overlap), 0
        current.append(sentence)
        fresh += 1
        if ends and _length(current) >= size // 2:
            made.append(" ".join(current))
            current, fresh = _tail(current, overlap), 0
    if fresh:
        made.append(" ".join(current))
    return made


def notes(document: Document, space: str) -> list[Note]:
    """A document's chunks as notes; a chunk that stays the same keeps its id."""
    name = hashlib.sha1(str(document.path).encode()).hexdigest()[:12]
    found: list[Note] = []
    seen: dict[str, int] = {}
    for chunk in chunks(document.text):
        digest = hashlib.sha1(f"{space}\0{chunk}".encode()).hexdigest()[:12]
        seen[digest] = seen.get(digest, 0) + 1
        found.append(
            Note(
                id=f"d-{name}-{digest}-{seen[digest]}",
                text=chunk,
                speaker=document.title,
                conversation=f"document:{document.path}",
                time=document.modified,
                space=space,
                kind="document",
            )
        )
    return found


def _length(parts: list[str]) -> int:
    return sum(map(len, parts)) + len(parts)


def _tail(parts: list[str], overlap: int) -> list[str]:
    kept: list[str] = []
    for part in reversed(parts):
        if _length(kept) + len(part) > overlap:
            break
        kept.insert(0, part)
    return kept


def _markdown(text: str) -> str:
    text = re.sub(r"^(?:```|~~~).*$", "", text, flags=re.MULTILINE)
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", text)
    text = re.sub(r"^\s{0,3}#{1,6}\s*(.+?)\s*#*$", r"\n\1.\n", text, flags=re.MULTILINE)
    return re.sub(r"(\*\*|__|`)", "", text)


class _Page(HTMLParser):
    """The visible text of a page."""

    HIDDEN = frozenset(("script", "style", "noscript", "template", "svg", "head"))
    BLOCKS = frozenset(
        "p div section article header footer main li ul ol tr table h1 h2 h3 h4 h5 h6 br pre "
        "blockquote dt dd figcaption".split()
    )

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self.title = ""
        self._hidden = 0
        self._in_title = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._in_title = self._in_title or tag == "title"
        self._hidden += tag in self.HIDDEN
        if tag in self.BLOCKS:
            self.parts.append("\n\n")

    def handle_endtag(self, tag: str) -> None:
        if tag == "title":
            self._in_title = False
        if tag in self.HIDDEN and self._hidden:
            self._hidden -= 1
        if tag in self.BLOCKS:
            self.parts.append("\n\n")

    def handle_data(self, data: str) -> None:
        if self._in_title:
            self.title += data
        elif not self._hidden:
            self.parts.append(data)


def _html(text: str) -> tuple[str, str]:
    page = _Page()
    page.feed(text)
    page.close()
    return page.title, re.sub(r"\n{3,}", "\n\n", "".join(page.parts))


def _pdf(path: Path) -> tuple[str, str]:
    import pypdf
    from pypdf.errors import PyPdfError

    try:
        reader = pypdf.PdfReader(path)
        title = str(reader.metadata.title or "") if reader.metadata else ""
        pages = [page.extract_text() or "" for page in reader.pages]
    except (PyPdfError, ValueError, KeyError, TypeError) as error:
        raise HaloError(
            f"{path.name} cannot be read as a PDF: {error}.", "Save it anew, or as text."
        ) from error
    text = "\n\n".join(pages)
    return title, re.sub(r"(?<=\w)-\n(?=[a-z])", "", text)  # words divided at a line's end

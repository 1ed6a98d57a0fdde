"""Snapshot files of sessions: listing, naming, reading and writing them without an engine.

A `.halo` file holds a conversation and its cells, a `.json` file the conversation alone; `.md` is
written for people and not read again. A snapshot's title is its file's name.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from agents import talk as talks
from agents.history import write_atomically
from agents.talk import Talk
from engine import snapshot
from engine.errors import HaloError

SUFFIX, TEXT_SUFFIX, READING_SUFFIX = ".halo", ".json", ".md"
MOST_TEXT = 256 << 20  # bytes of a conversation
TITLE = 60  # characters; file systems end names at 255 bytes


@dataclass(frozen=True, slots=True)
class Saved:
    """A snapshot in a list."""

    path: Path
    agent: str
    title: str
    turns: int
    tokens: int
    cells: int  # 0: only the text was saved
    model: str
    last: str  # of its newest message
    saved_at: float
    size: int  # bytes
    problem: str = ""  # one sentence, when it cannot be used as it is

    @property
    def ratio(self) -> float:
        """Tokens for each cell: 1 when nothing was compacted."""
        return self.tokens / self.cells if self.cells else 1.0


# --- lists ---------------------------------------------------------------------------------------


def list_saved(folder: Path) -> list[Saved]:
    """The snapshots of a folder, newest first; damaged ones with their problem."""
    try:
        files = [
            path
            for path in folder.iterdir()
            if path.suffix in (SUFFIX, TEXT_SUFFIX) and not path.name.startswith(".")
        ]
    except OSError:
        return []
    return sorted((describe(path) for path in files), key=lambda s: (-s.saved_at, s.title))


def describe(path: Path) -> Saved:
    """A snapshot as a list shows it; never raises."""
    try:
        stat = path.stat()
        size, when = stat.st_size, stat.st_mtime
    except OSError as error:
        return Saved(path, "", path.stem, 0, 0, 0, "", "", 0.0, 0, f"{error.strerror}.")
    try:
        if path.suffix == TEXT_SUFFIX:
            talk = read_talk(path)
            about, saved_at = {**talks.about(talk)}, talk.saved_at
        else:
            manifest = snapshot.peek(path)
            about, saved_at = dict(manifest.about), manifest.saved_at
    except (HaloError, OSError) as error:
        # The list says which file it is, and what can be done where one can do it.
        said = error.what if isinstance(error, snapshot.SnapshotError) and error.part else error
        problem = str(said).replace(f"The snapshot {path}", "It").replace(str(path), "It")
        return Saved(path, "", path.stem, 0, 0, 0, "", "", when, size, problem)

    def text(key: str) -> str:
        return str(about.get(key) or "")

    def number(key: str) -> int:
        value = about.get(key)
        return max(0, int(value)) if isinstance(value, int | float) else 0

    return Saved(
        path,
        text("agent"),
        path.stem,
        number("turns"),
        number("tokens"),
        number("cells"),
        text("model"),
        text("last"),
        saved_at or when,
        size,
    )


def free_path(folder: Path, title: str, suffix: str = SUFFIX) -> Path:
    """A file for a title that no snapshot has yet; never outside `folder`."""
    fit = "".join("-" if c == "/" or not c.isprintable() else c for c in title)
    stem = " ".join(fit.split())[:TITLE].strip(" .-") or "session"
    number, free = 1, stem
    while any((folder / f"{free}{ending}").exists() for ending in (SUFFIX, TEXT_SUFFIX)):
        number += 1
        free = f"{stem}-{number}"
    return folder / f"{free}{suffix}"


# --- reading and writing -------------------------------------------------------------------------


def read_talk(path: Path, tell: Callable[[str], None] | None = None) -> Talk:
    """The conversation of a snapshot or an exported JSON file. Raises HaloError.

    Of a damaged snapshot whatever can be saved; `tell` hears a sentence about it.
    """
    path = path.expanduser()
    if path.suffix == READING_SUFFIX:
        raise HaloError(
            f"{path.name} is a conversation for reading only.",
            "Give a .halo snapshot, or a JSON file exported by halo-tui.",
        )
    if path.suffix == TEXT_SUFFIX:
        try:
            if path.stat().st_size > MOST_TEXT:
                raise HaloError(f"{path.name} is too large for a conversation.", "Check the file.")
            return talks.decode(path.read_bytes(), path.name)
        except OSError as error:
            raise HaloError(f"{path} cannot be read: {error.strerror}.", "Check it.") from None
    if not path.is_file():
        raise HaloError(f"There is no file {path}.", "Check its name and folder.")
    try:
        with snapshot.read(path) as found:
            return talks.decode(found.talk, path.name)
    except OSError as error:
        raise HaloError(f"{path} cannot be read: {error.strerror}.", "Check it.") from None
    except snapshot.SnapshotError as error:
        with snapshot.salvage(path) as saved:
            if saved.talk is None:
                raise
            talk = talks.decode(saved.talk, path.name)
        if tell is not None:
            tell(f"{error} Its conversation could be saved; its cells are read again.")
        return talk


def write_talk(path: Path, talk: Talk) -> None:
    """Write a conversation as Markdown (.md) or JSON. Raises HaloError."""
    reading = path.suffix == READING_SUFFIX
    text = talks.markdown(talk).encode() if reading else talks.encode(talk, True)
    try:
        write_atomically(path, text)
    except OSError as error:
        raise cannot_write(path, error) from None


def rename_saved(path: Path, title: str) -> Saved:
    """Give a snapshot another title, which is its file's name. Raises HaloError."""
    title = title.strip()
    if not title:
        raise HaloError("The new name is empty.", "Give one.")
    if title == path.stem:
        return describe(path)
    target = free_path(path.parent, title, path.suffix)
    try:
        os.replace(path, target)
    except OSError as error:
        raise HaloError(f"{path.name} cannot be renamed: {error.strerror}.") from None
    return describe(target)


def export_saved(path: Path, target: Path) -> None:
    """A snapshot as Markdown, JSON or a copy, by the ending of `target`. Raises HaloError."""
    target = export_target(target)
    if target.suffix != SUFFIX:
        talk = read_talk(path)
        talk.title = path.stem
        write_talk(target, talk)
        return
    if path.suffix != SUFFIX:
        raise HaloError(f"{path.stem} has its text only, no cells.", "Export it as .json or .md.")
    temporary = target.with_name(f".{target.name}.new")
    try:
        if target.exists() and target.samefile(path):
            return
        shutil.copyfile(path, temporary)
        os.replace(temporary, target)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise cannot_write(target, error) from None


def export_target(path: Path) -> Path:
    """`path` in full. Raises HaloError when nothing can be exported there."""
    path = path.expanduser().absolute()
    if path.is_dir():
        raise HaloError(
            f"{path} is a folder.", "Give a file name that ends in .md, .json or .halo."
        )
    if path.suffix not in (SUFFIX, TEXT_SUFFIX, READING_SUFFIX):
        raise HaloError(
            f"The ending of {path.name} does not say what to write.",
            "End it in .md (for reading), .json (the text) or .halo (with the cells).",
        )
    if not path.parent.is_dir():
        raise HaloError(f"There is no folder {path.parent}.", "Make it, or choose another.")
    return path


def cannot_write(path: Path, error: OSError) -> HaloError:
    """The sentence for a file that cannot be written."""
    return HaloError(f"{path} cannot be written: {error.strerror}.", "Choose another place.")

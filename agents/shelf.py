"""The sessions of a data folder without an app: listed, copied, restored, forked, checked.

Reading works beside a running app; changes take the folder's lock and refuse while one runs.
"""

from __future__ import annotations

import difflib
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from agents import saved as files
from agents import talk as talks
from agents.addressing import checked_name
from agents.agent import new_id
from agents.history import Header
from agents.roster import DataFolder, Document, Entry, entry_of, free_name, header_of
from agents.saved import SUFFIX, TEXT_SUFFIX, Saved
from agents.talk import Talk
from engine import snapshot
from engine.errors import HaloError

Kind = Literal["saved", "agent", "closed"]


@dataclass(frozen=True, slots=True)
class Item:
    """One session on disk. `saved.path` is its snapshot; of an agent without one, its text."""

    kind: Kind
    name: str  # what commands call it
    saved: Saved
    entry: Entry | None = None  # of agents, also closed ones


class Shelf:
    """All sessions of one data folder."""

    def __init__(self, folder: Path) -> None:
        self.data = DataFolder(folder)
        self.saved_folder = folder / "saved"

    # --- reading ---------------------------------------------------------------------------------

    def items(self) -> list[Item]:
        """Snapshots by name, newest first; then the agents; then the closed ones."""
        found = [Item("saved", s.title, s) for s in files.list_saved(self.saved_folder)]
        document = self._document()
        found += [self._agent("agent", entry) for entry in document.agents]
        found += [self._agent("closed", entry) for entry in reversed(document.closed)]
        return found

    def find(self, name: str) -> Item:
        """The session of that name: a snapshot first, then an agent. A path is a file.

        Raises HaloError, with the nearest name.
        """
        items = self.items()
        for item in items:
            if item.name.casefold() == name.casefold():
                return item
        path = Path(name).expanduser()
        if path.suffix in (SUFFIX, TEXT_SUFFIX) and path.is_file():
            return Item("saved", path.stem, files.describe(path))
        near = difflib.get_close_matches(name, [item.name for item in items], n=1)
        hint = f"Did you mean '{near[0]}'?" if near else "`halo-tui sessions list` shows them."
        raise HaloError(f"There is no session called '{name}'.", hint)

    def talk(self, item: Item, warnings: list[str] | None = None) -> Talk:
        """The conversation of a session; of a damaged snapshot what can be saved, with a warning.

        Raises HaloError when there is none.
        """
        if item.entry is None:
            heard = warnings if warnings is not None else []
            return files.read_talk(item.saved.path, heard.append)
        loaded = self.data.history(item.entry.id, item.kind == "closed").load_only()
        if warnings is not None:
            warnings += loaded.faults
        header = loaded.header or Header(item.entry.id, item.entry.name)
        return Talk(header, loaded.turns, saved_at=item.saved.saved_at)

    def verify(self, item: Item) -> snapshot.Report | None:
        """Every byte of its snapshot checked; None when it has only text.

        Raises HaloError when the file cannot be read at all.
        """
        if item.saved.path.suffix != SUFFIX:
            self.talk(item)
            return None
        return snapshot.verify(item.saved.path)

    # --- changes ---------------------------------------------------------------------------------

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Hold the folder. Raises HaloError while an app uses it."""
        self.data.lock()
        try:
            yield
        finally:
            self.data.unlock()

    def save(self, item: Item, title: str = "") -> Saved:
        """Keep an agent's session as a snapshot: its cells as they were at its checkpoint."""
        title = title.strip() or f"{item.name} {time.strftime('%Y-%m-%d %H:%M')}"
        return self._write(self.talk(item), item, title)

    def restore(self, item: Item, name: str = "", warnings: list[str] | None = None) -> str:
        """Put a session on the list of agents; the next start has it. Returns its name there."""
        return self._add(self.talk(item, warnings), item, name)

    def rename(self, item: Item, new: str) -> str:
        """Call a snapshot or an agent something else; what it is called now."""
        if item.entry is None:
            return files.rename_saved(item.saved.path, new).title
        document = self._document()
        taken = {e.name.casefold() for e in document.agents if e.id != item.entry.id}
        new = checked_name(new)
        if new.casefold() in taken:
            raise HaloError(f"There is already an agent called '{new}'.", "Choose another name.")
        for entry in (*document.agents, *document.closed):
            if entry.id == item.entry.id:
                entry.name = new
        history = self.data.history(item.entry.id, item.kind == "closed")
        loaded = history.load()
        header = loaded.header or Header(item.entry.id, new)
        header.name = new
        history.header(header)
        history.close()
        self._save(document)
        return new

    def delete(self, item: Item) -> None:
        """Remove a snapshot for good."""
        if item.entry is not None:
            raise HaloError(
                f"{item.name} is an agent, not a snapshot.", "Close it in the app instead."
            )
        try:
            item.saved.path.unlink()
        except OSError as error:
            raise HaloError(f"{item.saved.path} cannot be deleted: {error.strerror}.") from None

    def export(self, item: Item, target: Path) -> Path:
        """Write a session as Markdown, JSON or a snapshot, by the ending of `target`."""
        target = files.export_target(target)
        if target.suffix == SUFFIX:
            if item.saved.path.suffix != SUFFIX:
                raise HaloError(
                    f"{item.name} has no cells on disk.", "Export it as .json or .md instead."
                )
            if item.entry is None:
                files.export_saved(item.saved.path, target)
            else:
                _rewrite(item.saved.path, target, self.talk(item))
        else:
            files.write_talk(target, self.talk(item))
        return target

    def import_(self, path: Path, warnings: list[str]) -> Saved:
        """Copy a snapshot or an exported conversation to the saved ones, after checking it.

        Of a damaged snapshot the conversation comes alone. Raises HaloError when nothing can be
        had from it.
        """
        path = path.expanduser()
        report = snapshot.verify(path) if path.suffix == SUFFIX and path.is_file() else None
        if report is not None and report.ok:
            talks.decode(snapshot.read(path).part(snapshot.TALK), path.name)
            self._make_folder()
            target = files.free_path(self.saved_folder, path.stem)
            files.export_saved(path, target)
            return files.describe(target)
        if report is not None:
            bad = [f.name for f in report.findings if f.state != "ok"] or ["its structure"]
            warnings.append(
                f"{path.name} is damaged ({', '.join(bad)}): only its conversation was imported."
            )
        talk = files.read_talk(path)
        self._make_folder()
        target = files.free_path(self.saved_folder, path.stem, TEXT_SUFFIX)
        files.write_talk(target, talk)
        return files.describe(target)

    # --- inside ----------------------------------------------------------------------------------

    def _document(self) -> Document:
        return self.data.open(repair=False).document or Document()

    def _save(self, document: Document) -> None:
        try:
            self.data.save(document)
        except OSError as error:
            raise files.cannot_write(self.data.list_file, error) from None

    def _agent(self, kind: Kind, entry: Entry) -> Item:
        history = self.data.history(entry.id, kind == "closed").path
        checkpoint = history.with_suffix(SUFFIX)
        if checkpoint.is_file():
            saved = files.describe(checkpoint)
        else:
            talk = Talk(Header(entry.id, entry.name), [])
            loaded = self.data.history(entry.id, kind == "closed").load_only()
            talk.turns = loaded.turns
            about = talks.about(talk)
            size = history.stat().st_size if history.is_file() else 0
            saved = Saved(
                history, entry.name, entry.name, int(about["turns"] or 0), 0, 0, "",
                str(about["last"]), entry.last_active or entry.created, size,
            )  # fmt: skip
        return Item(kind, entry.name, replace(saved, agent=entry.name, title=entry.name), entry)

    def _make_folder(self) -> None:
        try:
            self.saved_folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise files.cannot_write(self.saved_folder, error) from None

    def _write(self, talk: Talk, item: Item, title: str) -> Saved:
        self._make_folder()
        talk.title, talk.saved_at = title, time.time()
        if item.saved.path.suffix == SUFFIX and not item.saved.problem:
            target = files.free_path(self.saved_folder, title)
            _rewrite(item.saved.path, target, talk)
        else:
            target = files.free_path(self.saved_folder, title, TEXT_SUFFIX)
            files.write_talk(target, talk)
        return files.describe(target)

    def _add(self, talk: Talk, item: Item, name: str) -> str:
        document = self._document()
        taken = {entry.name.casefold() for entry in document.agents}
        if name:
            name = checked_name(name)
            if name.casefold() in taken:
                raise HaloError(f"There is already an agent called '{name}'.", "Choose another.")
        else:
            name = free_name(talks.agent_name(talk), taken)
        agent = talks.agent_from(talk, name)
        agent.id, agent.created = new_id("a"), time.time()
        history = self.data.history(agent.id)
        history.rewrite(header_of(agent), agent.turns)
        if history.error is not None:
            raise files.cannot_write(history.path, history.error)
        history.close()
        if item.saved.path.suffix == SUFFIX and not item.saved.problem:
            _copy(item.saved.path, history.path.with_suffix(SUFFIX))
        document.agents.append(entry_of(agent))
        self._save(document)
        return name


def _rewrite(source: Path, target: Path, talk: Talk) -> None:
    """A snapshot's cells with a conversation that may have gone on since."""
    with snapshot.read(source) as found:
        manifest = found.manifest
        parts = {
            name: found.part(name)
            for name in found.names
            if name != snapshot.TALK and ".copy." not in name
        }
        about = {**manifest.about, **talks.about(talk)}
        snapshot.write(
            target,
            {snapshot.TALK: talks.encode(talk), **parts},
            fingerprint=manifest.fingerprint,
            kv=manifest.kv,
            about=about,
            compress=any(part.coding == "zstd" for part in manifest.parts),
        )


def _copy(source: Path, target: Path) -> None:
    temporary = target.with_name(f".{target.name}.copy")
    try:
        shutil.copyfile(source, temporary)
        os.replace(temporary, target)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise files.cannot_write(target, error) from None

"""Saved sessions: checkpoints after turns, snapshots by name, restoring, forks, cells put aside.

Text is always on disk (see `history`); what is kept here on top are the cells. Nothing depends on
them: a session whose cells cannot be used reads its conversation again, and says so.

    agents/<id>.halo        the checkpoint of an agent
    saved/<name>.halo       snapshots that somebody asked for
    saved/trash/            deleted ones, until the app ends
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import shutil
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from agents import talk as talks
from agents.agent import Agent
from agents.events import SavedChanged
from agents.history import write_atomically
from agents.roster import free_name
from agents.talk import Talk
from engine import snapshot
from engine.errors import EngineError, HaloError

if TYPE_CHECKING:
    from agents.workspace import Workspace

log = logging.getLogger("halo.agents")
SUFFIX = ".halo"
QUIET_SECONDS = 0.5  # without any answer in the making, before checkpoints are written
OVERDUE_SECONDS = 20.0  # a checkpoint waits no longer for quiet than that
LAST_SECONDS = 20.0  # for the checkpoints at the end
RESUME_CODES = ("other_model", "other_cache", "damaged")


@dataclass(frozen=True, slots=True)
class Saved:
    """A snapshot in a list."""

    path: Path
    agent: str
    title: str
    turns: int
    tokens: int
    cells: int
    model: str
    last: str  # of its newest message
    saved_at: float
    size: int  # bytes
    problem: str = ""  # one sentence, when it cannot be used

    @property
    def ratio(self) -> float:
        """Tokens for each cell: 1 when nothing was compacted."""
        return self.tokens / self.cells if self.cells else 1.0


class Sessions:
    """The saved side of one workspace."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.folder = Path(workspace.data_dir) / "saved"
        self._dirty: dict[str, float] = {}  # agent id -> when its turn ended
        self._restoring: dict[str, asyncio.Task[None]] = {}
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._deleted: list[tuple[Path, Path]] = []  # where it was, where it is
        self._told: set[str] = set()  # troubles that were said

    # --- life ------------------------------------------------------------------------------------

    def engine_ready(self) -> None:
        """A core is ready: give it the cells of all agents, the focused one first."""
        if not self.workspace.config.sessions.checkpoint:
            return
        for folder in (self._checkpoints, self.folder):
            with contextlib.suppress(OSError):
                snapshot.sweep(folder)
        focused = self.workspace.focused
        for agent in sorted(self.workspace.agents, key=lambda a: a.name != focused):
            if agent.turns and self._checkpoint(agent).is_file() and agent.id not in self._dirty:
                self._restoring[agent.id] = asyncio.get_running_loop().create_task(
                    self._bring_back(agent)
                )
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def restored(self, agent: Agent) -> None:
        """Wait until the agent's cells are back, or known not to come."""
        task = self._restoring.get(agent.id)
        if task is not None:
            await asyncio.shield(task)

    async def stop(self) -> None:
        """Write the checkpoints that are due."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        for task in self._restoring.values():
            task.cancel()
        if self.workspace.engine_state == "ready" and self._dirty:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LAST_SECONDS):
                    await self._write_due(list(self._dirty))
        await asyncio.to_thread(shutil.rmtree, self.folder / "trash", ignore_errors=True)

    def engine_gone(self) -> None:
        """The core ended; what it held is lost, checkpoints are not."""
        for task in self._restoring.values():
            task.cancel()
        self._restoring.clear()

    # --- checkpoints -----------------------------------------------------------------------------

    @property
    def _checkpoints(self) -> Path:
        return Path(self.workspace.data_dir) / "agents"

    def _checkpoint(self, agent: Agent) -> Path:
        return self._checkpoints / f"{agent.id}{SUFFIX}"

    def changed(self, agent: Agent) -> None:
        """The agent's cells changed: a turn or a compaction ended."""
        if self.workspace.config.sessions.checkpoint:
            self._dirty[agent.id] = time.monotonic()
            self._wake.set()

    async def close(self, agent: Agent) -> None:
        """The agent is taken off the list: its checkpoint goes aside with its conversation."""
        if agent.id in self._dirty and self.workspace.engine_state == "ready":
            await self._write_due([agent.id])
        with contextlib.suppress(OSError):
            os.replace(self._checkpoint(agent), self._aside(agent))

    def reopen(self, agent: Agent) -> None:
        """The agent is back: so is its checkpoint."""
        with contextlib.suppress(OSError):
            os.replace(self._aside(agent), self._checkpoint(agent))
        if self.workspace.engine_state == "ready" and self._checkpoint(agent).is_file():
            self._restoring[agent.id] = asyncio.get_running_loop().create_task(
                self._bring_back(agent)
            )

    def _aside(self, agent: Agent) -> Path:
        return self._checkpoints / "closed" / f"{agent.id}{SUFFIX}"

    def forget(self, agent: Agent) -> None:
        """The agent's conversation is gone (cleared): its checkpoint is as well."""
        self._dirty.pop(agent.id, None)
        with contextlib.suppress(OSError):
            self._checkpoint(agent).unlink(missing_ok=True)
        self.workspace.client.forget_snapshot(agent.id)

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._dirty:
                await asyncio.sleep(QUIET_SECONDS)
                now = time.monotonic()
                quiet = not self.workspace.answers.running
                due = [i for i, at in self._dirty.items() if quiet or now - at > OVERDUE_SECONDS]
                if due and self.workspace.engine_state == "ready":
                    await self._write_due(due)

    async def _write_due(self, ids: Iterable[str]) -> None:
        for agent_id in ids:
            self._dirty.pop(agent_id, None)
            agent = self.workspace.by_id(agent_id)
            if agent is None or agent_id not in self.workspace.answers.opened:
                continue
            await self.restored(agent)
            try:
                await self._save(agent, self._checkpoint(agent), talks.talk_of(agent), True)
                self._told.discard("checkpoint")
            except EngineError as error:
                if error.code not in ("nothing", "dead"):
                    self._tell_once("checkpoint", error)
            except HaloError as error:
                self._tell_once("checkpoint", error)

    def _tell_once(self, kind: str, error: HaloError) -> None:
        if kind not in self._told:
            self._told.add(kind)
            self.workspace.note("warning", "session", f"No checkpoint could be written: {error}")

    async def _save(self, agent: Agent, path: Path, talk: Talk, checkpoint: bool) -> int:
        return await self.workspace.client.save(
            agent.id, path, talks.encode(talk), talks.about(talk), checkpoint=checkpoint
        )

    async def _bring_back(self, agent: Agent) -> None:
        workspace = self.workspace
        try:
            await workspace.answers.open(agent)
            await workspace.client.restore(agent.id, self._checkpoint(agent), checkpoint=True)
        except EngineError as error:
            if error.code in ("dead", "busy"):
                return
            if error.code not in RESUME_CODES:
                log.warning("cannot restore %s: %s", agent.name, error)
            workspace.note("warning", "session", f"{agent.name}: {error}", agent)
        finally:
            self._restoring.pop(agent.id, None)

    # --- snapshots by name -----------------------------------------------------------------------

    def saved(self) -> list[Saved]:
        """All snapshots that were asked for, newest first. Reads only their manifests."""
        return list_saved(self.folder)

    async def save_as(self, name: str, title: str = "") -> Saved:
        """Keep an agent's session under a title; the agent goes on. Raises HaloError."""
        agent = self.workspace.get(name)
        await self.restored(agent)
        title = title.strip() or f"{agent.name} {time.strftime('%Y-%m-%d %H:%M')}"
        path = free_path(self.folder, title)
        talk = talks.talk_of(agent, title)
        if not talk.turns:
            raise HaloError(f"{agent.name} has said nothing yet.", "Talk first, then save.")
        await self.workspace.answers.open(agent)
        try:
            await self._save(agent, path, talk, False)
        except EngineError as error:
            if error.code != "nothing":
                raise
            path = path.with_suffix(".json")  # nothing in the cells: the text
            await asyncio.to_thread(write_talk, path, talk)
        self._list_changed()
        return describe(path)

    async def restore(self, path: Path, name: str = "") -> Agent:
        """A new agent that goes on where a snapshot (or an exported JSON file) stopped.

        Cells that cannot be used are said in the event log; the text is read again then.
        """
        workspace = self.workspace
        talk = await asyncio.to_thread(read_talk, path, self._tell_salvaged)
        taken = {other.casefold() for other in workspace.names}
        agent = talks.agent_from(
            talk, workspace.free_name(name or free_name(talk.agent.name, taken))
        )
        workspace.add(agent)
        if path.suffix == SUFFIX and workspace.engine_state == "ready":
            task = asyncio.get_running_loop().create_task(self._give_cells(agent, path))
            self._restoring[agent.id] = task
            await self.restored(agent)
        return agent

    async def _give_cells(self, agent: Agent, path: Path) -> None:
        try:
            await self.workspace.answers.open(agent)
            await self.workspace.client.restore(agent.id, path)
            self.changed(agent)
        except HaloError as error:
            self.workspace.note("warning", "session", f"{agent.name}: {error}", agent)
        finally:
            self._restoring.pop(agent.id, None)

    def _tell_salvaged(self, text: str) -> None:
        self.workspace.note("warning", "session", text)

    async def fork(self, name: str, turn_id: str = "", new: str = "") -> Agent:
        """A new agent right after this one that knows the conversation up to a turn (or all).

        Its cells are the original's own until one of the two goes another way.
        """
        workspace = self.workspace
        agent = workspace.get(name)
        upto: int | None = None
        if turn_id:
            turn = agent.turn(turn_id)
            if turn is None:
                raise HaloError("That message is gone.", "Choose another one.")
            upto = agent.turns.index(turn) + 1
        taken = {other.casefold() for other in workspace.names}
        copy = talks.agent_from(
            talks.talk_of(agent, upto=upto),
            workspace.free_name(new or free_name(agent.name, taken)),
        )
        copy.compactions.extend(agent.compactions)
        workspace.add(copy, workspace.agents.index(agent) + 1)
        if workspace.engine_state == "ready" and agent.id in workspace.answers.opened:
            try:
                await workspace.answers.open(copy)
                await workspace.client.fork(copy.id, agent.id)
                self.changed(copy)
            except HaloError as error:
                log.info("%s is read anew: %s", copy.name, error)
        return copy

    def delete(self, path: Path) -> None:
        """Take a snapshot off the list; `undo_delete` brings it back until the app ends."""
        trash = self.folder / "trash"
        try:
            trash.mkdir(parents=True, exist_ok=True)
            target = free_path(trash, path.stem)
            os.replace(path, target)
        except OSError as error:
            raise HaloError(
                f"{path.name} cannot be deleted: {error.strerror}.", "Check the data folder."
            ) from None
        self._deleted.append((path, target))
        self._list_changed()

    def undo_delete(self) -> Saved:
        """Bring the snapshot back that was deleted last."""
        if not self._deleted:
            raise HaloError("Nothing was deleted.")
        path, target = self._deleted.pop()
        if path.exists():
            path = free_path(self.folder, path.stem)
        try:
            os.replace(target, path)
        except OSError as error:
            raise HaloError(f"{path.name} cannot be brought back: {error.strerror}.") from None
        self._list_changed()
        return describe(path)

    async def rename(self, path: Path, title: str) -> Saved:
        """Call a snapshot something else; its file follows."""
        saved = await asyncio.to_thread(rename_saved, path, title)
        self._list_changed()
        return saved

    async def export(self, source: str | Path, target: Path) -> Path:
        """Write an agent's conversation (by name) or a snapshot's (by path) as Markdown or JSON,
        by the ending of `target`, or copy the snapshot itself to a .halo file."""
        if isinstance(source, Path):
            await asyncio.to_thread(export_saved, source, target)
            return target
        agent = self.workspace.get(source)
        talk = talks.talk_of(agent)
        if target.suffix == SUFFIX:
            await self.workspace.answers.open(agent)
            await self._save(agent, target.expanduser(), talk, False)
        else:
            await asyncio.to_thread(write_talk, target.expanduser(), talk)
        return target

    # --- cells put aside -------------------------------------------------------------------------

    async def swap(self, name: str, out: bool) -> int:
        """Take an idle agent's cells out of the cache, or bring them back; how many."""
        agent = self.workspace.get(name)
        await self.workspace.answers.open(agent)
        return await self.workspace.client.swap(agent.id, out)

    async def pin(self, name: str, on: bool) -> None:
        """Keep an agent's cells in the cache even while it is idle, or no longer."""
        agent = self.workspace.get(name)
        await self.workspace.answers.open(agent)
        await self.workspace.client.pin(agent.id, on)
        agent.pinned = on
        self.workspace.changed(agent)

    def _list_changed(self) -> None:
        self.workspace.emit(SavedChanged())


# --- files, also for the command line ------------------------------------------------------------


def list_saved(folder: Path) -> list[Saved]:
    """The snapshots of a folder, newest first; damaged ones with their problem."""
    try:
        files = [path for path in folder.iterdir() if path.suffix in (SUFFIX, ".json")]
    except OSError:
        return []
    return sorted((describe(path) for path in files), key=lambda s: -s.saved_at)


def describe(path: Path) -> Saved:
    """A snapshot as a list shows it; never raises."""
    try:
        stat = path.stat()
        size, when = stat.st_size, stat.st_mtime
    except OSError as error:
        return Saved(path, "", path.stem, 0, 0, 0, "", "", 0.0, 0, f"{error.strerror}.")
    try:
        if path.suffix == ".json":
            talk = read_talk(path)
            about, when = {**talks.about(talk)}, talk.saved_at or when
        else:
            manifest = snapshot.peek(path)
            about, when = dict(manifest.about), manifest.saved_at
    except HaloError as error:
        return Saved(path, "", path.stem, 0, 0, 0, "", "", when, size, str(error))

    def text(key: str) -> str:
        return str(about.get(key) or "")

    def number(key: str) -> int:
        value = about.get(key)
        return int(value) if isinstance(value, int | float) else 0

    return Saved(
        path,
        text("agent"),
        path.stem,
        number("turns"),
        number("tokens"),
        number("cells"),
        text("model"),
        text("last"),
        when,
        size,
    )


def free_path(folder: Path, title: str, suffix: str = SUFFIX) -> Path:
    """A file name made of a title that nothing has yet; never outside `folder`."""
    stem = re.sub(r"[^\w -]+", "-", title, flags=re.UNICODE).strip(" .-")[:60] or "session"
    path, number = folder / f"{stem}{suffix}", 1
    while path.exists():
        number += 1
        path = folder / f"{stem}-{number}{suffix}"
    return path


def read_talk(path: Path, tell: object = None) -> Talk:
    """The conversation of a snapshot or an exported JSON file. Raises HaloError.

    Of a damaged snapshot whatever can be saved; `tell` (a function of a sentence) hears about it.
    """
    path = path.expanduser()
    if path.suffix == ".json":
        try:
            if path.stat().st_size > 256 << 20:
                raise HaloError(f"{path.name} is too large for a conversation.", "Check the file.")
            return talks.decode(path.read_bytes(), path.name)
        except OSError as error:
            raise HaloError(f"{path} cannot be read: {error.strerror}.", "Check it.") from None
    try:
        found = snapshot.read(path)
        return talks.decode(found.part("talk.json"), path.name)
    except snapshot.SnapshotError as error:
        if not path.is_file():
            raise
        saved = snapshot.salvage(path)
        if saved.talk is None:
            raise
        if callable(tell):
            tell(f"{error} The conversation was saved from it; its cells are read again.")
        return talks.decode(saved.talk, path.name)


def write_talk(path: Path, talk: Talk) -> None:
    """Write a conversation as Markdown (.md) or JSON. Raises HaloError."""
    text = talks.markdown(talk).encode() if path.suffix == ".md" else talks.encode(talk, True)
    try:
        write_atomically(path, text)
    except OSError as error:
        raise HaloError(f"{path} cannot be written: {error.strerror}.", "Choose another.") from None


def rename_saved(path: Path, title: str) -> Saved:
    """Give a snapshot another title and file name. Raises HaloError."""
    title = title.strip()
    if not title:
        raise HaloError("The new name is empty.", "Give one.")
    target = free_path(path.parent, title, path.suffix)
    try:
        os.replace(path, target)
    except OSError as error:
        raise HaloError(f"{path.name} cannot be renamed: {error.strerror}.") from None
    return describe(target)


def export_saved(path: Path, target: Path) -> None:
    """A snapshot as Markdown, JSON or a copy, by the ending of `target`. Raises HaloError."""
    target = target.expanduser()
    if target.suffix == path.suffix == SUFFIX:
        try:
            temporary = target.with_name(f".{target.name}.new")
            shutil.copyfile(path, temporary)
            os.replace(temporary, target)
        except OSError as error:
            raise HaloError(f"{target} cannot be written: {error.strerror}.") from None
        return
    write_talk(target, read_talk(path))

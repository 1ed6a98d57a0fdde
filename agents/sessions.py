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
import shutil
import time
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from agents import talk as talks
from agents.agent import Agent, free_colour
from agents.events import SavedChanged
from agents.roster import free_name
from agents.saved import SUFFIX, TEXT_SUFFIX, free_path, write_talk
from agents.saved import Saved as Saved
from agents.saved import describe as describe
from agents.saved import export_saved as export_saved
from agents.saved import export_target as export_target
from agents.saved import list_saved as list_saved
from agents.saved import read_talk as read_talk
from agents.saved import rename_saved as rename_saved
from agents.talk import Talk
from engine import snapshot
from engine.errors import EngineError, HaloError

if TYPE_CHECKING:
    from agents.workspace import Workspace

log = logging.getLogger("halo.agents")
QUIET_SECONDS = 0.5  # without any answer in the making, before checkpoints are written
OVERDUE_SECONDS = 20.0  # a checkpoint waits no longer for quiet than that
LAST_SECONDS = 20.0  # for the checkpoints at the end
LIVE = ("ready", "restarting")  # engines that answer, if only in a while
RESUME_CODES = ("other_model", "other_cache", "damaged")


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
        self._writing = asyncio.Lock()  # held while a checkpoint is written

    # --- life ------------------------------------------------------------------------------------

    def engine_ready(self) -> None:
        """A new core is ready: give it the cells of all agents, the focused one first."""
        for agent in self.workspace.agents:
            if agent.pinned:
                self.workspace.keep_task(self._pin_again(agent))
        self._dirty.clear()  # it holds nothing yet that could be newer than what is on disk
        if not self.workspace.config.sessions.checkpoint:
            return
        for folder in (self._checkpoints, self.folder):
            with contextlib.suppress(OSError):
                snapshot.sweep(folder)
        focused = self.workspace.focused
        for agent in sorted(self.workspace.agents, key=lambda a: a.name != focused):
            if agent.turns and self._checkpoint(agent).is_file():
                self._restoring[agent.id] = asyncio.get_running_loop().create_task(
                    self._bring_back(agent)
                )
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def restored(self, agent: Agent) -> None:
        """Wait until the agent's cells are back, or known not to come."""
        task = self._restoring.get(agent.id)
        if task is not None:
            # Not `shield`: when the core dies, the task is cancelled, and whoever waits goes on.
            await asyncio.wait([task])

    async def stop(self) -> None:
        """The core is about to end: write the checkpoints that are due."""
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

    async def empty_trash(self) -> None:
        """Deleted snapshots are gone for good from now on."""
        self._deleted.clear()
        await asyncio.to_thread(shutil.rmtree, self._trash, ignore_errors=True)

    def engine_gone(self) -> None:
        """The core ended; what it held is lost, checkpoints are not."""
        for task in self._restoring.values():
            task.cancel()
        self._restoring.clear()

    async def _pin_again(self, agent: Agent) -> None:
        with contextlib.suppress(HaloError):
            await self.workspace.answers.open(agent)
            await self.workspace.client.pin(agent.id, True)

    # --- checkpoints -----------------------------------------------------------------------------

    @property
    def _checkpoints(self) -> Path:
        return Path(self.workspace.data_dir) / "agents"

    def _checkpoint(self, agent: Agent) -> Path:
        return self._checkpoints / f"{agent.id}{SUFFIX}"

    @property
    def busy(self) -> bool:
        """Whether checkpoints are due or being written."""
        return bool(self._dirty) or self._writing.locked()

    def changed(self, agent: Agent) -> None:
        """The agent's cells changed: a turn or a compaction ended."""
        if self.workspace.config.sessions.checkpoint:
            self._dirty[agent.id] = time.monotonic()
            self._wake.set()

    async def close(self, agent: Agent) -> None:
        """The agent is taken off the list: its checkpoint goes aside with its conversation."""
        if agent.id in self._dirty and self.workspace.engine_state == "ready":
            await self._write_due([agent.id])
        self._dirty.pop(agent.id, None)
        async with self._writing:
            with contextlib.suppress(OSError):
                self._aside(agent).parent.mkdir(parents=True, exist_ok=True)
                os.replace(self._checkpoint(agent), self._aside(agent))

    def reopen(self, agent: Agent) -> None:
        """The agent is back: so is its checkpoint."""
        with contextlib.suppress(OSError):
            os.replace(self._aside(agent), self._checkpoint(agent))
        if not self.workspace.config.sessions.checkpoint:
            return
        if self.workspace.engine_state == "ready" and self._checkpoint(agent).is_file():
            self._restoring[agent.id] = asyncio.get_running_loop().create_task(
                self._bring_back(agent)
            )

    def _aside(self, agent: Agent) -> Path:
        return self._checkpoints / "closed" / f"{agent.id}{SUFFIX}"

    async def forget(self, agent: Agent) -> None:
        """The agent's conversation is gone (cleared): its checkpoint is as well."""
        self._dirty.pop(agent.id, None)
        async with self._writing:  # one that is being written has the old text
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
            agent = self.workspace.by_id(agent_id)
            if agent is None or agent_id not in self.workspace.answers.opened:
                self._dirty.pop(agent_id, None)
                continue
            await self.restored(agent)
            try:
                async with self._writing:
                    if self._dirty.pop(agent_id, None) is None or not agent.turns:
                        continue  # written, or cleared, while this waited
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
        return await self._ask(
            agent,
            self.workspace.client.save(
                agent.id, path, talks.encode(talk), talks.about(talk), checkpoint=checkpoint
            ),
        )

    async def _ask[T](self, agent: Agent, request: Awaitable[T]) -> T:
        """What the core refuses, told with the agent's name: its id means nothing to people."""
        try:
            return await request
        except EngineError as error:
            what, remedy = (
                text.replace(agent.id, agent.name) for text in (error.what, error.remedy)
            )
            raise EngineError(what, remedy, error.code) from None

    async def _bring_back(self, agent: Agent) -> None:
        workspace, path = self.workspace, self._checkpoint(agent)
        try:
            await workspace.answers.open(agent)
            await workspace.client.restore(agent.id, path, checkpoint=True)
        except EngineError as error:
            if error.code in ("dead", "busy"):
                return
            if error.code not in RESUME_CODES:
                log.warning("cannot restore %s: %s", agent.name, error)
            # Another model is somebody's choice; a damaged file is nobody's.
            level = "info" if error.code in ("other_model", "other_cache") else "warning"
            workspace.note(level, "session", why_read_again(error, path, "Its checkpoint"), agent)
        finally:
            self._restoring.pop(agent.id, None)

    # --- snapshots by name -----------------------------------------------------------------------

    @property
    def _trash(self) -> Path:
        return self.folder / "trash"

    @property
    def can_undo(self) -> str:
        """Title of the snapshot that `undo_delete` brings back, or ""."""
        return self._deleted[-1][0].stem if self._deleted else ""

    def saved(self) -> list[Saved]:
        """All snapshots that were asked for, newest first. Reads only their manifests."""
        return list_saved(self.folder)

    async def save_as(self, name: str, title: str = "") -> Saved:
        """Keep an agent's session under a title; the agent goes on. Raises HaloError.

        Where the core has no cells of it, the text alone is kept.
        """
        agent = self.workspace.get(name)
        await self.restored(agent)
        talk = talks.talk_of(agent)
        if not talk.turns:
            raise HaloError(f"{agent.name} has said nothing yet.", "Talk first, then save.")
        title = title.strip() or talks.default_title(agent)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise HaloError(f"{self.folder} cannot be made: {error.strerror}.") from None
        path = free_path(self.folder, title)
        talk.title = path.stem
        if not await self._save_cells(agent, path, talk):
            path = path.with_name(f"{path.stem}{TEXT_SUFFIX}")
            await asyncio.to_thread(write_talk, path, talk)
        self._list_changed()
        return await asyncio.to_thread(describe, path)

    async def _save_cells(self, agent: Agent, path: Path, talk: Talk) -> bool:
        """Whether there were cells to save."""
        if self.workspace.engine_state not in LIVE:
            return False
        try:
            await self.workspace.answers.open(agent)
            await self._save(agent, path, talk, False)
        except EngineError as error:
            if error.code not in ("nothing", "dead"):
                raise
            return False
        return True

    async def restore(
        self, path: Path, name: str = "", tell: Callable[[str], None] | None = None
    ) -> Agent:
        """A new agent that goes on where a snapshot (or an exported JSON file) stopped.

        `tell` hears in a sentence what came back, or why its text is read again; troubles are in
        the event log as well.
        """
        workspace, path = self.workspace, path.expanduser().absolute()
        lost: list[str] = []
        talk = await asyncio.to_thread(read_talk, path, lost.append)
        taken = {other.casefold() for other in workspace.names}
        agent = talks.agent_from(
            talk, workspace.free_name(name or free_name(talks.agent_name(talk), taken))
        )
        workspace.check_restored(agent)
        self._recolour(agent)
        workspace.add(agent)
        said = f"Its {len(talk.turns)} messages are read with the next prompt."
        if lost:
            said = lost[0]
            workspace.note("warning", "session", said, agent)
        elif path.suffix == SUFFIX and workspace.engine_state in LIVE:
            task = asyncio.get_running_loop().create_task(self._give_cells(agent, path, lost))
            self._restoring[agent.id] = task
            await self.restored(agent)
            said = lost[0] if lost else said
        elif path.suffix == SUFFIX:
            # As if it were its own checkpoint: it is given to the core that comes.
            await asyncio.to_thread(_copy, path, self._checkpoint(agent))
            said = "Its cells come back when the model is ready."
        if tell is not None:
            tell(said)
        return agent

    async def _give_cells(self, agent: Agent, path: Path, told: list[str]) -> None:
        try:
            await self.workspace.answers.open(agent)
            tokens = await self._ask(agent, self.workspace.client.restore(agent.id, path))
            self.changed(agent)
            told.append(f"{tokens:,} tokens are back; none has to be read again.")
        except HaloError as error:
            told.append(why_read_again(error, path, path.name))
            self.workspace.note("warning", "session", told[-1], agent)
        finally:
            self._restoring.pop(agent.id, None)

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
        self._recolour(copy)
        workspace.add(copy, workspace.agents.index(agent) + 1)
        await self.restored(agent)
        if workspace.engine_state == "ready" and agent.id in workspace.answers.opened:
            try:
                await workspace.answers.open(copy)
                await workspace.client.fork(copy.id, agent.id)
                self.changed(copy)
            except HaloError as error:
                log.info("%s is read anew: %s", copy.name, error)
        return copy

    def _recolour(self, copy: Agent) -> None:
        """Cells and names of a copy are told from the original's by their colour."""
        taken = [agent.spec.colour for agent in self.workspace.agents]
        copy.spec.colour = free_colour(copy.spec.colour, taken)

    def delete(self, path: Path) -> None:
        """Take a snapshot off the list; `undo_delete` brings it back until the app ends."""
        try:
            self._trash.mkdir(parents=True, exist_ok=True)
            target = free_path(self._trash, path.stem, path.suffix)
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
        path, target = self._deleted[-1]
        path = free_path(path.parent, path.stem, path.suffix)
        try:
            os.replace(target, path)
        except OSError as error:
            raise HaloError(f"{path.name} cannot be brought back: {error.strerror}.") from None
        finally:
            self._deleted.pop()
        self._list_changed()
        return describe(path)

    async def rename(self, path: Path, title: str) -> Saved:
        """Call a snapshot something else; its file follows."""
        saved = await asyncio.to_thread(rename_saved, path, title)
        self._list_changed()
        return saved

    async def export(self, source: str | Path, target: Path) -> Path:
        """Write an agent's conversation (by name) or a snapshot's (by path) as Markdown or JSON,
        by the ending of `target`, or with its cells to a .halo file. Returns the full path."""
        target = export_target(target)
        if isinstance(source, Path):
            await asyncio.to_thread(export_saved, source, target)
            return target
        agent = self.workspace.get(source)
        talk = talks.talk_of(agent)
        if not talk.turns:
            raise HaloError(f"{agent.name} has said nothing yet.", "Talk first, then export.")
        await self.restored(agent)
        if target.suffix != SUFFIX:
            await asyncio.to_thread(write_talk, target, talk)
        elif not await self._save_cells(agent, target, talk):
            raise HaloError(
                f"{agent.name} holds no cells that could be saved.", "Export it as .json or .md."
            )
        return target

    # --- cells put aside -------------------------------------------------------------------------

    async def swap(self, name: str, out: bool) -> int:
        """Take an idle agent's cells out of the cache, or bring them back; how many."""
        workspace, agent = self.workspace, self.workspace.get(name)
        workspace.engine.need("There are no cells")
        await self.restored(agent)
        await workspace.answers.open(agent)
        return await self._ask(agent, workspace.client.swap(agent.id, out))

    async def pin(self, name: str, on: bool) -> None:
        """Keep an agent's cells in the cache even while it is idle, or no longer.

        A core that is not ready yet is told when it is.
        """
        agent = self.workspace.get(name)
        if self.workspace.engine_state in LIVE:
            await self.workspace.answers.open(agent)
            await self._ask(agent, self.workspace.client.pin(agent.id, on))
        agent.pinned = on
        self.workspace.list_changed()
        self.workspace.changed(agent)

    def _list_changed(self) -> None:
        self.workspace.emit(SavedChanged())


def why_read_again(error: HaloError, path: Path, name: str) -> str:
    """Why the cells of a file cannot be had; its text could be read."""
    what = error.what.replace(f"The snapshot {path}", name).replace(path.name, name)
    known = isinstance(error, EngineError) and error.code in RESUME_CODES
    remedy = error.remedy if known else "Its conversation is whole and is read again."
    return f"{what} {remedy}".strip()


def _copy(source: Path, target: Path) -> None:
    with contextlib.suppress(OSError):  # then the text is read again
        temporary = target.with_name(f".{target.name}.new")
        shutil.copyfile(source, temporary)
        os.replace(temporary, target)

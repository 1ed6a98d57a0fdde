"""What the actions about saved sessions do: save, restore, fork, export, swap, pin."""

from __future__ import annotations

import asyncio
import difflib
from pathlib import Path

from agents.saved import READING_SUFFIX, SUFFIX, TEXT_SUFFIX, Saved, free_path
from engine.errors import HaloError
from tui import arguments
from tui.acting import Acting
from tui.screens.dialogs import AskText, may_write
from tui.widgets.session_words import kept, short_path, size

SLOW = 200 << 20  # bytes of a snapshot from which on one is told to wait


class SessionActions(Acting):
    """The part of the controller that is about sessions."""

    async def sessions(self, _: str) -> None:
        """The list of saved sessions; what is chosen there is restored."""
        from tui.screens.sessions import SessionsScreen

        path = await self.ask(SessionsScreen(self.space, self.agent.name))
        if path is not None:
            await self._restore(path)

    async def save_session(self, title: str) -> None:
        saved = await self.space.sessions.save_as(self.agent.name, title)
        self.tell(f"Saved as “{saved.title}”: {kept(saved)}.")

    async def restore_session(self, title: str) -> None:
        """By its title, or from a file."""
        if not title:
            await self.sessions("")
            return
        path = Path(title).expanduser()
        if path.suffix in (SUFFIX, TEXT_SUFFIX) and path.is_file():
            await self._restore(path)
            return
        saved = await asyncio.to_thread(self.space.sessions.saved)
        await self._restore(by_title(title, saved).path)

    async def _restore(self, path: Path) -> None:
        said: list[str] = []
        if path.is_file() and path.stat().st_size > SLOW:
            self.tell(f"Reading {path.name} ({size(path.stat().st_size)})…")
        agent = await self.space.sessions.restore(path, tell=said.append)
        await self.screen.go_to(agent.name)
        good = "none has to be read again" in "".join(said)
        self.screen.notify(
            " ".join(said),
            title=f"{path.stem} is {agent.name} now",
            severity="information" if good or path.suffix == TEXT_SUFFIX else "warning",
            markup=False,
            timeout=6 if good else 12,
        )

    async def fork(self, name: str) -> None:
        agent = self.agent
        if not agent.turns:
            raise HaloError(f"{agent.name} has said nothing yet.", "Talk first, then fork.")
        copy = await self.space.sessions.fork(agent.name, new=name)
        await self.screen.go_to(copy.name)
        self.tell(f"{copy.name} goes on from here; {agent.name} stays as it is.")

    async def fork_at(self, name: str, turn_id: str) -> None:
        """A new agent that knows the conversation up to one message, and that message."""
        copy = await self.space.sessions.fork(name, turn_id)
        await self.screen.go_to(copy.name)
        last = copy.turns[-1] if copy.turns else None
        more = " /regenerate answers its last prompt." if last and last.role == "user" else ""
        self.tell(f"{copy.name} goes on from that message; {name} stays as it is.{more}")

    async def export_session(self, text: str) -> None:
        agent = self.agent
        if not agent.turns:
            raise HaloError(f"{agent.name} has said nothing yet.", "Talk first, then export.")
        if not text:
            given = short_path(free_path(Path.cwd(), agent.name, READING_SUFFIX))
            question = "Export to: .md to read, .json the text, .halo with cells"
            text = (await self.ask(AskText(question, given)) or "").strip()
            if not text:
                return
        path = Path(text).expanduser()
        if not path.suffix and not path.is_dir():
            path = path.with_name(path.name + READING_SUFFIX)
        if not await may_write(self.screen.app, path):
            return
        written = await self.space.sessions.export(agent.name, path)
        self.tell(f"Exported to {short_path(written)}.")

    async def swap(self, text: str) -> None:
        agent, cache = self.agent, self.space.cache
        away = bool(cache and agent.name in cache.away)
        out = arguments.switch(text, "out", "in", not away)
        count = await self.space.sessions.swap(agent.name, out)
        name, cells = agent.name, f"{count:,} cells of {agent.name}"
        words = {  # by what was asked, and where the cells were
            (True, False): f"{cells} are aside; its next turn brings them back."
            if count
            else f"{name} has no cells yet.",
            (True, True): f"{name}'s cells are aside already.",
            (False, True): f"{cells} are back."
            if count
            else f"There is no room for {name}'s cells now; its next turn brings them back.",
            (False, False): f"{name}'s cells are in the cache.",
        }
        self.tell(words[out, away])

    async def pin(self, text: str) -> None:
        agent = self.agent
        on = arguments.switch(text, "on", "off", not agent.pinned)
        await self.space.sessions.pin(agent.name, on)
        if on and self.space.cache is not None and agent.name in self.space.cache.away:
            await self.space.sessions.swap(agent.name, False)
        self.tell(
            f"{agent.name}'s cells stay in the cache, also while it is idle."
            if on
            else f"{agent.name}'s cells may be put aside when others need the room."
        )


def by_title(title: str, saved: list[Saved]) -> Saved:
    """The snapshot that is meant: of that title, or the only one that begins so."""
    wanted = title.casefold()
    for one in saved:
        if one.title.casefold() == wanted:
            return one
    alike = [one for one in saved if one.title.casefold().startswith(wanted)]
    if len(alike) == 1:
        return alike[0]
    near = difflib.get_close_matches(title, [one.title for one in saved], n=1)
    if alike:
        remedy = f"There are: {', '.join(one.title for one in alike[:4])}."
    elif near:
        remedy = f"Did you mean {near[0]}?"
    else:
        remedy = "/sessions lists all of them." if saved else "/save keeps one."
    raise HaloError(f"There is no saved session called '{title}'.", remedy)

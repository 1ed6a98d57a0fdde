"""What each action of the table does. One method per action, named like it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from agents import calling, routing
from agents.agent import Agent
from agents.tools import TOOLS
from engine import paths
from engine.errors import HaloError, ModelError
from engine.protocol import URGENT
from tui import arguments
from tui.actions import BY_SLASH
from tui.memory_actions import MemoryActions
from tui.screens.dialogs import AgentEditor, AgentForm, AskText, Confirm, Tell
from tui.session_actions import SessionActions
from tui.widgets.marks import doing
from tui.worker_actions import WorkerActions

TUNE_MINUTES = "some minutes with a large model"


class Controller(SessionActions, MemoryActions, WorkerActions):
    """Carries out actions for the main screen. Every method takes the slash command's argument."""

    def start(self, action: str, argument: str = "") -> None:
        """Run an action in a worker, so that it may open dialogs and wait."""
        self.begin(getattr(self, action)(argument.strip()))

    def begin(self, work: Coroutine[Any, Any, None]) -> None:
        """Run `work` in a worker; what cannot be done is told, never raised."""
        keys = self.screen.app.keys  # type: ignore[attr-defined]
        self.screen.run_worker(keys.during(self._told(work)), group="actions")

    async def _told(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except HaloError as error:
            self.tell(str(error), "error")
        except Exception as error:
            # A fault of ours or of a library must not take the conversations with it.
            from tui.screens.fault import FaultScreen

            self.screen.app.push_screen(FaultScreen(error))

    def slash(self, name: str, argument: str) -> None:
        """Run a slash command."""
        self.start(BY_SLASH[name].id, argument)

    # --- app ---

    async def help(self, _: str) -> None:
        from tui.screens.help import HelpScreen

        await self.ask(HelpScreen(self.space.config))

    async def palette(self, _: str) -> None:
        self.screen.app.action_command_palette()

    async def quit(self, _: str) -> None:
        busy = [a.name for a in self.space.agents if a.busy]
        if busy and not await self.ask(
            Confirm(
                f"{', '.join(busy)} {'is' if len(busy) == 1 else 'are'} still answering. "
                "What was said so far is kept. Quit?",
                "Quit",
            )
        ):
            return
        await self.screen.app.leave()  # type: ignore[attr-defined]

    async def suspend(self, _: str) -> None:
        if not self.screen.app.to_shell():  # type: ignore[attr-defined]
            self.tell("There is no shell to go to from here.", "warning")

    async def welcome(self, _: str) -> None:
        """The first start: halo-mini is loading already, Enter takes it."""
        from tui.widgets.chat.prompt import Prompt

        if self.screen.query_one(Prompt).get_draft():  # somebody writes to it already
            self.tell("This is halo-mini, a tiny model. /models shows others.")
            return
        await self._pick(first=True)

    async def models(self, _: str) -> None:
        await self._pick(first=False)

    async def _pick(self, first: bool, wanted: str = "") -> None:
        from tui.screens.models import ModelsScreen

        chosen = await self.ask(ModelsScreen(self.space.config, first, wanted))
        if chosen is not None and not (first and chosen == self.space.config.model.path):
            await self.use_model(chosen)

    async def model(self, name: str) -> None:
        from engine import models

        if not name:
            await self._pick(first=False)
            return
        try:
            path = await asyncio.to_thread(models.resolve, name, self.space.config)
        except ModelError:
            await self._pick(first=False, wanted=name)
            return
        await self.use_model("" if path == models.MINI else str(path))

    async def use_model(self, path: str) -> None:
        """Load another model ("" = halo-mini) and keep it as a setting once it has loaded.

        Conversations go on with it. One that cannot be loaded is given up for the one before.
        """
        space, before = self.space, self.space.config.model.path
        if path == before and space.engine_state == "ready":
            self.tell(f"{_label(path)} is loaded already.")
            return
        busy = [agent.name for agent in space.agents if agent.busy]
        if busy and not await self.ask(
            Confirm(f"This stops the answers of {', '.join(busy)}. Load {_label(path)}?", "Load")
        ):
            return
        space.config.model.path = path
        await space.restart_engine()
        try:
            ready = await space.wait_ready()
        except HaloError as error:
            space.config.model.path = before
            if path != before:
                self.tell(f"{error} Going back to {_label(before)}.", "error")
                await space.restart_engine()
            return
        from engine.config_edit import save_value

        file = await asyncio.to_thread(save_value, "model.path", path)
        self.tell(f"{ready.model} is loaded and will be next time (saved in {file}).")

    async def tune(self, _: str) -> None:
        """Measuring needs the model and the cores for itself: say how it is done."""
        text = (
            f"Leave the app and run `halo-tui tune` ({TUNE_MINUTES}; --quick is shorter). It measures "
            "threads, batch sizes and the rest on this machine, and keeps what beats the default. "
            "While the app is open it has the model in memory and the cores, so that figures would "
            "be wrong and two models may not fit."
        )
        self.space.note("info", "engine", text)
        await self.ask(Tell("Tune", text))

    async def settings(self, _: str) -> None:
        """Settings are a file: say which, and what can be changed from here."""
        file = self.space.config.file
        text = (
            f"Your settings are in {file}. " if file else
            f"You have no settings of your own yet: write those you want to change into "
            f"{paths.config_file()}. "
        ) + (
            "`halo-tui config show --defaults` prints all keys with what they do; they hold from the "
            "next start. Here: F2 changes an agent, /models the model, /theme the colours, /auto when "
            "cells are compacted."
        )  # fmt: skip
        self.space.note("info", "settings", text)
        await self.ask(Tell("Settings", text))

    async def restart(self, _: str) -> None:
        await self.space.restart_engine()

    # --- chat ---

    async def stop(self, _: str) -> None:
        if self.screen.close_something():
            return
        if self.agent.busy:
            await self.space.stop_generation(self.agent.name)

    async def stop_all(self, _: str) -> None:
        await self.space.stop_all()

    async def regenerate(self, _: str) -> None:
        await self.space.regenerate(self.agent.name)

    async def edit_last(self, _: str) -> None:
        agent = self.agent
        turn = next((t for t in reversed(agent.turns) if t.role == "user"), None)
        if turn is None:
            raise HaloError(f"You have not asked {agent.name} anything yet.")
        await self.edit_turn(agent.name, turn.id, turn.text)

    async def edit_turn(self, name: str, turn_id: str, text: str) -> None:
        """Edit a prompt and answer again from there."""
        new = await self.ask(
            AskText(
                "Edit and send again; what came after it is replaced.",
                text,
                multiline=True,
                yes="Send",
            )
        )
        if new and new.strip():
            await self.space.edit_and_resend(name, turn_id, new.strip())
            if not self.screen.grid_shown and self.screen.current == name:
                self.screen.conversation.scroll_end_now()

    async def copy_answer(self, _: str) -> None:
        self.screen.conversation.copy_last()

    async def copy_code(self, _: str) -> None:
        self.screen.conversation.copy_code()

    async def find(self, text: str) -> None:
        if self.screen.grid_shown:
            await self.screen.show_agent(self.screen.current)
        self.screen.conversation.open_find(text)

    async def clear(self, _: str) -> None:
        agent = self.agent
        if agent.turns and not await self.ask(
            Confirm(f"Forget the whole conversation with {agent.name}?", "Forget")
        ):
            return
        await self.space.clear(agent.name)

    async def retry_queue(self, _: str) -> None:
        self.space.resume_queue(self.agent.name)

    # --- agents ---

    async def next_agent(self, _: str) -> None:
        await self._step(1)

    async def previous_agent(self, _: str) -> None:
        await self._step(-1)

    async def _step(self, delta: int) -> None:
        names = self.space.names
        await self.screen.go_to(names[(names.index(self.agent.name) + delta) % len(names)])

    async def go_agent(self, name: str) -> None:
        if name.isdigit():
            await self.agent_number(int(name))
        else:
            await self.screen.go_to(self.space.get(name.lstrip("@")).name)

    async def agent_number(self, number: int) -> None:
        """Show the n-th agent, counted from 1."""
        if 1 <= number <= len(self.space.names):
            await self.screen.go_to(self.space.names[number - 1])

    async def agents(self, _: str) -> None:
        """A searchable list of the agents."""
        found = [
            (name, lambda n=name: self.start("go_agent", n), doing(self.space.get(name)))
            for name in self.space.names
        ]
        await self.screen.app.search_commands(found, "Go to agent…")

    async def new_agent(self, name: str) -> None:
        async def create(form: AgentForm) -> None:
            new = await self.space.create(
                form.name, form.system, form.colour, form.sampling, form.tools, form.memory
            )
            made.append(new)

        made: list[Agent] = []
        if name:
            made.append(await self.space.create(name, tools=tuple(TOOLS)))
        else:
            await self.ask(AgentEditor(None, create, self._new_name(), self.space.config.sampling))
        if made:
            await self.screen.go_to(made[0].name)

    def _new_name(self) -> str:
        taken = {name.casefold() for name in self.space.names}
        numbers = range(len(taken) + 1, 2 * len(taken) + 3)
        return next(f"agent{n}" for n in numbers if f"agent{n}" not in taken)

    async def edit_agent(self, _: str) -> None:
        agent = self.agent

        async def change(form: AgentForm) -> None:
            await self.space.change(
                agent.name,
                system=form.system,
                colour=form.colour,
                sampling=form.sampling,
                tools=form.tools,
                memory=form.memory,
            )
            if form.name != agent.name:
                await self.space.rename(agent.name, form.name)

        if await self.ask(AgentEditor(agent, change, defaults=self.space.config.sampling)):
            await self.screen.go_to(agent.name)

    async def rename(self, name: str) -> None:
        agent = self.agent
        name = name or (await self.ask(AskText(f"New name of {agent.name}", agent.name))) or ""
        if name.strip():
            await self.space.rename(agent.name, name.strip())
            await self.screen.go_to(agent.name)

    async def duplicate(self, name: str) -> None:
        copy = await self.space.duplicate(self.agent.name, name or None)
        await self.screen.go_to(copy.name)

    async def close_agent(self, _: str) -> None:
        name = self.agent.name
        await self.space.close_agent(name)
        self.tell(f"Closed {name}; /undo brings it back.")
        await self.screen.go_to(self.space.focused or self.space.names[0])

    async def move_up(self, _: str) -> None:
        await self.space.move(self.agent.name, -1)

    async def move_down(self, _: str) -> None:
        await self.space.move(self.agent.name, 1)

    async def undo_close(self, name: str) -> None:
        agent = await self.space.reopen(name.lstrip("@") or None)
        await self.screen.go_to(agent.name)
        self.tell(f"{agent.name} is back, with all that was said.")

    async def system(self, text: str) -> None:
        agent = self.agent
        if not text:
            asked = await self.ask(
                AskText(f"System prompt of {agent.name}", agent.spec.system, multiline=True)
            )
            if asked is None:
                return
            text = asked.strip()
        await self.space.change(agent.name, system=text)
        self.tell(f"{agent.name} has a new system prompt.")

    async def temperature(self, text: str) -> None:
        await self._sampling("temperature", text, float)

    async def seed(self, text: str) -> None:
        await self._sampling("seed", text, int)

    async def _sampling(self, key: str, text: str, kind: type) -> None:
        try:
            value = kind(text)
        except ValueError:
            why = f"'{text}' is not a number." if text else f"Say which {key}."
            raise HaloError(why, f"For example: /{key[:4]} 0") from None
        agent = self.agent
        await self.space.change(agent.name, sampling={**agent.spec.sampling, key: value})
        self.tell(f"{agent.name}: {key} = {value}.")

    async def tools(self, text: str) -> None:
        from tui.screens.tools import ToolsScreen

        agent = self.agent
        if not text:
            await self.ask(ToolsScreen(self.space, agent.name))
            return
        name, _, word = text.partition(" ")
        chosen = set(agent.spec.tools)
        on = arguments.switch(word, "on", "off", name not in chosen)
        chosen = chosen | {name} if on else chosen - {name}
        kept = [known for known in (*TOOLS, name) if known in chosen]
        await self.space.change(agent.name, tools=list(dict.fromkeys(kept)))
        why = calling.why_not(self.space.config, self.space.ready) if on else ""
        may = f"{agent.name} may {'now' if on else 'no longer'} call {name}."
        self.tell(f"{may} It is not offered: {why}." if why else may)

    async def think(self, text: str) -> None:
        chat = self.space.config.chat
        words = {"on": True, "off": False, "": not chat.thinking}
        if text.lower() not in words:
            raise HaloError(f"'{text}' is neither on nor off.", "For example: /think off")
        chat.thinking = words[text.lower()]
        await asyncio.to_thread(_save, "chat.thinking", chat.thinking)
        self.tell(f"Models that can {'think first' if chat.thinking else 'answer at once'}.")

    # --- cells ---

    async def compact(self, text: str) -> None:
        name = self.agent.name
        if text.casefold() == "stop":
            running = self.agent.compaction
            urgent = running is not None and running.trigger in URGENT
            if await self.space.cancel_compaction(name):
                again = (
                    " It begins again while an answer waits for cells: Esc stops the answer."
                    if urgent
                    else ""
                )
                self.tell(f"The compaction of {name} is given up; nothing changed.{again}")
            else:
                self.tell(f"{name} is not being compacted.")
            return
        cells = await self.space.compact(name, arguments.ratio(text))
        if not self.screen.cells_shown:  # else one sees them light up
            self.tell(f"Compacting {cells:,} cells of {name}; it can go on meanwhile.")

    async def compactions(self, _: str) -> None:
        from tui.screens.compactions import CompactionsScreen

        await self.ask(CompactionsScreen(self.space, self.agent.name))

    # --- experts ---

    async def experts(self, text: str) -> None:
        from tui.screens.experts import ExpertsScreen

        if not text:
            await self.ask(ExpertsScreen(self.space))
            return
        policy, bonus = arguments.experts(text)
        await routing.change(self.space, policy, bonus)
        self.tell(f"Expert routing: {routing.words(self.space)}.")

    async def experts_ab(self, _: str) -> None:
        await routing.compare(self.space)
        self.tell("Measures with and without the policy in turns; the event log tells the result.")

    async def experts_record(self, path: str) -> None:
        running = self.space.experts.recording if self.space.experts is not None else ""
        if not path and not running:
            raise HaloError("Where to?", "For example: /expertsrecord ~/run.experts")
        await routing.record(self.space, path)
        if path:
            self.tell(f"Records the experts in {path}; /expertsrecord ends it.")

    async def auto(self, text: str) -> None:
        settings = self.space.config.compaction
        on, threshold = arguments.auto(text, settings.auto)
        await self.space.set_auto(on, threshold)
        await asyncio.to_thread(_save, "compaction.auto", on)
        if threshold is not None:
            await asyncio.to_thread(_save, "compaction.threshold", threshold)
        if on:
            self.tell(f"Cells are compacted when {settings.threshold:.0%} of them are in use.")
            return
        ready = self.space.ready
        end = f"; a conversation ends at {ready.n_ctx:,} tokens" if ready else ""
        self.tell(f"Cells are compacted only by /compact{end}. /auto on undoes it.")

    # --- view ---

    async def grid(self, _: str) -> None:
        await self.screen.toggle_grid()

    async def cache(self, _: str) -> None:
        self.screen.toggle_side()

    async def machine(self, _: str) -> None:
        from tui.screens.machine import MachineScreen

        await self.ask(MachineScreen(self.screen.machine))

    async def log(self, _: str) -> None:
        from tui.screens.log import LogScreen

        await self.ask(LogScreen(list(self.space.log)))

    async def theme(self, name: str) -> None:
        app = self.screen.app
        if not name:
            app.search_themes()
        elif name in app.available_themes:
            app.theme = name
            await asyncio.to_thread(_save, "ui.theme", name)
        else:
            raise HaloError(f"There is no theme '{name}'.", "/theme alone lists them.")


def _save(key: str, value: Any) -> None:
    from engine.config_edit import save_value

    save_value(key, value)


def _label(path: str) -> str:
    return Path(path).name if path else "halo-mini"

"""Answers in the making: from a prompt to a finished turn, and whom it is handed to next."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from agents import calling, handover, remembering, results
from agents.agent import YOU, Agent, Chain, QueuedPrompt, new_id
from agents.events import (
    AgentState,
    Call,
    CallChanged,
    PromptReturned,
    Turn,
    TurnDelta,
    TurnFinished,
)
from engine.errors import EngineError, HaloError, too_long
from engine.protocol import Delta, Done, State, Tool, ToolCall

if TYPE_CHECKING:
    from agents.workspace import Workspace

COUNT_SECONDS = 2.0  # how long a prompt waits to be counted; then the core refuses it later
CANCEL_SECONDS = 5.0  # how long a core may take to confirm a stop before we go on without it


@dataclass(eq=False)
class Running:
    """One answer in the making."""

    turn: Turn
    chain: Chain
    sampling: dict[str, Any]
    system: str | None = None
    started: float = field(default_factory=time.monotonic)
    sent: bool = False  # the core has it, or is about to
    listening: bool = False  # what the core says of the session is about this answer
    then_next: bool = True  # go on with the queue afterwards
    tools: tuple[Tool, ...] = ()  # it may call
    round: int = 0  # counts the times the core is asked: once more after calls
    text: str = ""  # said in rounds before, with what sets the next apart
    thinking: str = ""
    tokens: int = 0  # of rounds before
    decode_seconds: float = 0.0
    refused: bool = False  # calls beyond the limit were refused
    calls: asyncio.Task[None] | None = None  # the tools at work
    finished: asyncio.Event = field(default_factory=asyncio.Event)


class Answers:
    """All answers in the making of one workspace, by agent id."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.running: dict[str, Running] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.opened: set[str] = set()  # sessions the core knows
        self._astray: set[str] = set()  # sessions that may still say something of an old answer

    # --- from prompt to core ---------------------------------------------------------------------

    def submit(self, agent: Agent, prompt: QueuedPrompt) -> None:
        """Answer a prompt now, or after those before it."""
        agent.queue.append(prompt)
        agent.held = False
        self.next(agent)

    def next(self, agent: Agent) -> None:
        """Start on the first waiting prompt if the agent is free."""
        if agent.queue and not agent.held and agent.id not in self.running:
            prompt = agent.queue.pop(0)
            agent.last_active = time.time()
            turn = Turn(new_id("t"), "user", prompt.text, author=prompt.author, time=time.time())
            turn.to = prompt.to
            self.workspace.add_turn(agent, turn)
            self.answer(agent, prompt.chain, prompt.sampling, prompt.system)
        agent.state.waiting_prompts = len(agent.queue)
        self.workspace.changed(agent)
        self.workspace.list_changed()

    def answer(
        self,
        agent: Agent,
        chain: Chain,
        sampling: dict[str, Any] | None = None,
        system: str | None = None,
    ) -> None:
        """Have the last turn answered; `sampling` and `system` go before the agent's own."""
        turn = Turn(new_id("t"), "assistant", author=agent.name, time=time.time(), status="waiting")
        run = Running(turn, chain, {**agent.spec.sampling, **(sampling or {})}, system)
        self.running[agent.id] = run
        agent.state = AgentState(
            "queued",
            self.workspace.engine.waiting_reason,
            cells=agent.state.cells,
            waiting_prompts=len(agent.queue),
        )
        self.workspace.add_turn(agent, turn)
        self.workspace.changed(agent)
        if self.workspace.engine_state == "ready":
            self._send(agent, run)
        elif self.workspace.engine_state == "dead":
            self.fail(agent, self.workspace.engine_error)

    def send_waiting(self) -> None:
        """The core is ready: hand it what waited."""
        for agent in self.workspace.agents:
            run = self.running.get(agent.id)
            if run is not None and not run.sent:
                self._send(agent, run)

    def _send(self, agent: Agent, run: Running) -> None:
        run.sent = True
        task = asyncio.get_running_loop().create_task(self._request(agent, run))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _request(self, agent: Agent, run: Running) -> None:
        workspace = self.workspace
        try:
            sampling = workspace.config.sampling_for(run.sampling)
            if agent.id in self._astray:
                self._astray.discard(agent.id)
                await self.close(agent)
            await workspace.sessions.restored(agent)
            await self.open(agent)
            # It may have been stopped while the session was opened.
            if self.running.get(agent.id) is run and not run.round:
                run.tools = calling.offered(workspace, agent)
                await self._recall(agent, run)
            if self.running.get(agent.id) is run:
                run.listening = True
                must = workspace.config.tools.choice == "required" and not run.round
                must = must and bool(run.tools)
                await workspace.client.generate(
                    agent.id,
                    agent.messages(run.system, run.tools),
                    sampling,
                    workspace.config.chat.thinking and not must,
                    must,
                )
        except HaloError as error:
            if self.running.get(agent.id) is not run:
                return
            unfit = isinstance(error, EngineError) and error.code == "too_long"
            if unfit and not run.round:
                self._give_back(agent, run, error)
            elif unfit and (call := results.shorten(run.turn)) is not None:
                # What tools found does not fit: less of it does, and the answer goes on.
                run.listening = False
                self._call_changed(agent, run, call)
                self._send(agent, run)
            else:
                self.fail(agent, error)

    def _give_back(self, agent: Agent, run: Running, error: HaloError) -> None:
        """A prompt is too long: out of the conversation with it, else every later one is too."""
        at = agent.turns.index(run.turn) - 1
        prompt = agent.turns[at] if at >= 0 else None
        if prompt is None or prompt.role != "user" or prompt.author not in ("", YOU):
            self.fail(agent, error)
            return
        run.then_next = False
        self.fail(agent, error)
        self.workspace.cut(agent, at)
        self.workspace.emit(PromptReturned(agent.name, prompt.text, str(error)))
        self.next(agent)

    async def check_length(self, text: str) -> None:
        """Raises EngineError when `text` alone is more than the engine can take of one prompt.

        Only what is certain is refused: the engine has the last word on what is a little shorter,
        and on everything while it cannot be asked.
        """
        ready = self.workspace.ready
        if ready is None or self.workspace.engine_state != "ready":
            return
        longest = min(ready.n_ctx, ready.n_ctx_train or ready.n_ctx)
        if len(text.encode()) <= longest:  # a token has a byte at least
            return
        try:
            async with asyncio.timeout(COUNT_SECONDS):
                tokens = await self.workspace.client.count(text)
        except (HaloError, TimeoutError):
            return
        if tokens > longest:
            what = f"The prompt has {tokens:,} tokens"
            raise too_long(what, "Shorten it, or send it in parts", longest, ready.n_ctx_train)

    async def _recall(self, agent: Agent, run: Running) -> None:
        """What the memory knows about the prompt goes before it; the answer's turn keeps it."""
        memory = self.workspace.memory
        ready = self.workspace.ready
        if memory is None or ready is None or run.turn.recalled:
            return
        if remembering.automatic(self.workspace.config, ready.parameters):
            run.turn.recalled = await remembering.recalled(
                memory, agent, self.workspace.config, self.workspace.client
            )
            if run.turn.recalled:
                self.workspace.changed(agent)

    async def open(self, agent: Agent) -> None:
        """Make the agent's session known to the core, once."""
        if agent.id not in self.opened:
            await self.workspace.client.open(agent.id)
            self.opened.add(agent.id)

    async def close(self, agent: Agent) -> None:
        """Forget the agent's session."""
        if agent.id in self.opened:
            self.opened.discard(agent.id)
            try:
                await self.workspace.client.close(agent.id)
            except HaloError:
                return  # a core that is gone has forgotten it already

    def forget_sessions(self) -> None:
        """Another core: nothing is open there."""
        self.opened.clear()
        self._astray.clear()

    # --- from core to turn -----------------------------------------------------------------------

    def _heard(self, agent: Agent) -> Running | None:
        """The answer that an event of the agent's session is about, if it is about one."""
        run = self.running.get(agent.id)
        return run if run is not None and run.listening else None

    def state(self, agent: Agent, event: State) -> None:
        """The core tells where the answer stands."""
        run = self._heard(agent)
        if run is None or event.state == "idle":
            return
        state = agent.state
        state.reason = event.reason
        state.done, state.total = event.done, event.total
        if event.state == "prefill":
            state.kind = "prefill"
        elif event.state == "queued":
            state.kind = "queued"
        elif state.kind != "thinking":
            state.kind = "decode"
        self.workspace.changed(agent)

    def delta(self, agent: Agent, delta: Delta) -> None:
        """New text."""
        run = self._heard(agent)
        if run is None or not (delta.text or delta.calling):
            return
        turn = run.turn
        if turn.status == "waiting":
            turn.status = "streaming"
            turn.ttft = time.monotonic() - run.started
        kind = agent.state.kind
        text = delta.text
        if delta.thinking:
            before = len(turn.thinking)
            turn.thinking = (turn.thinking if before > len(run.thinking) else run.thinking) + text
            text = turn.thinking[before:]
            agent.state.kind = "thinking"
        elif text:
            before = len(turn.text)
            turn.text = (turn.text if before > len(run.text) else run.text) + text
            text = turn.text[before:]
            agent.state.kind = "decode"
        if delta.calling:
            agent.state.kind = "tool"
        if text:
            self.workspace.emit(TurnDelta(agent.name, turn, text, delta.thinking))
        if agent.state.kind != kind:
            agent.state.reason = ""
            self.workspace.changed(agent)

    def done(self, agent: Agent, event: Done) -> None:
        """The core finished an answer."""
        run = self._heard(agent)
        if run is None:
            return
        turn = run.turn
        if event.reason != "error" or event.text:
            turn.text = run.text + event.text if event.text else turn.text[: len(run.text)]
            turn.thinking = (
                run.thinking + event.thinking if event.thinking else run.thinking.rstrip()
            )
        turn.tokens, turn.seed = run.tokens + event.tokens, event.seed
        turn.prompt_tokens, turn.cached_tokens = event.prompt_tokens, event.cached_tokens
        seconds = run.decode_seconds + event.decode_seconds
        if seconds > 0:
            turn.tok_s = turn.tokens / seconds
        agent.state.cells = event.cells
        what = f"{event.what} {event.remedy}".strip()
        match event.reason:
            case "stop" if event.calls and not run.refused:
                run.decode_seconds = seconds
                self._call(agent, run, event.calls)
            case "stop":
                if event.calls:
                    self._no_more_calls(agent, event.calls)
                self._finish(agent, "done")
            case "length":
                limit = self.workspace.config.sampling_for(run.sampling).max_tokens
                why = "sampling.max_tokens" if event.tokens >= limit else "the context is full"
                where = " in the middle of a tool call" if agent.state.kind == "tool" else ""
                cut = f"The answer was cut at {event.tokens} tokens{where} ({why})."
                self._finish(agent, "length", what or cut)
            case "loop":
                turn.repeated = event.repeated
                self._finish(agent, "loop", what)
            case "cancelled":
                self._finish(agent, "cancelled", what)
            case _:
                self._finish(agent, "error", what or "The engine could not finish the answer.")

    # --- tools -----------------------------------------------------------------------------------

    def _call(self, agent: Agent, run: Running, calls: tuple[ToolCall, ...]) -> None:
        """The answer wants tools called before it goes on."""
        turn = run.turn
        run.listening = False
        made = calling.started(turn, calls)
        run.round += 1
        run.tokens = turn.tokens
        run.text, run.thinking = _apart(turn.text), _apart(turn.thinking)
        if turn.status == "waiting":
            turn.status = "streaming"
            turn.ttft = time.monotonic() - run.started
        run.calls = asyncio.get_running_loop().create_task(self._use_tools(agent, run, made))
        for call in made:
            self._call_changed(agent, run, call)

    async def _use_tools(self, agent: Agent, run: Running, made: list[Call]) -> None:
        limit = self.workspace.config.tools.max_calls
        for call in made:
            allowed = run.turn.calls.index(call) < limit
            run.refused = run.refused or not allowed
            agent.state.kind, agent.state.reason = "tool", calling.words(call)
            self.workspace.changed(agent)
            await calling.perform(self.workspace, agent, call, allowed)
            if self.running.get(agent.id) is not run:
                return
            self.workspace.note("info", "tool", calling.words(call), agent)
            self._call_changed(agent, run, call)
        agent.state.kind, agent.state.reason = "queued", self.workspace.engine.waiting_reason
        self.workspace.changed(agent)
        await self._request(agent, run)

    def _call_changed(self, agent: Agent, run: Running, call: Call) -> None:
        self.workspace.record_turn(agent, run.turn)
        self.workspace.emit(CallChanged(agent.name, run.turn, call))

    def _no_more_calls(self, agent: Agent, calls: tuple[ToolCall, ...]) -> None:
        limit = self.workspace.config.tools.max_calls
        text = (
            f"{agent.name} wanted to call {calls[0].name or 'a tool'} again; stopped after "
            f"{limit} for one answer (tools.max_calls)."
        )
        note = Turn(new_id("t"), "note", text, time=time.time())
        self.workspace.add_turn(agent, note)

    def fail(self, agent: Agent, error: HaloError) -> None:
        """The answer will not come."""
        if agent.id in self.running:
            self._finish(agent, "error", str(error))

    def fail_all(self, error: HaloError) -> None:
        """No answer will come: the core is gone for good."""
        for agent in list(self.workspace.agents):
            self.fail(agent, error)

    def _finish(self, agent: Agent, status: Any, detail: str = "") -> None:
        run = self.running.pop(agent.id)
        workspace = self.workspace
        turn = run.turn
        turn.status, turn.detail = status, detail
        if run.calls is not None and not run.listening:
            run.calls.cancel()  # it waits for a tool
            for call in turn.calls:
                call.status = "cancelled" if call.status == "running" else call.status
        turn.seconds = time.monotonic() - run.started
        unread = agent.state.unread or workspace.focused != agent.name
        agent.state = AgentState(
            "error" if status == "error" else "idle",
            detail if status == "error" else "",
            cells=agent.state.cells,
            waiting_prompts=len(agent.queue),
            unread=unread and status != "cancelled",
        )
        agent.last_active = time.time()
        workspace.record_turn(agent, turn)
        if status == "error":
            workspace.note("error", "agent", detail, agent)
        workspace.emit(TurnFinished(agent.name, turn))
        workspace.changed(agent)
        if agent.id in self.opened:
            workspace.sessions.changed(agent)
        run.finished.set()
        if status == "done":
            self._hand_over(agent, turn, run.chain)
        if run.then_next and workspace.engine_state != "dead":
            self.next(agent)

    def _hand_over(self, agent: Agent, turn: Turn, chain: Chain) -> None:
        workspace = self.workspace
        names = [other.name for other in workspace.agents]
        for name in handover.recipients(turn.text, names, agent.name):
            if chain.stopped:
                return
            if chain.left <= 0:
                limit = workspace.config.chat.handover_limit
                text = handover.limit_note(agent.name, name, limit)
                workspace.add_turn(agent, Turn(new_id("t"), "note", text, time=time.time()))
                return
            chain.left -= 1
            workspace.note("info", "agent", f"{agent.name} handed over to {name}.", agent)
            self.submit(workspace.get(name), QueuedPrompt(turn.text.strip(), agent.name, chain))

    # --- stopping --------------------------------------------------------------------------------

    async def stop(self, agent: Agent, then_next: bool = True) -> bool:
        """Stop the answer in the making and wait until it has. Returns whether there was one."""
        run = self.running.get(agent.id)
        if run is None:
            return False
        run.then_next = then_next
        if run.listening:
            try:
                async with asyncio.timeout(CANCEL_SECONDS):
                    await self.workspace.client.cancel(agent.id)
                    await run.finished.wait()
            except (HaloError, TimeoutError):
                self._astray.add(agent.id)  # the turn is finished here, whatever the core does
        if self.running.get(agent.id) is run:
            self._finish(agent, "cancelled")
        return True

    async def stop_all(self) -> None:
        """Stop everything; prompts of the person wait on, handovers are dropped."""
        for agent in self.workspace.agents:
            agent.queue = [prompt for prompt in agent.queue if prompt.author == YOU]
            agent.held = bool(agent.queue)
            agent.state.waiting_prompts = len(agent.queue)
        busy = [agent for agent in self.workspace.agents if agent.id in self.running]
        for agent in busy:
            self.running[agent.id].chain.stopped = True
        await asyncio.gather(*(self.stop(agent, then_next=False) for agent in busy))

    def flush(self) -> Iterable[tuple[Agent, Turn]]:
        """Turns in the making whose text should reach the disk."""
        for agent in self.workspace.agents:
            run = self.running.get(agent.id)
            if run is not None and run.turn.status == "streaming":
                yield agent, run.turn


def _apart(text: str) -> str:
    """What was said so far, with what sets apart what comes next."""
    ends = len(text) - len(text.rstrip("\n"))
    return text + "\n" * max(0, 2 - ends) if text else ""

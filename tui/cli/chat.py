"""`halo-tui chat`: one prompt to one agent, the answer on stdout, everything else on stderr."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from tui.cli import exit_codes
from tui.cli.settings import Settings, settings_options

CONTROLS = dict.fromkeys(
    code for code in [*range(0x20), 0x7F, *range(0x80, 0xA0)] if chr(code) not in "\n\t"
)

if TYPE_CHECKING:
    from agents.events import Call, Turn, WorkspaceEvent
    from agents.memory.reader import MemoryReader
    from agents.memory.spaces import Policy
    from agents.workspace import Client, Workspace
    from engine.config import Config


@click.command()
@settings_options
@click.option("--agent", "-a", metavar="NAME", help="Whom to ask (default: the first agent).")
@click.option("--json", "as_json", is_flag=True, help="Print events as JSON lines.")
@click.option("--system", metavar="TEXT", help="Another system prompt for this answer.")
@click.option("--seed", type=click.IntRange(-1), help="Make the answer repeatable.")
@click.option("--max-tokens", type=click.IntRange(1), help="Length of the answer at most.")
@click.option("--temperature", type=click.FloatRange(0, 10), help="0 = always the likeliest token.")
@click.option("--thinking/--no-thinking", default=None, help="Let the model think first.")
@click.option(
    "--continue", "go_on", is_flag=True, help="Go on with the agent's conversation, and add to it."
)
@click.argument("prompt", nargs=-1)
def command(
    settings: Settings,
    agent: str | None,
    as_json: bool,
    system: str | None,
    seed: int | None,
    max_tokens: int | None,
    temperature: float | None,
    thinking: bool | None,
    go_on: bool,
    prompt: tuple[str, ...],
) -> None:
    """Ask one agent and print the answer.

    The prompt is the words given, or what comes through a pipe; `-` as the last word adds the
    pipe to the words. The agent's conversation is not used and not changed, except with
    --continue.
    """
    config = settings.load()
    if config.source("engine.rpc_wait") == "default":
        config.engine.rpc_wait = 0  # a script had rather hear of it at once
    text = read_prompt(prompt)
    sampling = {
        key: value
        for key, value in (("seed", seed), ("max_tokens", max_tokens), ("temperature", temperature))
        if value is not None
    }
    if thinking is not None:
        config.chat.thinking = thinking
    chat = Chat(config, settings.data_dir(), agent, system, sampling, as_json)
    sys.exit(asyncio.run(chat.run(text, go_on)))


def read_prompt(words: tuple[str, ...]) -> str:
    """The prompt from the words and the pipe. Raises UsageError when there is none."""
    parts = list(words)
    if not parts and sys.stdin.isatty():
        raise click.UsageError(
            'There is no prompt. Write one, or pipe it in: echo "Hi" | halo-tui chat.'
        )
    if not parts or parts[-1] == "-":
        data = sys.stdin.buffer.read()
        try:
            piped = data.decode("utf-8")
        except UnicodeDecodeError:
            raise click.UsageError("What came through the pipe is not UTF-8 text.") from None
        words_before = " ".join(parts[:-1] if parts else [])
        text = f"{words_before}\n\n{piped}" if words_before else piped
    else:
        text = " ".join(parts)
    if not text.strip():
        raise click.UsageError("The prompt is empty.")
    return text.strip()


class Chat:
    """One answer, from the start of the engine to its end."""

    def __init__(
        self,
        config: Config,
        data_dir: Path,
        agent: str | None,
        system: str | None = None,
        sampling: dict[str, Any] | None = None,
        as_json: bool = False,
        client: Client | None = None,
    ) -> None:
        self.config = config
        self.data_dir = data_dir
        self.agent = agent
        self.system = system
        self.sampling = sampling or {}
        self.as_json = as_json
        self.client = client
        self.turn: Turn | None = None
        self._finished = asyncio.Event()
        self._interrupted = False
        # A model must not move a person's cursor; a file gets every byte.
        self._hidden = CONTROLS if sys.stdout.isatty() else {}
        self._rights = (
            "",
            "",
        )  # whose memory is asked: the agent's id as the app knows it, its kind
        self._unwritten: OSError | None = None  # why nobody gets the answer
        self._loaded = -1.0

    async def run(self, text: str, go_on: bool = False) -> int:
        """Ask, print, and return the exit code. Raises HaloError."""
        from agents.workspace import Workspace, new_client
        from engine.errors import HaloError

        with contextlib.ExitStack() as stack:
            if go_on:
                folder = self.data_dir
            else:
                # A workspace of its own, so that nothing of the person's folder is touched.
                folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="halo-")))
                self._only_agent()
            workspace = Workspace(self.config, self.client or new_client(self.config), folder)
            workspace.subscribe(self._on_event)
            await workspace.start()
            reader = workspace.reader = self._reader(workspace)
            task = asyncio.current_task()
            assert task is not None
            loop = asyncio.get_running_loop()
            loop.add_signal_handler(signal.SIGINT, self._interrupt, task)
            try:
                code = await self._ask(workspace, text)
            except asyncio.CancelledError:
                if not self._interrupted:
                    raise
                code = await self._cancelled(workspace)
            finally:
                # A second Ctrl-C while the engine ends must not leave it behind.
                loop.remove_signal_handler(signal.SIGINT)
                signal.signal(signal.SIGINT, signal.SIG_IGN)
                await workspace.stop()
                if reader is not None:
                    await reader.stop()
                signal.signal(signal.SIGINT, signal.default_int_handler)
        if go_on and workspace.unkept is not None:
            raise HaloError(
                f"The conversation could not be kept in {folder}: {workspace.unkept.strerror}.",
                "Free some space, or choose another folder with --data.",
            )
        return code

    def _reader(self, workspace: Workspace) -> MemoryReader | None:
        """The person's memory, for the agent's tools to ask; nothing is added to it."""
        from agents.memory.reader import MemoryReader
        from agents.remembering import person

        if not self.config.memory.enabled:
            return None
        agent = workspace.get(self.agent or workspace.focused)
        id, policy = self._rights if self._rights[1] else (agent.id, agent.spec.memory)
        agent.spec.memory = policy
        people = (person(self.config), agent.name)
        return MemoryReader(
            self.config.memory, self.data_dir, id or agent.id, cast("Policy", policy), people
        )

    def _only_agent(self) -> None:
        """Reduce the settings to the agent that is asked, as the app has it or as they define it.

        Raises HaloError when there is no such agent.
        """
        from agents.roster import DataFolder
        from engine.config import AgentConfig
        from engine.errors import HaloError

        rights: dict[str, tuple[str, str]] = {}
        known: dict[str, AgentConfig] = {a.name.casefold(): a for a in self.config.agents}
        saved = DataFolder(self.data_dir).open(repair=False).document
        for entry in saved.agents if saved else []:
            known[entry.name.casefold()] = AgentConfig(
                entry.name, entry.system, entry.colour, entry.tools, entry.sampling
            )
            rights[entry.name.casefold()] = (entry.id, entry.memory)
        wanted = self.agent or self.config.chat.default_agent or self.config.agents[0].name
        chosen = known.get(wanted.casefold())
        if chosen is None:
            names = ", ".join(agent.name for agent in known.values())
            raise HaloError(f"There is no agent called '{wanted}'.", f"There are: {names}.")
        self.agent = chosen.name
        self._rights = rights.get(wanted.casefold(), ("", chosen.memory))
        self.config.agents = [chosen]
        self.config.chat.default_agent = ""

    async def _ask(self, workspace: Workspace, text: str) -> int:
        from engine.errors import EngineError

        agent = workspace.get(self.agent or workspace.focused)
        self.agent = agent.name
        waiting, agent.queue = agent.queue, []  # prompts that wait in the app stay there
        try:
            await workspace.wait_ready()
            await workspace.tell(agent.name, text, self.system, self.sampling)
            await self._finished.wait()
        finally:
            agent.queue, agent.held = waiting, bool(waiting)
            workspace.list_changed()
        if self._unwritten is not None:
            raise self._unwritten
        assert self.turn is not None
        if self.turn.status == "error":
            raise EngineError(self.turn.detail)
        self._print_end(self.turn, agent.state.cells)
        return exit_codes.OK

    async def _cancelled(self, workspace: Workspace) -> int:
        agent = workspace.get(self.agent or workspace.focused)
        await workspace.stop_generation(agent.name)
        if self.turn is not None:
            self._print_end(self.turn, agent.state.cells)
        return exit_codes.INTERRUPTED

    def _interrupt(self, task: asyncio.Task[Any]) -> None:
        self._interrupted = True
        task.cancel()

    # --- output ----------------------------------------------------------------------------------

    def _on_event(self, event: WorkspaceEvent) -> None:
        from agents import events

        match event:
            case events.TurnDelta(agent, turn, text, thinking) if agent == self.agent:
                self.turn = turn
                if self.as_json:
                    self._line("thinking" if thinking else "delta", text=text)
                elif not thinking:
                    self._write(text.translate(self._hidden))
            case events.CallChanged(agent, _, call) if agent == self.agent:
                self._call(call)
            case events.TurnFinished(agent, turn) if agent == self.agent:
                self.turn = turn
                self._finished.set()
            case events.TurnAdded(agent, turn) if agent == self.agent and turn.role == "assistant":
                self.turn = turn
            case events.EngineChanged("starting", what, _, fraction) if self.as_json and what:
                if self._loaded < fraction < self._loaded + 0.1:
                    return
                self._loaded = fraction
                self._line("loading", what=what, fraction=round(fraction, 3))
            case events.EngineChanged("ready", ready=ready) if self.as_json and ready:
                self._line("ready", model=ready.model, n_ctx=ready.n_ctx, backend=ready.backend)
            case events.CompactionChanged(name, compaction) if self.as_json:
                from msgspec import to_builtins

                fields = to_builtins(compaction)
                del fields["t"], fields["session"]
                self._line("compaction", agent=name, **fields)
            # Errors end the command; what follows from it when nobody reads any more is no news.
            case events.Logged(entry) if entry.level == "warning" and self._unwritten is None:
                click.echo(f"halo-tui: {entry.text}", err=True)

    def _call(self, call: Call) -> None:
        from agents import calling

        if not self.as_json:
            if call.status != "running":
                said = calling.words(call).translate(self._hidden)
                click.echo(f"halo-tui: ⚙ {said}", err=True)
        elif call.status == "running":
            self._line("call", id=call.id, name=call.name, arguments=call.arguments)
        else:
            self._line(
                "result",
                id=call.id,
                name=call.name,
                status=call.status,
                text=call.result,
                summary=call.summary,
                seconds=round(call.seconds, 4),
                found=[
                    {"text": f.text, "score": f.score, "speaker": f.speaker, "time": f.time,
                     "message": f.message}
                    for f in call.found
                ],
            )  # fmt: skip

    def _print_end(self, turn: Turn, cells: int) -> None:
        if self.as_json:
            self._line(
                "done",
                text=turn.text,
                thinking=turn.thinking,
                agent=self.agent,
                reason=turn.status,
                tokens=turn.tokens,
                calls=len(turn.calls),
                seconds=round(turn.seconds, 4),
                ttft=round(turn.ttft, 4),
                tok_s=round(turn.tok_s, 2),
                prompt_tokens=turn.prompt_tokens,
                cached_tokens=turn.cached_tokens,
                cells=cells,
                seed=turn.seed,
            )
            return
        if turn.text:
            click.echo()
        if turn.detail and turn.status in ("length", "loop"):
            click.echo(f"halo-tui: {turn.detail}", err=True)

    def _line(self, kind: str, **fields: Any) -> None:
        self._write(json.dumps({"type": kind, **fields}, ensure_ascii=False) + "\n")

    def _write(self, text: str) -> None:
        try:
            sys.stdout.write(text)
            sys.stdout.flush()
        except OSError as error:  # the reader has gone, or the disk is full
            self._unwritten = error
            self._finished.set()

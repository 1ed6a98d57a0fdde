"""Calling tools for an answer: what is offered, and how a call becomes a result.

A tool that fails, takes too long or does not exist gives the model a sentence; it never ends the
answer.
"""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import string
import time
from collections.abc import Awaitable, Iterable
from typing import TYPE_CHECKING

from agents import counting, results
from agents.agent import Agent
from agents.events import Call, Turn
from agents.memory import prompt
from agents.tools import TOOLS, Context, Result
from engine import protocol
from engine.config import Config
from engine.errors import HaloError

if TYPE_CHECKING:
    from agents.workspace import Workspace

READERS = 100_000_000  # parameters from which a model can follow tools that are told in words
SUBJECT = 60  # characters of a call's subject
_ALPHABET = string.ascii_letters + string.digits
_log = logging.getLogger("halo.agents")


# --- what is offered ------------------------------------------------------------------------------


def why_not(config: Config, ready: protocol.Ready | None) -> str:
    """Why no tools are offered with this model; "" if they are."""
    if config.tools.offer == "off" or not config.tools.max_calls:
        key = "tools.offer" if config.tools.offer == "off" else "tools.max_calls"
        return f"tools are switched off ({key})"
    if ready is None:
        return "the model is not ready"
    if config.tools.offer == "on" or ready.knows_tools or ready.parameters >= READERS:
        return ""
    return f'{ready.model} was not made for tools (tools.offer = "on" offers them all the same)'


def offered(workspace: Workspace, agent: Agent) -> tuple[protocol.Tool, ...]:
    """The tools that an agent's next answer may call."""
    if why_not(workspace.config, workspace.ready):
        return ()
    return tuple(TOOLS[name].offer for name in TOOLS if name in agent.spec.tools)


def unknown(names: Iterable[str]) -> list[str]:
    """Those that are no tools."""
    return [name for name in names if name not in TOOLS]


# --- calls ----------------------------------------------------------------------------------------


def started(turn: Turn, calls: Iterable[protocol.ToolCall]) -> list[Call]:
    """Put the calls that the model wrote at the end of a round into its turn."""
    number = turn.calls[-1].round + 1 if turn.calls else 0
    made = [
        Call(
            "".join(secrets.choice(_ALPHABET) for _ in range(9)),
            call.name,
            call.arguments,
            number,
            len(turn.text),
            len(turn.thinking),
            # A call that cannot be read has its result already.
            result=_error(call.fault) if call.fault else "",
        )
        for call in calls
    ]
    turn.calls += made
    return made


async def perform(workspace: Workspace, agent: Agent, call: Call, allowed: bool) -> None:
    """Run a call and write down what came of it. Raises nothing but CancelledError."""
    began = time.monotonic()
    config = workspace.config

    def count(text: str) -> Awaitable[int]:
        return counting.count(workspace.client, text)

    if not allowed:
        limit = config.tools.max_calls
        result = Result(
            _error(
                f"No more calls in this answer, {limit} is the limit. Answer with what you have."
            ),
            f"not run: {limit} calls are the limit",
            failed=True,
        )
    elif call.result:
        result = Result(call.result, "could not be read", failed=True)
    else:
        context = Context(agent, config, count, workspace.reader or workspace.memory)
        result = await _result(call, context, config.tools.seconds)
    call.result = await results.within(result.text, config.tools.result_tokens, count)
    call.summary, call.found = result.summary, result.found
    if call.result != result.text:
        results.tell(call, results.SHORTER)
    call.status = "error" if result.failed else "done"
    call.seconds = time.monotonic() - began


async def _result(call: Call, context: Context, seconds: float) -> Result:
    try:
        if call.name not in context.agent.spec.tools or call.name not in TOOLS:
            names = ", ".join(name for name in TOOLS if name in context.agent.spec.tools)
            name = prompt.plain(call.name)
            raise HaloError(f"There is no tool called '{name}'.", f"There are: {names or 'none'}.")
        tool = TOOLS[call.name]
        arguments = tool.checked(call.arguments)
        async with asyncio.timeout(seconds):
            return await tool.run(context, arguments)
    except HaloError as error:
        return Result(_error(str(error)), error.what.rstrip("."), failed=True)
    except TimeoutError:
        said = f"{call.name} took longer than {seconds:g} s and was stopped"
        return Result(_error(f"{said}."), said, failed=True)
    except Exception:
        _log.exception("the tool %s failed", call.name)
        return Result(_error(f"{call.name} failed."), "failed; the log says why", failed=True)


def _error(text: str) -> str:
    return f"Error: {text}"


def given(call: Call) -> list[tuple[str, str]]:
    """The arguments of a call, for people."""
    try:
        found = json.loads(call.arguments)
    except (ValueError, RecursionError):
        return []
    if not isinstance(found, dict):
        return []
    return [(k, v if isinstance(v, str) else json.dumps(v)) for k, v in found.items()]


def subject(call: Call, most: int = SUBJECT) -> str:
    """What a call is about, for people: its first text, of so many characters at most."""
    texts = (" ".join(value.split()) for _, value in given(call) if not value.isdecimal())
    text = next(filter(None, texts), "")
    return text if len(text) <= most else f"{text[: max(0, most - 1)]}…"


def words(call: Call, most: int = SUBJECT) -> str:
    """recall “where does Ada work?” → 3 facts, 12 ms; `most`: characters of what it is about."""
    about = f" “{subject(call, most)}”" if subject(call) else ""
    if call.status == "running":
        return f"{call.name or 'a tool'}{about} …"
    end = "stopped" if call.status == "cancelled" else call.summary or "no result"
    took = f"{call.seconds * 1000:.0f} ms" if call.seconds < 1 else f"{call.seconds:.1f} s"
    return f"{call.name or 'a tool'}{about} → {end}{f', {took}' if call.seconds else ''}"

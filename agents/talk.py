"""What the app puts into a snapshot: an agent and its conversation, and how they are written out.

The same document, alone, is the JSON export; Markdown is for reading.
"""

from __future__ import annotations

import copy
import dataclasses
import re
import time

import msgspec

from agents.addressing import RESERVED
from agents.agent import YOU, Agent, AgentSpec, new_id
from agents.events import Turn
from agents.history import Header, interrupt
from agents.roster import header_of
from engine.config import COLOUR_PATTERN
from engine.errors import HaloError

TALK_VERSION = 1
EXCERPT = 80  # characters of the newest message in lists
TITLE = 40  # characters of a title made from a prompt


class Talk(msgspec.Struct, omit_defaults=True):
    """An agent and what was said. `version` grows when older readers would get it wrong."""

    agent: Header
    turns: list[Turn]
    version: int = TALK_VERSION
    title: str = ""
    saved_at: float = 0.0


def talk_of(agent: Agent, title: str = "", upto: int | None = None) -> Talk:
    """An agent's conversation as it is now, or its first `upto` turns."""
    turns = [turn for turn in agent.turns[:upto] if turn.status not in ("waiting", "streaming")]
    return Talk(header_of(agent), turns, title=title, saved_at=time.time())


def default_title(agent: Agent) -> str:
    """What a snapshot is called when nobody says: the first prompt, cut between words."""
    first = next((turn.text for turn in agent.turns if turn.role == "user" and turn.text), "")
    words = " ".join(first.split())
    if len(words) > TITLE:
        words = words[: TITLE + 1].rpartition(" ")[0] or words[:TITLE]
    return words.rstrip(" .,;:!?") or f"{agent.name} {time.strftime('%Y-%m-%d %H.%M')}"


def encode(talk: Talk, pretty: bool = False) -> bytes:
    """JSON, UTF-8."""
    data = msgspec.json.encode(talk)
    return msgspec.json.format(data, indent=2) + b"\n" if pretty else data


def decode(data: bytes | memoryview, name: str) -> Talk:
    """Raises HaloError, which names the file, when `data` is no conversation."""
    try:
        talk = msgspec.json.decode(data, type=Talk)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise HaloError(
            f"{name} holds no conversation of halo-tui: {error}.",
            "Give a .halo snapshot, or a JSON file exported by halo-tui.",
        ) from None
    if talk.version > TALK_VERSION:
        raise HaloError(f"{name} was written by a newer halo-tui.", "Update halo-tui.")
    return talk


def agent_from(talk: Talk, name: str) -> Agent:
    """A new agent with that conversation; ids are new, so that nothing is mixed up."""
    header = talk.agent
    colour = header.colour if re.fullmatch(COLOUR_PATTERN, header.colour) else ""
    spec = AgentSpec(
        header.system, colour, dict(header.sampling), list(header.tools), header.memory
    )
    agent = Agent(new_id("a"), name, spec)
    agent.turns = [copy_turn(turn) for turn in talk.turns]
    for turn in agent.turns:
        interrupt(turn)
    return agent


def agent_name(talk: Talk) -> str:
    """The agent's name as far as it can be one here: files come from anywhere."""
    name = re.sub(r"[^\w-]+", "-", talk.agent.name)[:28].strip("-")
    return "agent" if not name or name.casefold() in RESERVED else name


def copy_turn(turn: Turn) -> Turn:
    """The same turn under a new id."""
    return dataclasses.replace(turn, id=new_id("t"), calls=copy.deepcopy(turn.calls))


def about(talk: Talk) -> dict[str, str | int | float | bool | None]:
    """What lists of snapshots show without reading all of them."""
    spoken = [turn for turn in talk.turns if turn.role != "note" and turn.text]
    last = re.sub(r"\s+", " ", spoken[-1].text).strip() if spoken else ""
    return {
        "agent": talk.agent.name,
        "title": talk.title or talk.agent.name,
        "turns": len(spoken),
        "last": last if len(last) <= EXCERPT else last[: EXCERPT - 1] + "…",
    }


def stamp(when: float) -> str:
    """2026-11-23 20:15; "" for what is no time."""
    try:
        return time.strftime("%Y-%m-%d %H:%M", time.localtime(when)) if when else ""
    except (OverflowError, ValueError, OSError):
        return ""


def markdown(talk: Talk) -> str:
    """The conversation for reading; thoughts and results are quoted, notes and calls in italics."""
    lines = [f"# {talk.title or talk.agent.name}", ""]
    if talk.agent.system:
        lines += [f"> {line}" for line in talk.agent.system.splitlines()] + [""]
    for turn in talk.turns:
        when = stamp(turn.time)
        if turn.role == "note":
            lines += [f"*{turn.text}*", ""]
            continue
        who = turn.author or (YOU if turn.role == "user" else talk.agent.name)
        who += f" → {', '.join(turn.to)}" if turn.to else ""
        lines += [f"## {who}{' · ' + when if when else ''}", ""]
        if turn.thinking:
            lines += [f"> {line}" for line in turn.thinking.splitlines()] + [""]
        for call in turn.calls:
            lines += [f"*{call.name} {call.arguments}: {call.summary or call.status}*", ""]
            lines += [f"> {line}" for line in call.result.splitlines()] + [""]
        lines += [turn.text, ""]
        if turn.status not in ("done", "length") and turn.detail:
            lines += [f"*{turn.detail}*", ""]
    return "\n".join(lines)

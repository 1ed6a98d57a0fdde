"""What a tool is: a name and a schema for the model, a function of checked arguments for us.

Tools get at no file and no network. What they return is data for the model; it is cut to the
budget of [tools] result_tokens.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from agents.agent import Agent
from agents.events import Found
from engine import protocol
from engine.config import Config
from engine.errors import HaloError

if TYPE_CHECKING:
    from agents.memory.types import Recall


class Asked(Protocol):
    """What tools need of a memory: `MemoryService` and `MemoryReader` are such."""

    fault: HaloError | None

    async def ready(self) -> bool:
        """Wait until it has started or failed to; whether it is there."""

    async def recall(
        self, question: str, agent: str = ..., k: int = ..., as_of: float | None = ...
    ) -> Recall: ...


@dataclass(frozen=True, slots=True)
class Context:
    """For whom a tool is called, and what it may use. `count`: tokens of a text, by the tokenizer of
    the model that reads the result; raises EngineError when the engine is gone."""

    agent: Agent
    config: Config
    count: Callable[[str], Awaitable[int]]
    memory: Asked | None = None
    now: Callable[[], float] = time.time


@dataclass(slots=True)
class Result:
    """What a tool gives: `text` to the model, `summary` and `found` to the person."""

    text: str
    summary: str = ""  # a few words for the folded line: "3 facts"
    found: list[Found] = field(default_factory=list)
    failed: bool = False


@dataclass(frozen=True)
class Tool:
    """A function that agents may call. `arguments` is a msgspec struct, which is also its schema."""

    name: str
    description: str  # for the model: what it gives, and when to call it
    arguments: type[msgspec.Struct]
    run: Callable[[Context, Any], Awaitable[Result]]
    help: str  # for people, a few words

    @cached_property
    def offer(self) -> protocol.Tool:
        """The tool as the model is told of it."""
        (_,), parts = msgspec.json.schema_components([self.arguments])
        schema = parts[self.arguments.__name__]
        plain = {key: schema[key] for key in ("type", "properties", "required") if key in schema}
        plain["additionalProperties"] = False
        return protocol.Tool(self.name, self.description, plain)

    def checked(self, arguments: str) -> msgspec.Struct:
        """The arguments of a call. Raises HaloError, which says to the model what is wrong."""
        try:
            return msgspec.convert(msgspec.json.decode(arguments), self.arguments, strict=False)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            told = str(error).replace(" - at `$.", " (argument `").replace("`$`", "the call")
            closed = f"{told})" if " (argument `" in told else told
            names = ", ".join(field.name for field in msgspec.structs.fields(self.arguments))
            raise HaloError(
                f"The arguments of {self.name} are wrong: {closed}.",
                f"It takes: {names}." if names else "It takes none.",
            ) from None

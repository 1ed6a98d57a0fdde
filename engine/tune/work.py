"""The work that settings are measured on: a turn of some agents, through the whole engine.

A core of its own with the settings in question; for each number of agents all of them get a prompt at
once and answer to a fixed length, as in the app. What counts are the seconds until the last one is
done; rates are told beside it.
"""

from __future__ import annotations

import math
import random
import statistics
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from engine.bench.throughput import generate, rate
from engine.client import EngineClient
from engine.config import Config
from engine.errors import EngineError
from engine.protocol import Message, Ready, Sampling

Settings = Mapping[str, Any]  # "engine.threads" -> value
WORDS = "the room holds a red lamp and near it lies an old map of some far coast".split()
LEAST_PROMPT, MOST_PROMPT = 256, 4096
LEAST_ANSWER, MOST_ANSWER = 16, 256
MOST_REPEATS = 9
STEPS, NEAR = 3, 0.6


class Work(msgspec.Struct, frozen=True):
    """`prompt` tokens are read altogether, by however many agents; each answers `answer` tokens."""

    agents: tuple[int, ...]
    prompt: int
    answer: int
    repeats: int = 1


class Reading(msgspec.Struct, frozen=True):
    """What some settings reached; medians over the repeats."""

    seconds: dict[int, float]  # agents -> until the last one was done
    decode: dict[int, float]  # agents -> tokens/s of all together while all answer
    prefill: float  # tokens/s of the first number of agents, until the last first token

    @property
    def score(self) -> float:
        """Geometric mean of the seconds: every number of agents counts the same."""
        return math.exp(statistics.fmean(math.log(s) for s in self.seconds.values()))


def with_settings(config: Config, settings: Settings) -> Config:
    """A copy of `config` for measuring, with `settings` as if somebody had set them."""
    own: Config = msgspec.convert(msgspec.to_builtins(config), Config)
    own.engine.keep_closed = False  # every prompt is computed
    own.engine.restarts = 0
    own.compaction.auto = False
    for key, value in settings.items():
        section, _, name = key.partition(".")
        setattr(getattr(own, section), name, value)
        own.sources[key] = "tune"
    return own


async def measure(config: Config, settings: Settings, work: Work) -> tuple[Reading, Ready]:
    """Start a core with these settings, do the work, stop it.

    Raises ModelError or EngineError when the settings cannot be used.
    """
    own = with_settings(config, settings)
    with tempfile.TemporaryDirectory(prefix="halo-tune-") as folder:
        client = EngineClient(own, log_path=Path(folder) / "core.log")
        try:
            ready = await client.start()
            words = await _words_a_token(client)
            await _turn(client, 1, 64, 8, words)  # graphs are built, threads started
            runs = [
                (count, *await _turn(client, count, work.prompt, work.answer, words))
                for _ in range(work.repeats)
                for count in work.agents
            ]
        finally:
            await client.stop()
    seconds, decode = {}, {}
    for count in work.agents:
        mine = [run for run in runs if run[0] == count]
        seconds[count] = statistics.median(run[1] for run in mine)
        decode[count] = statistics.median(run[2] for run in mine)
    prefill = statistics.median(run[3] for run in runs if run[0] == work.agents[0])
    return Reading(seconds, decode, prefill), ready


async def _words_a_token(client: EngineClient) -> float:
    return 200 / max(1, await client.tokenize((Message("user", _text(200)),)))


async def _turn(
    client: EngineClient, agents: int, prompt: int, answer: int, words: float
) -> tuple[float, float, float]:
    """(seconds, decode tokens/s, prefill tokens/s) of one turn of so many agents."""
    length = max(8, round(prompt / agents * words))
    names: dict[str, tuple[Message, ...]] = {
        f"a{i}": (Message("user", _text(length)),) for i in range(agents)
    }
    sampling = Sampling(temperature=0.0, max_tokens=answer, ignore_eos=True, seed=1)
    heard = await generate(client, names, answer, sampling)
    for one in heard.values():
        if one.done is not None and one.done.what and not one.stamps:
            raise EngineError(one.done.what, one.done.remedy)
    began = min(h.started for h in heard.values())
    read = sum(h.done.prompt_tokens for h in heard.values() if h.done)
    return (
        max(h.last for h in heard.values()) - began,
        rate(heard),
        read / (max(h.first for h in heard.values()) - began),
    )


def _text(words: int) -> str:
    """Words in a new order each time, so that no prefix is shared or remembered."""
    return " ".join(random.choices(WORDS, k=words))


async def calibrated(
    config: Config, agents: tuple[int, ...], target: float
) -> tuple[Work, Reading, Ready]:
    """Work that takes about `target` seconds with the settings as they are, and its reading.

    Found in a few steps, since the seconds grow faster than the work: attention reads all cells.
    """
    n_ctx = config.engine.n_ctx or 4096
    most = min(MOST_PROMPT, n_ctx // 2 // 32 * 32)
    work = Work(agents, min(LEAST_PROMPT, most), LEAST_ANSWER)
    for _ in range(STEPS):
        reading, ready = await measure(config, {}, work)
        factor = target / (work.repeats * sum(reading.seconds.values()))
        larger = scaled(work, factor, most, n_ctx // 2 // max(agents))
        if NEAR < factor < 1 / NEAR or larger == work:
            break
        work = larger
    else:
        reading, ready = await measure(config, {}, work)
    return work, reading, ready


def scaled(work: Work, factor: float, most_prompt: int, most_answer: int) -> Work:
    """Work that takes `factor` times as long, if the seconds were proportional to it."""
    factor *= work.repeats
    prompt, answer = _within(work, factor, most_prompt, most_answer)
    # What cannot grow further, since cells end, is done several times; the other then grows less.
    grown = min(prompt / work.prompt, answer / work.answer)
    repeats = max(1, min(MOST_REPEATS, round(factor / max(grown, 1e-9))))
    prompt, answer = _within(work, factor / repeats, most_prompt, most_answer)
    return Work(work.agents, min(prompt, most_prompt), answer, repeats)


def _within(work: Work, factor: float, most_prompt: int, most_answer: int) -> tuple[int, int]:
    """Tokens of prompt and answer, `factor` times as many, within what is possible."""
    prompt = int(max(LEAST_PROMPT, min(most_prompt, work.prompt * factor))) // 32 * 32
    answer = int(max(LEAST_ANSWER, min(MOST_ANSWER, most_answer, work.answer * factor))) // 8 * 8
    return prompt, answer

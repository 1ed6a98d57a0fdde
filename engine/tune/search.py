"""The search: one dimension after the other, contenders in turns, slow ones dropped early.

It knows nothing of engines: `measure` is given. What it finds is only a candidate; `compare` pits it
against the default, in turns in the same run, and only what wins there is kept.
"""

from __future__ import annotations

import statistics
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from engine.errors import HaloError

Settings = dict[str, Any]
Measure = Callable[[Settings], Awaitable[float]]  # seconds; raises HaloError if unusable

DROP = 1.15  # so much slower than the leader: not measured again
CHANGE = 0.985  # so much faster than what holds: taken on
GAIN = 1.02  # the default stays below that
LEAST_PAIRS = 4
UNANIMOUS = 6  # up to so many pairs all of them have to be won; beyond, all but one


@dataclass(frozen=True)
class Dimension:
    """Something that can be set; what holds already is not among the options.

    The first key of an option is what it is about; the others go with it unless they are set already.
    """

    name: str
    options: tuple[Settings, ...]


@dataclass
class Tried:
    """One contender of one dimension."""

    dimension: str
    settings: Settings
    seconds: list[float] = field(default_factory=list)
    dropped: bool = False
    fault: str = ""  # why these settings cannot be used

    @property
    def best(self) -> float:
        return min(self.seconds, default=float("inf"))


@dataclass
class Paired:
    """Two settings in turns: how many times as fast the second was, pair by pair."""

    ratios: list[float] = field(default_factory=list)

    @property
    def gain(self) -> float:
        return statistics.median(self.ratios) if self.ratios else 0.0

    @property
    def confirmed(self) -> bool:
        """Whether the second may replace the first."""
        # Settings that are just as fast pass by chance in one run of sixteen.
        lost = sum(ratio <= 1 for ratio in self.ratios)
        allowed = 0 if len(self.ratios) <= UNANIMOUS else 1
        return len(self.ratios) >= LEAST_PAIRS and self.gain >= GAIN and lost <= allowed


class Search:
    """Coordinate descent. Its state can be read at any time, also after it was stopped."""

    def __init__(
        self,
        measure: Measure,
        dimensions: Sequence[Dimension],
        rounds: int = 2,
        tell: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._measure = measure
        self._dimensions = dimensions
        self._rounds = rounds
        self._tell = tell
        self.best: Settings = {}
        self.tried: list[Tried] = []
        self.done = 0  # measurements

    @property
    def most(self) -> int:
        """Measurements at most."""
        return sum(self._rounds * (1 + len(d.options)) for d in self._dimensions if d.options)

    async def run(self) -> Settings:
        """The fastest settings found; {} is the default."""
        for dimension in self._dimensions:
            if dimension.options:
                await self._one(dimension)
        return self.best

    async def _one(self, dimension: Dimension) -> None:
        now = Tried(dimension.name, dict(self.best))
        contenders = [now]
        contenders += [Tried(dimension.name, _with(self.best, o)) for o in dimension.options]
        self.tried += contenders
        for _ in range(self._rounds):
            for one in contenders:
                if not one.dropped:
                    await self._look(one)
            leader = min(one.best for one in contenders)
            for one in contenders:
                one.dropped = one.dropped or (one is not now and one.best > DROP * leader)
            if all(one.dropped for one in contenders[1:]):
                break
        winner = min(contenders, key=lambda one: one.best)
        if winner is not now and winner.best < CHANGE * now.best:
            self.best = winner.settings

    async def _look(self, one: Tried) -> None:
        try:
            seconds = await self._measure(one.settings)
        except HaloError as error:
            one.fault, one.dropped = str(error), True
            self._tell(f"{words(one.settings)}: cannot be used. {error}")
        else:
            one.seconds.append(seconds)
        self.done += 1


def _with(best: Settings, option: Settings) -> Settings:
    first = next(iter(option))
    new = {**option, **best, first: option[first]}
    if "engine.n_batch" in new:  # a step holds at least one ubatch
        new["engine.n_batch"] = max(new["engine.n_batch"], new.get("engine.n_ubatch", 0))
    return new


async def compare(
    measure: Measure, first: Settings, second: Settings, pairs: int, paired: Paired
) -> Paired:
    """Measure both in turns, the order swapped each time; `paired` grows meanwhile."""
    for number in range(pairs):
        order = (first, second) if number % 2 == 0 else (second, first)
        seconds = [await measure(one) for one in order]
        a, b = seconds if number % 2 == 0 else reversed(seconds)
        paired.ratios.append(a / b)
    return paired


def words(settings: Settings) -> str:
    """n_ubatch 1024, threads 4; "as it is" for the default."""
    parts = [f"{key.removeprefix('engine.')} {value}" for key, value in settings.items()]
    return ", ".join(parts) or "as it is"


def dimensions(
    effective: Settings,
    *,
    cores: int,
    logical: int,
    on_gpu: bool,
    n_ctx: int,
    prompt: int = 1 << 30,
    held: Collection[str] = (),
    quick: bool = False,
    quantised: bool = False,
) -> list[Dimension]:
    """What is worth trying. `effective`: the values that hold without it, `engine.` keys.

    `prompt`: tokens that the work reads at once, beyond which sizes cannot be told apart. `held` keys
    were set by somebody and stay; `quantised` allows cells that change answers.
    """
    batch, ubatch = int(effective["engine.n_batch"]), int(effective["engine.n_ubatch"])
    most = batch if "engine.n_batch" in held else n_ctx
    quantised_now = effective["engine.type_v"] not in ("f32", "f16", "bf16")
    sizes = (256, 1024) if quick else (128, 256, 512, 1024, 2048)
    flash = ["auto"] if effective["engine.flash_attention"] == "off" else ["off"]
    counts = _counts(cores, logical, on_gpu)
    prompts = cores if not on_gpu else 0
    options: dict[str, list[Settings]] = {
        "threads for prompts": [
            {"engine.threads_batch": n} for n in counts if n != cores and not on_gpu
        ],
        "threads": [
            {"engine.threads": n, "engine.threads_batch": prompts if n != cores else 0}
            for n in counts
            if n <= cores
        ],
        "ubatch": [
            {"engine.n_ubatch": n, "engine.n_batch": max(n, batch)}
            for n in sizes
            if n <= most and min(n, prompt) != min(ubatch, prompt)
        ],
        # Tokens of a step: only several prompts at once make use of more.
        "batch": [
            {"engine.n_batch": n}
            for n in (1024, 2048)
            if ubatch < n <= n_ctx and min(n, prompt) != min(batch, prompt) and not quick
        ],
        "flash attention": [
            {"engine.flash_attention": word}
            for word in flash
            if not (quantised_now and word == "off")
        ],
    }
    if quantised:
        options["cells"] = [{"engine.type_k": "q8_0", "engine.type_v": "q8_0"}]
    return [
        Dimension(name, tuple(_free(o, effective, held) for o in some if _new(o, effective, held)))
        for name, some in options.items()
    ]


def _new(option: Settings, effective: Settings, held: Collection[str]) -> bool:
    """Whether an option may be set, and would change anything."""
    first = next(iter(option))
    return first not in held and effective.get(first) != option[first]


def _free(option: Settings, effective: Settings, held: Collection[str]) -> Settings:
    """Without what goes with it and was set by somebody, or holds already."""
    first = next(iter(option))
    return {
        key: value for key, value in option.items()
        if key == first or (key not in held and value not in (0, effective.get(key)))
    }  # fmt: skip


def _counts(cores: int, logical: int, on_gpu: bool) -> list[int]:
    if on_gpu:
        return [n for n in (1, 2, 4, 8) if n <= cores]
    powers = {2**i for i in range(10) if 2**i < cores}
    return sorted({*powers, 3 * cores // 4 or 1, cores, logical})

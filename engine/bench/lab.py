"""A context without the loop round it: prefill, branch, compact and ask, for the compaction bench."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt

from engine import seam
from engine.compaction import policy, solve, span
from engine.config import EngineConfig
from engine.core import llama
from engine.core.language import Language
from engine.core.model import Model
from engine.core.runner import Context
from engine.core.study import Study
from engine.errors import EngineError

F32 = npt.NDArray[np.float32]


Who = list[list[span.Asked]] | list[F32]


def _wrap(asked: list[span.Asked] | F32, info: seam.LayerInfo) -> list[span.Asked]:
    if isinstance(asked, list):
        return asked
    none = np.empty((0, info.n_head_kv, info.d_k), np.float32)
    pos = np.zeros(len(asked), np.int32)
    return [span.Asked(asked, pos, none, pos[:0], np.empty((info.n_head_kv, 0), np.float32))]


class Lab:
    """One model and context; slots are llama.cpp sequences, positions count from 0.

    `positions[slot]` is the next position of a slot.
    """

    def __init__(
        self, model: Path, n_ctx: int, *, slots: int = 17, threads: int = 0, **engine: object
    ) -> None:
        """Raises ModelError when the model or the context cannot be made."""
        config = EngineConfig(
            n_ctx=n_ctx,
            n_batch=512,
            n_ubatch=512,
            max_sessions=slots,
            threads=threads,
            **engine,  # type: ignore[arg-type]
        )
        llama.least = llama.ERROR  # the terminal is the bench's
        self.model = Model(model, config, lambda _: None)
        self.context = Context(self.model, config)
        self.language = Language(self.model)
        self.layers = self.context.layers()
        self.positions = [0] * self.context.n_seq_max
        if why := self.context.cannot_compact():
            raise EngineError(why, "Choose another model.")

    def close(self) -> None:
        self.context.close()
        self.model.close()

    def clear(self) -> None:
        self.context.clear()
        self.positions = [0] * len(self.positions)

    # --- computing ------------------------------------------------------------------------------

    def feed(self, slot: int, tokens: Sequence[int], *, every: bool = False) -> F32:
        """Compute tokens at the end of a slot: logits of the last one [n_vocab], or of each
        [len(tokens), n_vocab]."""
        rows = []
        step = min(self.context.n_batch, self.context.n_seq_max) if every else self.context.n_batch
        for start in range(0, len(tokens), step):
            part = tokens[start : start + step]
            first = self.positions[slot]
            wanted = range(len(part)) if every else [len(part) - 1]
            got = self.decode([(t, first + i, slot, i in wanted) for i, t in enumerate(part)])
            self.positions[slot] += len(part)
            rows.append(got)
        return np.concatenate(rows) if every else rows[-1][-1]

    def decode(self, batch: Sequence[tuple[int, int, int, bool]]) -> F32:
        """One llama_decode of (token, position, slot, wants logits): logits of those that want."""
        context = self.context
        n = len(batch)
        context._tokens[:n] = [b[0] for b in batch]
        context._positions[:n] = [b[1] for b in batch]
        context._slots[:n] = [b[2] for b in batch]
        context._outputs[:n] = [b[3] for b in batch]
        context._batch.n_tokens = n
        if code := context._decode(context.pointer, context._batch):
            what = f"llama_decode failed with code {code}"
            if code == 1:
                what = (
                    "The cells ran out: this model makes more tokens of the dialogues than expected"
                )
            raise EngineError(f"{what}.", "Give a larger --context.")
        outputs = sum(b[3] for b in batch)
        return (
            np.stack([context.logits(i).copy() for i in range(outputs)])
            if outputs
            else np.empty((0, 0), np.float32)
        )

    def greedy(self, prompts: Sequence[Sequence[int]], slot: int, most: int) -> list[list[int]]:
        """Greedy continuations of `slot` + prompt, each in a branch of its own, in parallel."""
        answers: list[list[int]] = [[] for _ in prompts]
        room = self.context.n_seq_max - 1
        others = [s for s in range(self.context.n_seq_max) if s != slot][:room]
        for base in range(0, len(prompts), len(others)):
            group = list(range(base, min(base + len(others), len(prompts))))
            live: dict[int, int] = {}
            for index, branch in zip(group, others, strict=False):
                self.branch(slot, branch)
                live[branch] = index
            last = {b: int(self.feed(b, prompts[i]).argmax()) for b, i in live.items()}
            while live:
                for b in [
                    b
                    for b, t in last.items()
                    if b in live and (self.model.is_eog(t) or len(answers[live[b]]) >= most)
                ]:
                    del live[b]
                if not live:
                    break
                order = list(live)
                for b in order:
                    answers[live[b]].append(last[b])
                logits = self.decode([(last[b], self.positions[b], b, True) for b in order])
                for row, b in enumerate(order):
                    self.positions[b] += 1
                    last[b] = int(logits[row].argmax())
            for branch in others[: len(group)]:
                self.drop(branch)
        return answers

    # --- slots ----------------------------------------------------------------------------------

    def branch(self, source: int, target: int) -> None:
        """Give `target` all cells of `source`."""
        self.context.llama.llama_memory_seq_cp(self.context.memory, source, target, -1, -1)
        self.positions[target] = self.positions[source]

    def drop(self, slot: int, start: int = 0) -> None:
        """Remove positions >= start of a slot."""
        self.context.remove(slot, start)
        self.positions[slot] = start

    @contextmanager
    def tracked(self, slot: int, capacity: int) -> Iterator[None]:
        """Keep the slot's queries meanwhile."""
        seam.track_queries(self.context.pointer, slot, capacity)
        try:
            yield
        finally:
            seam.track_queries(self.context.pointer, slot, 0)

    def queries(self, slot: int, start: int) -> list[F32]:
        """The kept queries of every layer [t, n_head, d]."""
        ctx = self.context.pointer
        return [seam.queries(ctx, i, info, slot, start)[1] for i, info in enumerate(self.layers)]

    def asked(self, slots: Sequence[int], first: int, last: int) -> list[list[span.Asked]]:
        """Of every layer: the kept queries of the slots, with what they saw outside [first, last)."""
        ctx = self.context.pointer
        return [
            [span.who_asked(ctx, i, info, slot, first, last) for slot in slots]
            for i, info in enumerate(self.layers)
        ]

    def study(
        self, slot: int, suffix: Sequence[int], samples: int, most: int, seed: int = 0
    ) -> list[int]:
        """Branch off `samples` recaps, sampled in parallel; their slots, with queries kept.

        The caller drops the slots and stops tracking them (`forget`).
        """
        branches = [s for s in range(self.context.n_seq_max) if s != slot][:samples]
        minds = {b: Study(seed * 1000 + b) for b in branches}
        said: dict[int, list[int]] = {b: [] for b in branches}
        last: dict[int, int] = {}
        for b in branches:
            self.branch(slot, b)
            self.context.track(b, most + len(suffix) + 8)
            last[b] = minds[b].choose(self.feed(b, suffix))
        live = list(branches)
        while live:
            live = [
                b
                for b in live
                if not self.model.is_eog(last[b])
                and len(said[b]) < most
                and not minds[b].repeats(said[b], last[b])
            ]
            if not live:
                break
            logits = self.decode([(last[b], self.positions[b], b, True) for b in live])
            for row, b in enumerate(live):
                said[b].append(last[b])
                self.positions[b] += 1
                last[b] = minds[b].choose(logits[row])
        return branches

    def forget(self, slots: Sequence[int]) -> None:
        """Drop branches and what was kept of them."""
        for slot in slots:
            self.context.track(slot, 0)
            self.drop(slot)

    # --- compaction -----------------------------------------------------------------------------

    def read(self, slot: int, first: int, last: int, asked: Who) -> list[span.LayerData]:
        """The cells of positions [first, last), which belong to `slot` alone.

        `asked` holds who asked in each layer, or bare queries [t, n_head, d], which then all count
        the same.
        """
        ctx = self.context.pointer
        cells = span.locate(ctx, slot, first, last)
        return [
            span.read_layer(ctx, i, info, cells, _wrap(asked[i], info))
            for i, info in enumerate(self.layers)
        ]

    def compact(
        self,
        slot: int,
        first: int,
        last: int,
        ratio: float,
        asked: Who,
        settings: solve.Settings,
    ) -> list[solve.LayerResult]:
        """Replace the cells of positions [first, last) by fewer; what became of each layer."""
        data = self.read(slot, first, last, asked)
        m = policy.cells_after(len(data[0].keys), ratio)
        results = [solve.solve_layer(d, [m] * d.info.n_head_kv, settings) for d in data]
        span.replace(self.context.pointer, slot, first, last, [r.cells for r in results])
        while seam.defragment(self.context.pointer, 4096):
            pass
        return results

    def used(self) -> int:
        """Cells in use."""
        cells = self.context.cell_map()
        return cells.used if cells is not None else 0

    def text(self, tokens: Sequence[int]) -> str:
        """The tokens as text."""
        return b"".join(self.language.piece(t).data for t in tokens).decode("utf-8", "replace")

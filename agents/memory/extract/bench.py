"""`bench extract`: how long mentions and relations take, against GLiNER small on the same text."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from agents.memory import text as sentence_text
from agents.memory.extract import load, peer
from agents.memory.types import Extraction
from engine import paths
from engine.bench import recall
from engine.config import MemoryConfig
from engine.errors import HaloError

CHUNK = 2400  # characters, as the source of the target has it
CHUNKS = 77
MESSAGES = 300
PIECES = 100  # word pieces of the messages `ms_p95_100_tokens` is about
THREADS = 2
BATCH = 32  # messages handed over at once where the rate is measured

Say = Callable[[str], None]


class Reads(Protocol):
    """What both contenders are to this bench."""

    def extract(self, texts: list[str]) -> list[Extraction]: ...


def run(config: MemoryConfig, peer_chunks: int, say: Say) -> dict[str, Any]:
    """Times in milliseconds, on two threads. `peer_chunks` = 0 leaves the peer out."""
    config.threads = THREADS
    ours = load(config)
    messages, chunks = texts()
    hundred = of_length(messages)
    for text in (*messages[:20], *chunks[:2]):
        ours.extract([text])
    say(f"{ours.name}: {len(messages)} messages, one at a time")
    each = [_seconds(ours, [text]) * 1e3 for text in messages]
    long = [_seconds(ours, [text]) * 1e3 for text in hundred]
    say(f"{len(messages)} messages, {BATCH} at once")
    batched = sum(_seconds(ours, messages[i : i + BATCH]) for i in range(0, len(messages), BATCH))
    say(f"{len(chunks)} chunks of {CHUNK} characters")
    documents = [_seconds(ours, [chunk]) for chunk in chunks]
    result: dict[str, Any] = {
        "model": ours.name,
        "threads": THREADS,
        "messages": len(messages),
        "ms_p50": quantile(each, 0.5),
        "ms_p95": quantile(each, 0.95),
        "ms_p50_100_tokens": quantile(long, 0.5),
        "ms_p95_100_tokens": quantile(long, 0.95),
        "messages_s": len(messages) / batched,
        "chunks": len(chunks),
        "chunk_characters": CHUNK,
        "seconds_chunks": sum(documents),
        "ms_chunk_p50": quantile([s * 1e3 for s in documents], 0.5),
        "ratio_to_gliner": None,
    }
    if peer_chunks:
        result.update(_against(ours, peer_chunks, messages, chunks, say))
    return result


def _against(
    ours: Reads, count: int, messages: list[str], chunks: list[str], say: Say
) -> dict[str, Any]:
    """Both contenders in turns on the same texts: medians of the ratios, text by text."""
    say("GLiNER small: 166 million random weights")
    other = peer.load(paths.cache_dir(), THREADS)
    other.extract([messages[0]])
    wide = chunks[:: max(1, len(chunks) // count)][:count]
    short = messages[:: max(1, len(messages) // (2 * count))][: 2 * count]
    found: dict[str, Any] = {}
    for name, some in (("", wide), ("_messages", short)):
        say(f"GLiNER small: {len(some)} {'messages' if name else 'chunks'}")
        pairs = []
        for text in some:
            mine = _seconds(ours, [text])
            theirs = _seconds(other, [text])
            mine = (mine + _seconds(ours, [text])) / 2  # before and after: the load may change
            pairs.append((mine, theirs))
        ratios = [theirs / mine for mine, theirs in pairs]
        found[f"ratio_to_gliner{name}"] = statistics.median(ratios)
        found[f"ratio_to_gliner{name}_lowest"] = min(ratios)
        found[f"ratio_to_gliner{name}_highest"] = max(ratios)
        found[f"gliner_ms{name or '_chunk'}_p50"] = quantile([t * 1e3 for _, t in pairs], 0.5)
    found["gliner_chunks"] = len(wide)
    return found


def texts() -> tuple[list[str], list[str]]:
    """Messages of generated conversations, and the same words as chunks of CHUNK characters."""
    said = [m.content for size in (2000, 6000) for d in recall.load(size) for m in d.messages]
    messages = list(dict.fromkeys(text for text in said if len(text) <= 4 * CHUNK // 10))
    step = max(1, len(messages) // MESSAGES)
    chunks = [
        piece
        for _, piece in sentence_text.grouped("\n".join(said), CHUNK)
        if len(piece) > CHUNK // 2
    ]
    return messages[::step][:MESSAGES], chunks[:CHUNKS]


def of_length(messages: Sequence[str]) -> list[str]:
    """Messages of about PIECES word pieces, made of neighbouring short ones."""
    length = PIECES * 4  # characters
    return [
        piece
        for _, piece in sentence_text.grouped(" ".join(messages), length)
        if len(piece) > length * 0.8
    ]


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which `share` of them are, nearest rank."""
    if not values:
        raise HaloError("There is nothing to measure.", "Give a text of some length.")
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def _seconds(model: Reads, texts: list[str]) -> float:
    begin = time.perf_counter()
    model.extract(texts)
    return time.perf_counter() - begin


def read_ner(config: MemoryConfig, file: Path, mapping: Path | None, say: Say) -> dict[str, Any]:
    """Precision, recall and micro-F1 on a labelled file; see agents.memory.extract.score."""
    from agents.memory.extract import score

    config.threads = THREADS
    sentences = score.read(file)
    types, faults = score.of_schema(score.read_map(mapping, sentences), config.entity_types)
    for fault in faults:
        say(fault)
    say(f"{file}: {len(sentences)} sentences")
    return score.measure(load(config), sentences, types)

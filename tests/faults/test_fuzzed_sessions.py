"""Snapshots with random damage, and with random lies under digests that fit: the core answers each with
a sentence or with the session, and lives; nobody's cells or answers suffer. The commands say so too."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agents import talk as talks
from agents.agent import Agent, AgentSpec
from agents.events import Turn
from agents.talk import talk_of
from engine import snapshot
from engine.config import CompactionConfig
from engine.core.archive import BIAS, STATE, TALK, TOKENS, _npy
from engine.protocol import Close, Compact, Open, Reply, Restore, Save
from engine.seam import bias_count
from tests.support.engine import CHATML
from tests.support.mkgguf import tiny
from tests.support.stepped import SteppedCore
from tui.cli.main import run

pytestmark = pytest.mark.timeout(240)

WORDS = "The quick brown fox jumps over the lazy dog again. "
FIXED = CompactionConfig(
    method="am-attention", keep_recent=48, min_span=64, study="off", queries=128, auto=True
)


class Saved:
    """A core with a compacted session, and its snapshot."""

    def __init__(self, core: SteppedCore, folder: Path) -> None:
        self.core, self.folder = core, folder
        core.answer("ada", WORDS * 10)
        assert core.ask(Compact, session="ada", ratio=4.0).ok
        core.until(lambda: core.session("ada").fold, "for the compaction")
        path = folder / "good.halo"
        assert core.ask(Save, session="ada", path=str(path), talk=b"{}").ok
        self.bytes = path.read_bytes()
        with snapshot.read(path) as found:
            self.manifest = found.manifest
            names = [n for n in found.names if ".copy." not in n]
            self.parts = {name: bytes(found.part(name)) for name in names}
        assert BIAS in self.parts
        core.ask(Close, session="ada")
        while core.scheduler.cache.evict_kept():
            pass
        self.expected = core.answer("bob", "Who are you?").text

    def restore(self, path: Path) -> Reply:
        """Restore a file and talk to it; the core is as it was before, afterwards."""
        core = self.core
        core.ask(Open, session="ada")
        reply = core.ask(Restore, session="ada", path=str(path))
        if reply.ok:
            core.answer("ada", WORDS * 10, "I see.", "And then?")
        else:
            assert reply.code in ("damaged", "engine"), reply
            assert reply.what.rstrip().endswith(".") and "Traceback" not in reply.what
        core.ask(Close, session="ada")
        while core.scheduler.cache.evict_kept():
            pass
        rows = [core.scheduler.cells.row(s.slot) for s in core.scheduler.pools.alive()]
        assert core.scheduler.cells.used == len({cell for row in rows for cell in row})
        core.core._context.settle()
        cells = core.core._context.cell_map()
        assert cells is not None and int((cells.owner >= 0).sum()) == core.scheduler.cells.used
        return reply

    def rewrite(self, changes: dict[str, bytes]) -> Path:
        """A file with other parts, whose digests fit."""
        path = self.folder / "bad.halo"
        snapshot.write(
            path,
            {**self.parts, **changes},
            fingerprint=self.manifest.fingerprint,
            kv=self.manifest.kv,
            about=dict(self.manifest.about),
        )
        return path


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Saved]:
    folder = tmp_path_factory.mktemp("fuzzed")
    with SteppedCore(tiny("qwen3", chat_template=CHATML), compaction=FIXED) as core:
        found = Saved(core, folder)
        yield found
        assert core.answer("bob", "Who are you?").text == found.expected
        assert not bias_count(core.core._context.pointer, 0)


FEW = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def spoilt(draw: st.DrawFn, whole: bytes) -> bytes:
    """Bytes flipped, cut out or put in."""
    data = bytearray(whole)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        kind = draw(st.sampled_from(["flip", "cut", "end", "put"]))
        if kind == "flip" and data:
            data[at] ^= draw(st.integers(1, 255))
        elif kind == "cut":
            del data[at : at + draw(st.integers(1, 400))]
        elif kind == "end":
            del data[at:]
        else:
            data[at:at] = draw(st.binary(max_size=40))
    return bytes(data)


@FEW
@given(st.data())
def test_damaged_files(saved: Saved, data: st.DataObject) -> None:
    path = saved.folder / "bad.halo"
    path.write_bytes(spoilt(data.draw, saved.bytes))
    saved.restore(path)


@FEW
@given(st.data(), st.sampled_from([TOKENS, BIAS, STATE, TALK]))
def test_parts_that_are_spoilt_under_a_digest_that_fits(
    saved: Saved, data: st.DataObject, part: str
) -> None:
    saved.restore(saved.rewrite({part: spoilt(data.draw, saved.parts[part])}))


NUMBERS = st.integers(-(2**70), 2**70) | st.integers(-2, 3000)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)  # fmt: skip


@FEW
@given(st.data())
def test_histories_that_lie(saved: Saved, data: st.DataObject) -> None:
    """Any value of `tokens.json`, or of its fold, is another number or another thing."""
    history: dict[str, Any] = json.loads(saved.parts[TOKENS])
    for _ in range(data.draw(st.integers(1, 3))):
        target = data.draw(st.sampled_from([history, history["fold"]])) or history
        key = data.draw(st.sampled_from(sorted(target)))
        target[key] = data.draw(NUMBERS | JSON)
        history["fold"] = history["fold"] if isinstance(history["fold"], dict) else {"start": 1}
    if data.draw(st.booleans()) and isinstance(history["tokens"], list) and history["tokens"]:
        at = data.draw(st.integers(0, len(history["tokens"]) - 1))
        history["tokens"][at] = data.draw(NUMBERS)
    saved.restore(saved.rewrite({TOKENS: json.dumps(history).encode()}))


@pytest.mark.parametrize(
    "change",
    [
        {TOKENS: b"[" * 100_000},
        {TOKENS: b'{"tokens": [1], "cells": ' + b"9" * 5000 + b"}"},
        {BIAS: b"\x93NUMPY\x01\x00\x10\x00" + b"(" * 16},
        {BIAS: b"\x93NUMPY\x01\x00\x20\x00" + b"'''{'descr': '<f4', \n" + bytes(12)},
    ],
)
def test_what_parsers_choke_on(saved: Saved, change: dict[str, bytes]) -> None:
    assert saved.restore(saved.rewrite(change)).code == "damaged"


@pytest.mark.parametrize("token", [-1, 10**6, 2**31, 2**64])
def test_tokens_that_no_vocabulary_has(saved: Saved, token: int) -> None:
    history = json.loads(saved.parts[TOKENS])
    history["tokens"][3] = token
    path = saved.rewrite({TOKENS: json.dumps(history).encode()})
    assert saved.restore(path).code == "damaged"


def test_biases_that_are_too_few_or_no_numbers(saved: Saved) -> None:
    bias = np.load(saved.folder / "b.npy") if (saved.folder / "b.npy").exists() else None
    (saved.folder / "b.npy").write_bytes(saved.parts[BIAS])
    bias = np.load(saved.folder / "b.npy")
    assert bias.shape[1] > 1 and bias.any()
    few = saved.restore(saved.rewrite({BIAS: _npy(bias[:, :1])}))
    assert few.ok, "its cells cannot be used, so it is read again"
    for bad in (np.inf, np.nan):
        bias[0, 0, 0] = bad
        assert saved.restore(saved.rewrite({BIAS: _npy(bias)})).code == "damaged"


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, bytes], bytes]:
    """A snapshot as the app writes it: its parts, and the file."""
    path = tmp_path_factory.mktemp("text") / "a.halo"
    agent = Agent("a-ada", "ada", AgentSpec(system="You are Ada."))
    agent.turns = [Turn("t-1", "user", "My dog is Rex.", author="you")]
    parts = {
        "talk.json": talks.encode(talk_of(agent)),
        "tokens.json": b"{}",
        "state.bin": bytes(99),
    }
    snapshot.write(path, parts, fingerprint="f", kv={}, about=talks.about(talk_of(agent)))
    return parts, path.read_bytes()


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_commands_on_damaged_files(
    text: tuple[dict[str, bytes], bytes], data: st.DataObject
) -> None:
    """Each ends with a code and a sentence, never with a traceback."""
    parts, whole = text
    part = data.draw(st.sampled_from(["", "talk.json", "tokens.json"]))
    bad = spoilt(data.draw, parts[part] if part else whole)
    with tempfile.TemporaryDirectory() as folder:
        home, path = Path(folder) / "data", Path(folder) / "a.halo"
        (home / "saved").mkdir(parents=True)
        path.write_bytes(bad)
        if part:
            snapshot.write(path, {**parts, part: bad}, fingerprint="f", kv={}, about={"title": "a"})
        (home / "saved" / "s.halo").write_bytes(path.read_bytes())
        codes = set()
        for command in (
            ["list", "--json"], ["list"], ["verify"], ["verify", "s"], ["show", "s"],
            ["import", str(path)], ["export", "s", str(Path(folder) / "out.md")], ["fork", "s"],
            ["rename", "s", "t"], ["restore", "t"], ["delete", "t"],
        ):  # fmt: skip
            out, err = StringIO(), StringIO()
            with redirect_stdout(out), redirect_stderr(err):
                code = run(["sessions", *command, "--data", str(home)])
            said = err.getvalue() + out.getvalue()
            assert code in range(6) and "Traceback" not in said, (command, code, said)
            assert not code or said.strip(), command
            codes.add((command[0], code))
        assert ("list", 0) in codes


def test_commands_on_a_file_that_is_whole(
    text: tuple[dict[str, bytes], bytes], tmp_path: Path
) -> None:
    """So that the test above tests more than refusals."""
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "s.halo").write_bytes(text[1])
    for command in (["verify"], ["show", "s"], ["restore", "s"]):
        assert run(["sessions", *command, "--data", str(tmp_path)]) == 0, command

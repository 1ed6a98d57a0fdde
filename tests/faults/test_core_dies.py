"""The core is killed, stopped, starved or given rubbish: nothing that was said is lost."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import socket
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import psutil
import pytest

from engine.client import CoreDied, EngineClient
from engine.core import preflight
from engine.core.runner import Context
from engine.core.step import Step
from engine.errors import EngineError, ModelError
from engine.protocol import (
    Deltas,
    Done,
    Failed,
    Generate,
    Note,
    Open,
    Ready,
    Sampling,
)
from tests.support.engine import CHATML, GREEDY, InProcessCore, Talk, Wire, chat, running, settings
from tests.support.mkgguf import tiny
from tests.support.pace import Pace
from tests.support.waiting import until

pytestmark = pytest.mark.timeout(180)

ENDLESS = "root ::= [a-z ] root"
LONG = 700  # tokens: of a slow core that is the better part of a minute


def model() -> Path:
    return tiny("llama", chat_template=CHATML)


def kill(talk: Talk) -> int:
    pid = talk.client.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    return pid


@pytest.mark.asyncio
@pytest.mark.parametrize("temperature", [0.0, 0.9])
async def test_killed_while_four_sessions_talk(
    temperature: float, tmp_path: Path, slow_core: Pace
) -> None:
    """Each answer is what it would have been, streamed once."""
    names = ["ada", "grace", "alan", "edsger"]
    samplings = {
        name: Sampling(
            temperature=temperature, seed=i, max_tokens=LONG, grammar=ENDLESS, loop_tokens=0
        )
        for i, name in enumerate(names)
    }
    async with running(model(), tmp_path, n_ctx=4096) as talk:
        for name in names:
            await talk.say(name, f"I am {name}.", sampling=samplings[name])
        await until(lambda: all(len(talk.tokens(n)) > 20 for n in names))
        old = kill(talk)
        await until(lambda: talk.all(CoreDied))
        slow_core.free()
        assert not talk.all(Done), "all four have to talk when it is killed"
        assert talk.all(CoreDied)[0].restarting
        assert "SIGKILL" in talk.all(CoreDied)[0].what
        await talk.finish(names, seconds=100)
        assert talk.client.pid not in (None, old)
        assert len(talk.all(Ready)) == 2
        for name in names:
            done = talk.done(name)
            assert done is not None
            assert done.reason == "length"
            assert done.tokens == LONG == len(talk.tokens(name))
            assert done.text == talk.streamed(name)
        # The conversations go on in the new core.
        assert (await talk.answer("ada", "And now?")).reason == "length"


@pytest.mark.asyncio
async def test_an_interrupted_answer_ends_as_an_uninterrupted_one(tmp_path: Path) -> None:
    sampling = Sampling(temperature=0.0, max_tokens=60, repeat_penalty=1.3)
    async with running(model(), tmp_path) as talk:
        whole = await talk.answer("ada", "Tell me.", sampling=sampling)
        tokens = talk.tokens("ada")
        await talk.client.open("grace")
        # What the client does after a crash, at every possible place.
        for at in (1, 7, 30, 59, 60):
            request = Generate(0, "grace", chat("Tell me."), sampling, resume=tuple(tokens[:at]))
            before = len(talk.all(Done))
            mark = len(talk.deltas("grace"))
            await talk.client.request(request)
            await talk.finish(["grace"], after=before)
            done = talk.done("grace")
            assert done is not None
            assert (done.text, done.tokens) == (whole.text, whole.tokens)
            said = [t for d in talk.deltas("grace")[mark:] for t in d.tokens]
            assert said == tokens[at:]


@pytest.mark.asyncio
async def test_requests_sent_while_it_restarts_are_answered(tmp_path: Path) -> None:
    async with running(model(), tmp_path) as talk:
        await talk.client.open("ada")
        kill(talk)
        await until(lambda: talk.client.state == "restarting")
        done = await talk.answer("grace", "Hello.")
        assert done.reason == "length"
        assert (await talk.answer("ada", "Hello.")).text == done.text


@pytest.mark.asyncio
async def test_an_abort_that_would_come_again_is_not_tried_again(
    tmp_path: Path, slow_core: Pace
) -> None:
    async with running(model(), tmp_path) as talk:
        await talk.say(
            "ada", "Hello.", sampling=Sampling(max_tokens=LONG, grammar=ENDLESS, loop_tokens=0)
        )
        await until(lambda: len(talk.tokens("ada")) > 5)
        with (tmp_path / "core.log").open("a") as log:  # what rocBLAS would have written
            log.write("rocBLAS error: Cannot read x.dat: Illegal seek for GPU arch : gfx1151\n")
        assert talk.client.pid is not None
        os.kill(talk.client.pid, signal.SIGABRT)
        await until(lambda: talk.all(CoreDied))
        (died,) = talk.all(CoreDied)
        assert not died.restarting and talk.client.state == "dead"
        assert "no kernels for its GPU (gfx1151)" in died.what and "vulkan" in died.remedy
        done = talk.done("ada")
        assert done is not None and done.reason == "error" and done.text  # nothing said is lost


@pytest.mark.asyncio
async def test_too_many_deaths_end_it_with_a_sentence(tmp_path: Path, slow_core: Pace) -> None:
    config = settings(model())
    config.engine.restarts = 1
    client = EngineClient(config, log_path=tmp_path / "core.log")
    talk = Talk(client)
    await client.start()
    await talk.say(
        "ada", "Talk.", sampling=Sampling(max_tokens=LONG, grammar=ENDLESS, loop_tokens=0)
    )
    kill(talk)
    await until(lambda: client.state == "ready" and len(talk.all(Ready)) == 2)
    kill(talk)
    await until(lambda: client.state == "dead")
    assert not talk.all(CoreDied)[-1].restarting
    done = talk.done("ada")
    assert done is not None
    assert done.reason == "error"
    assert done.text.startswith(talk.streamed("ada")[:10])
    with pytest.raises(EngineError, match="too often") as refused:
        await client.open("grace")
    assert refused.value.code == "dead"
    assert str(tmp_path / "core.log") in refused.value.remedy
    await client.stop()


@pytest.mark.asyncio
async def test_stopping_ends_the_process(tmp_path: Path) -> None:
    client = EngineClient(settings(model()), log_path=tmp_path / "core.log")
    ready = await client.start()
    assert psutil.pid_exists(ready.pid)
    await client.stop()
    assert not psutil.pid_exists(ready.pid)
    with pytest.raises(EngineError):
        await client.open("ada")
    await client.stop()


def test_the_core_ends_when_the_app_is_killed(tmp_path: Path) -> None:
    script = textwrap.dedent(
        f"""
        import asyncio, sys
        from pathlib import Path
        from engine.client import EngineClient
        from tests.support.engine import settings

        async def main():
            config = settings(Path({str(model())!r}))
            client = EngineClient(config, log_path=Path({str(tmp_path / "core.log")!r}))
            print((await client.start()).pid, flush=True)
            await asyncio.sleep(100)

        asyncio.run(main())
        """
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as app:
        assert app.stdout is not None
        core = psutil.Process(int(app.stdout.readline()))
        app.kill()
        core.wait(60)  # raises TimeoutExpired if it lives on


@pytest.mark.asyncio
async def test_the_core_holds_no_terminal_and_writes_to_its_log(tmp_path: Path) -> None:
    async with running(model(), tmp_path) as talk:
        core = psutil.Process(talk.client.pid)
        assert core.terminal() is None
        log = str(tmp_path / "core.log")
        for fd in (1, 2):
            assert os.readlink(f"/proc/{core.pid}/fd/{fd}") == log
        assert os.readlink(f"/proc/{core.pid}/fd/0") == "/dev/null"
        os.kill(core.pid, signal.SIGINT)  # Ctrl-C is the app's business
        assert (await talk.answer("ada", "Hello.")).reason == "length"
    assert "llama" in Path(log).read_text()


@pytest.mark.asyncio
async def test_a_log_that_cannot_be_written_is_said_and_not_missed(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    async with running(model(), tmp_path / "file" / "no folder") as talk:
        assert (await talk.answer("ada", "Hello.")).reason == "length"
        assert sum("goes on without its log" in note for note in talk.notes()) == 1


@pytest.mark.asyncio
async def test_a_core_that_cannot_be_started_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def no_process(*_: object, **__: object) -> None:
        raise OSError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(asyncio, "create_subprocess_exec", no_process)
    client = EngineClient(settings(model()), log_path=tmp_path / "core.log")
    with pytest.raises(EngineError, match=r"cannot be started: Resource temporarily unavailable"):
        await asyncio.wait_for(client.start(), 60)
    await client.stop()


@pytest.mark.asyncio
async def test_told_to_end_while_another_core_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spawn, begun, go_on = asyncio.create_subprocess_exec, asyncio.Event(), asyncio.Event()
    pids: list[int] = []

    async def slowly(*command: str, **options: Any) -> asyncio.subprocess.Process:
        begun.set()
        await go_on.wait()
        process = await spawn(*command, **options)
        pids.append(process.pid)
        return process

    client = EngineClient(settings(model()), log_path=tmp_path / "core.log")
    ready = await client.start()
    monkeypatch.setattr(asyncio, "create_subprocess_exec", slowly)
    os.kill(ready.pid, signal.SIGKILL)
    await begun.wait()
    stopping = asyncio.create_task(client.stop())
    await asyncio.sleep(0)
    go_on.set()
    await asyncio.wait_for(stopping, 60)
    assert len(pids) == 1 and not psutil.pid_exists(pids[0])
    assert client.state == "stopped"


@pytest.mark.asyncio
async def test_a_long_log_is_put_aside(tmp_path: Path) -> None:
    log = tmp_path / "core.log"
    log.write_bytes(b"x" * 5_000_001)
    async with running(model(), tmp_path):
        pass
    assert (tmp_path / "core.log.1").stat().st_size == 5_000_001
    assert log.stat().st_size < 1_000_000


def broken(tmp_path: Path, what: str) -> Path:
    path = tmp_path / f"{what}.gguf"
    whole = model().read_bytes()
    match what:
        case "missing":
            pass
        case "empty":
            path.write_bytes(b"")
        case "text":
            path.write_text("hello, I am no model\n" * 50)
        case "header":
            path.write_bytes(whole[:2000])
        case "weights":
            path.write_bytes(whole[: len(whole) // 2])
        case "folder":
            path.mkdir()
        case "flipped":
            path.write_bytes(whole[:4] + b"\xff" * 60 + whole[64:])
    return path


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "what", ["missing", "empty", "text", "header", "weights", "folder", "flipped"]
)
async def test_a_bad_model_file_is_one_sentence(what: str, tmp_path: Path) -> None:
    path = broken(tmp_path, what)
    client = EngineClient(settings(path), log_path=tmp_path / "core.log")
    with pytest.raises(ModelError) as failed:
        await client.start()
    assert what in str(failed.value), "the file is named"
    assert failed.value.what.endswith(".")
    assert failed.value.remedy
    assert client.state == "dead"
    await client.stop()


def test_a_decode_that_fails_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """llama_decode reports no slot, then an error, in the middle of an answer."""
    codes = iter([0, 0, 0, 1, 0, 0, -3, 0, 0, 0, 2])
    real = Context.compute

    def compute(self: Context, step: Step) -> int:
        code = next(codes, 0)
        return real(self, step) if code == 0 else code

    def answer(core: InProcessCore) -> tuple[Done, Wire]:
        core.start()
        wire = Wire(core.socket)
        wire.until(Ready)
        wire.send(Open(1, "ada"))
        wire.send(Generate(2, "ada", chat("Tell me something."), GREEDY))
        done = wire.until(Done)
        core.stop()
        assert isinstance(done, Done)
        return done, wire

    expected, _ = answer(InProcessCore(model()))
    monkeypatch.setattr(Context, "compute", compute)
    done, wire = answer(InProcessCore(model()))
    assert (done.text, done.reason) == (expected.text, expected.reason)
    streamed = "".join(d.text for e in wire.events if isinstance(e, Deltas) for d in e.items)
    assert streamed == done.text
    assert any(isinstance(e, Note) and "llama_decode" in e.text for e in wire.events)


def test_a_decode_that_always_fails_ends_with_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Context, "compute", lambda self, step: -2)
    core = InProcessCore(model())
    core.start()
    wire = Wire(core.socket)
    wire.send(Open(1, "ada"))
    wire.send(Generate(2, "ada", chat("Hi."), GREEDY))
    done = wire.until(Done)
    assert isinstance(done, Done)
    assert done.reason == "error"
    assert done.what and done.remedy
    core.stop()


def test_numbers_that_overflow_end_an_answer_and_not_the_core(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its cells are not trusted any more: the next answer is that of a new session."""
    rows = iter([False, False, True])  # whether a row of logits is NaN
    real = Context.logits

    def logits(self: Context, row: int) -> npt.NDArray[np.float32]:
        found = real(self, row)
        return np.full_like(found, np.nan) if next(rows, False) else found

    monkeypatch.setattr(Context, "logits", logits)
    core = InProcessCore(model())
    core.start()
    wire = Wire(core.socket)
    wire.send(Open(1, "ada"))
    wire.send(Generate(2, "ada", chat("Tell me something."), GREEDY))
    done = wire.until(Done)
    assert isinstance(done, Done) and done.reason == "error", done
    assert "NaN" in done.what and "flash_attention" in done.remedy
    wire.events.clear()
    wire.send(Generate(3, "ada", chat("Tell me something."), GREEDY))
    done = wire.until(Done)
    assert isinstance(done, Done) and done.reason in ("stop", "length")
    assert (done.cached_tokens, done.tokens) == (0, GREEDY.max_tokens)
    core.stop()


def test_an_app_that_does_not_read_loses_nothing() -> None:
    """Deltas gather while the socket is full; the core goes on computing."""
    core = InProcessCore(model(), n_ctx=4096)
    core.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    core.start()
    wire = Wire(core.socket)
    wire.until(Ready)
    sampling = Sampling(temperature=0, max_tokens=1500, grammar=ENDLESS, loop_tokens=0, logprobs=5)
    wire.send(Open(0, "ada"))
    wire.send(Generate(0, "ada", chat("Talk."), sampling))
    sequence = None
    while sequence is None or len(sequence.tokens) < 1200:
        sequence = core.core._sessions.get("ada")
    done = wire.until(Done)
    assert isinstance(done, Done)
    assert done.tokens == 1500
    streamed = "".join(d.text for e in wire.events if isinstance(e, Deltas) for d in e.items)
    assert streamed == done.text
    core.stop()


def test_rubbish_on_the_socket_ends_the_core() -> None:
    core = InProcessCore(model())
    core.start()
    wire = Wire(core.socket)
    wire.until(Ready)
    wire.socket.sendall(b"\xff\xff\xff\xffrubbish")
    core._thread.join(60)
    assert not core._thread.is_alive()


@pytest.mark.asyncio
async def test_a_log_that_has_no_room_does_not_end_the_core() -> None:
    client = EngineClient(settings(model()), log_path=Path("/dev/full"))
    try:
        ready = await client.start()
        assert ready.n_ctx == 2048
    finally:
        await client.stop()


def test_too_little_memory_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "available_bytes", lambda: 3 * 2**20)
    core = InProcessCore(model(), n_ctx=2**20)
    core.start()
    failed = Wire(core.socket).until(Failed)
    assert isinstance(failed, Failed)
    assert failed.kind == "model"
    assert "of memory" in failed.what
    assert "n_ctx" in failed.remedy
    core.stop()

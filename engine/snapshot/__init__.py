"""The file a saved agent session lives in (`*.halo`); docs/snapshot-format.md describes it."""

from engine.snapshot.checking import Finding, Report, verify
from engine.snapshot.errors import SnapshotError
from engine.snapshot.manifest import SUFFIX, TALK, TOKENS, Manifest, PartInfo
from engine.snapshot.reader import Snapshot, peek, read
from engine.snapshot.rescue import Salvaged, salvage
from engine.snapshot.temporary import sweep
from engine.snapshot.writer import write

__all__ = [
    "SUFFIX",
    "TALK",
    "TOKENS",
    "Finding",
    "Manifest",
    "PartInfo",
    "Report",
    "Salvaged",
    "Snapshot",
    "SnapshotError",
    "peek",
    "read",
    "salvage",
    "sweep",
    "verify",
    "write",
]

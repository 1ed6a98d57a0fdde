"""Verify: every byte of a snapshot looked at, and one line for each part."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from engine.snapshot.container import header_size, place
from engine.snapshot.errors import NewerFormat, SnapshotError
from engine.snapshot.manifest import MANIFEST
from engine.snapshot.reader import check_structure
from engine.snapshot.source import Source

State = Literal["ok", "damaged", "missing"]


@dataclass(frozen=True)
class Finding:
    """One part; "missing" when the file ends before it does."""

    name: str
    state: State
    why: str = ""


@dataclass(frozen=True)
class Report:
    """What `verify` found. Without a manifest no other part can be judged, so none is listed."""

    findings: tuple[Finding, ...]
    whole: bool  # the digest of the whole file is right
    fault: str = ""  # of the ZIP structure, in one sentence

    @property
    def ok(self) -> bool:
        """Whether every byte is as it was written."""
        return self.whole and not self.fault and all(f.state == "ok" for f in self.findings)


def verify(path: Path) -> Report:
    """Check everything; memory stays small whatever the size.

    Raises SnapshotError for a file that cannot be read, is no snapshot, or is of a newer format.
    """
    with Source(path) as source:
        whole = source.whole()
        try:
            manifest, size = source.manifest()
        except NewerFormat:
            raise
        except SnapshotError as error:
            if error.part != MANIFEST:
                raise
            return Report((Finding(MANIFEST, "damaged", error.what),), whole)
        fault = ""
        try:
            check_structure(source, manifest, size)
        except SnapshotError as error:
            fault = error.what
        places, _ = place(manifest, size)
        findings = [Finding(MANIFEST, "ok")]
        for info in manifest.parts:
            at = places[info.name] + header_size(info.name)
            if not source.inside(at, info.stored):
                findings.append(Finding(info.name, "missing", "The file ends before it does."))
                continue
            try:
                source.check(info, at)
            except SnapshotError as error:
                findings.append(Finding(info.name, "damaged", error.what))
            else:
                findings.append(Finding(info.name, "ok"))
        return Report(tuple(findings), whole, fault)

"""Which Linux distribution this is, so that a remedy can name its own packages."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path("/")


@dataclass(frozen=True)
class Distribution:
    """What os-release tells."""

    name: str = ""  # ID, "debian"
    like: tuple[str, ...] = ()  # ID_LIKE, the closest first
    release: int | None = None  # of rolling ones None

    @property
    def family(self) -> str:
        """debian, fedora or arch, whose package names hold; "" for others."""
        for name in (self.name, *self.like):
            if name in ("debian", "fedora", "arch"):
                return name
        return ""


def here() -> Distribution:
    try:
        text = (ROOT / "etc/os-release").read_text()
    except OSError:
        return Distribution()
    said = dict(re.findall(r"^(\w+)=[\"']?([^\"'\n]*)[\"']?$", text, re.MULTILINE))
    release = re.match(r"\d+", said.get("VERSION_ID", ""))
    return Distribution(
        said.get("ID", ""),
        tuple(said.get("ID_LIKE", "").split()),
        int(release[0]) if release else None,
    )

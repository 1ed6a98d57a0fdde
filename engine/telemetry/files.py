"""Reads small kernel files below a root, which is "/" or a recorded tree."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path


class Root:
    """`/sys`, `/proc` and `/dev` of this machine, or of a recorded one.

    Reading never raises: a file that is not there or may not be read is None. Kernel files come
    and go (a GPU that sleeps, a process that ends), so that is a fact and no error.
    """

    def __init__(self, path: str | Path = "/") -> None:
        self.path = Path(path or "/").expanduser()

    @property
    def live(self) -> bool:
        """Whether this is the machine itself."""
        return self.path == Path("/")

    def at(self, path: str) -> Path:
        """Where an absolute path of the machine is."""
        return self.path / path.lstrip("/")

    def data(self, path: str | Path, size: int = -1) -> bytes | None:
        """The bytes of a file."""
        try:
            with self._full(path).open("rb") as file:
                return file.read(size)
        except OSError:
            return None

    def text(self, path: str | Path) -> str | None:
        """The text of a file without the blanks around it."""
        data = self.data(path, 65536)
        return None if data is None else data.decode("utf-8", "replace").strip()

    def number(self, path: str | Path) -> int | None:
        """The whole number a file holds; also hexadecimal."""
        try:
            return int(self.text(path) or "", 0)
        except ValueError:
            return None

    def table(self, path: str | Path, split: str = "=") -> dict[str, str]:
        """Lines `key=value` as a dict."""
        pairs = (line.partition(split) for line in (self.text(path) or "").splitlines())
        return {key.strip(): value.strip() for key, mark, value in pairs if mark}

    def entries(self, path: str | Path) -> Iterator[Path]:
        """What a folder holds, sorted; nothing when there is none."""
        try:
            found = sorted(self._full(path).iterdir())
        except OSError:
            return
        yield from found

    def exists(self, path: str) -> bool:
        """Whether there is such a file or folder."""
        return self.at(path).exists()

    def _full(self, path: str | Path) -> Path:
        return self.at(path) if isinstance(path, str) else path

"""Which toasts are shown: as long as they take to read, few at once, the rest in one of a line each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from textual.notifications import Notification

SHORT = 32  # rows below which the screen has room for few
ROOM = (2, 4)  # toasts at once, on a short and on a tall screen
LINES = 3  # of the toast that stands for several
WIDTH = 36  # columns of such a line
SECONDS = (4.0, 12.0)  # at least, at most
READS = 20.0  # characters a second, beside what one is doing
_SEVERITIES = ("information", "warning", "error")


@dataclass
class Several(Notification):
    """One toast for several that had no room."""

    parts: tuple[Notification, ...] = ()


def seconds(text: str) -> float:
    """How long a toast is there."""
    return min(SECONDS[1], max(SECONDS[0], 2.0 + len(text) / READS))


def gathered(shown: Sequence[Notification], new: Notification, room: int) -> list[Notification]:
    """At most `room` toasts, oldest first: what is said again replaces what was said, and those
    that have no room, the oldest that are no errors first, become one."""
    kept = [n for n in shown if (n.title, n.message) != (new.title, new.message)]
    kept.append(new)
    if len(kept) <= room:
        return kept
    several = [n for n in kept if isinstance(n, Several)]
    single = [n for n in kept if not isinstance(n, Several)]
    first = sorted(single[:-1], key=lambda n: n.severity == "error")  # stable: by age
    surplus = first[: len(single) - room + 1]
    parts = [part for n in several for part in n.parts] + surplus
    return [_several(parts), *(n for n in single if n not in surplus)]


def _several(parts: Sequence[Notification]) -> Several:
    parts = [part for part in parts if not part.has_expired]
    lines = [_line(part) for part in parts[-LINES:]]
    if len(parts) > LINES:
        lines.insert(0, f"{len(parts) - LINES} more")
    return Several(
        "\n".join(lines),
        severity=max((p.severity for p in parts), key=_SEVERITIES.index, default="information"),
        timeout=max((p.time_left for p in parts), default=0.0),
        parts=tuple(parts),
    )


def _line(one: Notification) -> str:
    words = " ".join(f"{one.title}: {one.message}".split() if one.title else one.message.split())
    return words if len(words) <= WIDTH else words[: WIDTH - 1] + "…"

"""The other end of the app's terminal, for `bench ui`: types letters, and times what is drawn."""

from __future__ import annotations

import os
import time

KEY_PAUSE = 0.05  # seconds between a letter's echo and the next key
LOST = 2.0  # a letter that did not come back by then counts as that late
# Letters that no answer of the model has, each used once until the line is cleared.
LETTERS = [chr(code) for code in range(0x0410, 0x0430)]
QUERY_SYNC, ANSWER_SYNC = b"\x1b[?2026$p", b"\x1b[?2026;1$y"
FRAME_END = b"\x1b[?2026l"


class Terminal:
    """The other end of the app's terminal: types, and watches what is drawn."""

    def __init__(self, master: int) -> None:
        self.master = master
        self.latencies: list[float] = []
        self.lost = 0
        self.frames = 0
        self.seconds = 0.0  # of streaming
        self._tail = b""
        self._waiting = b""  # the letter that was typed
        self._typed_at = 0.0
        self._next = 0
        self._due = 0.0
        self._typing = False
        self._since: float | None = None  # nobody types and frames are counted

    def stream(self, on: bool, typing: bool) -> None:
        """The agents have started or have finished; whether to type meanwhile."""
        now = time.perf_counter()
        self._typing = on and typing
        self._due = now + 0.2
        self._waiting = b""
        if self._since is not None:
            self.seconds += now - self._since
        self._since = now if on and not typing else None

    def patience(self) -> float:
        """Seconds until there may be something to type; looking more often would cost the model."""
        if not self._typing:
            return 0.5
        return 0.5 if self._waiting else max(0.0, min(0.5, self._due - time.perf_counter()))

    def tick(self) -> None:
        """Type a letter if it is time."""
        now = time.perf_counter()
        if self._waiting and now - self._typed_at > LOST:
            self.latencies.append(LOST * 1000)
            self.lost += 1
            self._waiting = b""
        if not self._typing or self._waiting or now < self._due:
            return
        if self._next == len(LETTERS):
            self._next = 0
            os.write(self.master, b"\x15")  # clears the line
            self._due = now + 0.3
            return
        self._waiting = LETTERS[self._next].encode()
        self._next += 1
        self._tail = b""
        self._typed_at = time.perf_counter()
        os.write(self.master, self._waiting)

    def read(self) -> None:
        """Take what the app draws."""
        chunk = os.read(self.master, 1 << 20)
        now = time.perf_counter()
        data = self._tail + chunk
        if QUERY_SYNC in data:
            os.write(self.master, ANSWER_SYNC)
            data = data.replace(QUERY_SYNC, b"")
        if self._since is not None:
            self.frames += chunk.count(FRAME_END)
        if self._waiting and self._waiting in data:
            self.latencies.append((now - self._typed_at) * 1000)
            self._waiting = b""
            self._due = now + KEY_PAUSE
        self._tail = data[-16:]

"""One answer on its way: its sampler, its text, its times, what the app has not been told yet."""

from __future__ import annotations

import time

from engine.core.sampling import Sampler
from engine.core.text import Piece, TextStream
from engine.protocol import Delta, Done, Sampling, TokenProb


class Generation:
    """From an accepted `Generate` to its `Done`."""

    __slots__ = (
        "_logprobs", "_said", "_thought", "_tokens", "count", "first_token_at", "prefill_at",
        "queued_at", "sampler", "sampling", "session", "stream",
    )  # fmt: skip

    def __init__(
        self, session: str, sampling: Sampling, sampler: Sampler, stream: TextStream
    ) -> None:
        self.session = session
        self.sampling = sampling
        self.sampler = sampler
        self.stream = stream
        self.count = 0  # tokens generated
        self.queued_at = time.monotonic()
        self.prefill_at = 0.0
        self.first_token_at = 0.0
        self._said: list[str] = []
        self._thought: list[str] = []
        self._tokens: list[int] = []
        self._logprobs: list[tuple[TokenProb, ...]] = []

    def resume(self, tokens: tuple[int, ...], pieces: list[Piece]) -> None:
        """Continue after tokens that an earlier core process generated; the app has their text."""
        self.sampler.replay(tokens)
        for piece in pieces:
            self.stream.feed(piece)
        self.count = len(tokens)
        text, thinking = self.stream.take()
        self._said.append(text)
        self._thought.append(thinking)

    def add(self, token: int, piece: Piece, logprobs: tuple[TokenProb, ...] | None) -> None:
        """Take a sampled token."""
        self.count += 1
        self._tokens.append(token)
        self.stream.feed(piece)
        if logprobs is not None:
            self._logprobs.append(logprobs)

    @property
    def has_news(self) -> bool:
        return bool(self._tokens)

    def news(self) -> list[Delta]:
        """What was said since the last call; thoughts and answer apart."""
        text, thinking = self.stream.take()
        tokens, logprobs = tuple(self._tokens), tuple(self._logprobs)
        self._tokens.clear()
        self._logprobs.clear()
        deltas = []
        if thinking:
            self._thought.append(thinking)
            deltas.append(Delta(self.session, thinking, tokens, True, logprobs))
            tokens, logprobs = (), ()
        if text or tokens:
            self._said.append(text)
            calling = self.stream.calling
            deltas.append(Delta(self.session, text, tokens, False, logprobs, calling))
        return deltas

    def done(
        self,
        reason: str,
        *,
        prompt_tokens: int,
        cached_tokens: int,
        cells: int,
        what: str = "",
        remedy: str = "",
        repeated: int = 0,
    ) -> Done:
        """The closing event, after the last `news`."""
        now = time.monotonic()
        started = self.prefill_at or now
        first = self.first_token_at or now
        text = "".join(self._said)
        return Done(
            session=self.session,
            reason=reason,
            text=text,
            thinking="".join(self._thought).strip(),
            prompt_tokens=prompt_tokens,
            cached_tokens=cached_tokens,
            tokens=self.count,
            seed=self.sampler.seed,
            queue_seconds=started - self.queued_at,
            prefill_seconds=first - started if self.prefill_at else 0.0,
            decode_seconds=now - first,
            ended_at=now,
            cells=cells,
            what=what,
            remedy=remedy,
            repeated=min(repeated, len(text)),
            calls=self.stream.calls if reason == "stop" else (),
        )

"""Sampling: one llama.cpp sampler chain for each sequence, and log-probabilities on request."""

from __future__ import annotations

import ctypes
import json
import math
import secrets
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.core import llama
from engine.core.model import Model
from engine.core.runner import Context
from engine.errors import EngineError
from engine.protocol import Sampling, TokenProb

MAX_LOGPROBS = 20
_TOKEN_DATA = np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)])


def draw_seed() -> int:
    """A seed for an answer that asks for none."""
    return secrets.randbelow(2**32 - 1)  # the last value means "random" to llama.cpp


def are_numbers(logits: npt.NDArray[np.float32]) -> bool:
    """Whether a row of logits means anything. One value says it for all: what overflows on the way
    makes the whole of a hidden state NaN, and with it each logit."""
    return not math.isnan(logits[0])


class Sampler:
    """The chain of one generation. `close` frees it."""

    def __init__(self, model: Model, n_ctx: int, sampling: Sampling, seed: int) -> None:
        """Raises EngineError (bad_request) when the grammar or schema cannot be used."""
        self._llama: Any = llama.load()
        self._model = model
        self.seed = seed
        greedy = sampling.temperature <= 0
        penalties = (
            sampling.repeat_penalty != 1.0
            or sampling.frequency_penalty != 0.0
            or sampling.presence_penalty != 0.0
        ) and sampling.penalty_last_n != 0
        grammar = _grammar_text(sampling)
        self._grammar = _make_grammar(self._llama, model, grammar) if grammar else None
        # Greedy without penalties needs no chain: the largest logit is the answer.
        self._plain = greedy and not (penalties or grammar)
        self._greedy = greedy
        self._dist: Any = None  # llama.cpp's source of random numbers, in the chain
        self._random = np.random.default_rng(seed)  # ours, where a grammar decides
        self._chain = self._make_chain(sampling, n_ctx, greedy, penalties)
        self._sample = self._llama.llama_sampler_sample
        self._candidates: npt.NDArray[Any] | None = None

    def _make_chain(self, sampling: Sampling, n_ctx: int, greedy: bool, penalties: bool) -> Any:
        api = self._llama
        params = api.llama_sampler_chain_default_params()
        params.no_perf = True
        chain = api.llama_sampler_chain_init(params)
        add = api.llama_sampler_chain_add
        if penalties:
            last = n_ctx if sampling.penalty_last_n < 0 else sampling.penalty_last_n
            add(chain, api.llama_sampler_init_penalties(
                self._model.n_vocab, last, max(sampling.repeat_penalty, 1e-3),
                sampling.frequency_penalty, sampling.presence_penalty,
            ))  # fmt: skip
        if greedy:
            if self._grammar is None:
                add(chain, api.llama_sampler_init_greedy())
            return chain
        if sampling.top_k > 0:
            add(chain, api.llama_sampler_init_top_k(sampling.top_k))
        if sampling.top_p < 1:
            add(chain, api.llama_sampler_init_top_p(sampling.top_p, 1))
        if sampling.min_p > 0:
            add(chain, api.llama_sampler_init_min_p(sampling.min_p, 1))
        add(chain, api.llama_sampler_init_temp(sampling.temperature))
        if self._grammar is None:
            self._dist = api.llama_sampler_init_dist(self.seed)
            add(chain, self._dist)
        return chain

    def close(self) -> None:
        """Free the chain; a second call does nothing."""
        for name in ("_chain", "_grammar"):
            if getattr(self, name):
                self._llama.llama_sampler_free(getattr(self, name))
                setattr(self, name, None)

    def sample(self, context: Context, row: int, position: int) -> int:
        """Choose a token from the row-th output, which stands at `position` of the batch."""
        if self._plain:
            return int(context.logits(row).argmax())
        if self._grammar is None:
            return int(self._sample(self._chain, context.pointer, position))
        return self._sample_with_grammar(context.logits(row))

    def replay(self, tokens: Iterable[int]) -> None:
        """Bring the chain to where it was after `tokens`, random numbers included."""
        if self._plain:
            return
        pair = np.zeros(2, _TOKEN_DATA)
        for token in tokens:
            if self._dist:  # each choice draws one number
                pair["id"] = (0, 1)
                self._llama.llama_sampler_apply(self._dist, ctypes.byref(self._array(pair)))
            self._llama.llama_sampler_accept(self._chain, token)
            if self._grammar:
                self._random.random()
                self._llama.llama_sampler_accept(self._grammar, token)

    def _sample_with_grammar(self, logits: npt.NDArray[np.float32]) -> int:
        """Sample freely, and only if the grammar forbids the result, sample what it allows.

        Checking one token is far cheaper than checking the vocabulary (as llama.cpp's own
        sampling does). Both tries use one random number, so that an answer taken up again after a
        crash knows how many were drawn.
        """
        number = self._random.random()
        token = self._choose(logits, number, with_grammar=False)
        if not self._allowed(token):
            token = self._choose(logits, number, with_grammar=True)
            if not self._allowed(token):
                raise EngineError("The grammar allows no token here.", "Check the grammar.")
        self._llama.llama_sampler_accept(self._grammar, token)
        self._llama.llama_sampler_accept(self._chain, token)
        return token

    def _choose(self, logits: npt.NDArray[np.float32], number: float, with_grammar: bool) -> int:
        """Filter the candidates through the chain, then take the one that `number` falls on."""
        if self._candidates is None:
            self._candidates = np.zeros(len(logits), _TOKEN_DATA)
        data = self._candidates
        data["id"] = np.arange(len(logits), dtype=np.int32)
        data["logit"] = logits
        data["p"] = 0
        array = self._array(data)
        if with_grammar:
            self._llama.llama_sampler_apply(self._grammar, ctypes.byref(array))
        self._llama.llama_sampler_apply(self._chain, ctypes.byref(array))
        left = data[: array.size]
        best = int(left["logit"].argmax())
        if self._greedy or not np.isfinite(left["logit"][best]):
            return int(left["id"][best])
        share = np.cumsum(np.exp(left["logit"] - left["logit"][best], dtype=np.float64))
        chosen = int(np.searchsorted(share, number * share[-1], side="right"))
        return int(left["id"][min(chosen, len(left) - 1)])

    def _allowed(self, token: int) -> bool:
        one = np.zeros(1, _TOKEN_DATA)
        one["id"], one["logit"] = token, 1.0
        self._llama.llama_sampler_apply(self._grammar, ctypes.byref(self._array(one)))
        return bool(np.isfinite(one["logit"][0]))

    def _array(self, data: npt.NDArray[Any]) -> Any:
        api = self._llama
        pointer = ctypes.cast(data.ctypes.data, ctypes.POINTER(api.llama_token_data))
        return api.llama_token_data_array(pointer, len(data), -1, False)


def logprobs(
    model: Model, logits: npt.NDArray[np.float32], token: int, count: int
) -> tuple[TokenProb, ...]:
    """The chosen token, then the `count` likeliest ones, by softmax of the raw logits."""
    high = float(logits.max())
    scale = high + float(np.log(np.exp(logits - high).sum(dtype=np.float64)))
    count = min(count, MAX_LOGPROBS, len(logits))
    best = np.argpartition(logits, -count)[-count:]
    best = best[np.argsort(-logits[best], kind="stable")]
    return tuple(
        TokenProb(int(t), model.piece(int(t)).decode("utf-8", "replace"), float(logits[t]) - scale)
        for t in (token, *best)
    )


def _grammar_text(sampling: Sampling) -> str:
    if sampling.grammar and sampling.json_schema:
        raise EngineError(
            "A grammar and a JSON schema were both given.", "Keep one of the two.", "bad_request"
        )
    return grammar_of_schema(sampling.json_schema) if sampling.json_schema else sampling.grammar


def grammar_of_schema(schema: str) -> str:
    """GBNF of a JSON schema, start rule `root`. Raises EngineError (bad_request)."""
    try:
        json.loads(schema)
    except ValueError as error:
        raise EngineError(
            f"The JSON schema is not valid JSON: {error}.", "Correct it.", "bad_request"
        ) from None
    llama.load()  # the converter's package opens the library, which `native` has to find for it
    from llama_cpp.llama_grammar import json_schema_to_gbnf

    try:
        return str(json_schema_to_gbnf(schema))
    except (ValueError, TypeError, KeyError, AttributeError, IndexError, AssertionError,
            RecursionError, NotImplementedError) as error:  # fmt: skip
        raise EngineError(
            f"The JSON schema cannot be turned into a grammar: {error}.",
            "Use a simpler schema.",
            "bad_request",
        ) from None


def _make_grammar(api: Any, model: Model, text: str) -> Any:
    llama.complaints.clear()
    grammar = api.llama_sampler_init_grammar(model.vocab, text.encode(), b"root")
    if not grammar:
        raise EngineError(
            f"The grammar cannot be read: {llama.why('its rules are not valid GBNF')}.",
            "Check it; its start rule must be called root.",
            "bad_request",
        )
    return grammar

"""Answers: begun by a request, one token sampled after each step, ended with the reason why."""

from __future__ import annotations

import time

import msgspec

from engine.core import loops
from engine.core.compactor import Compactor
from engine.core.generation import Generation
from engine.core.language import Language
from engine.core.model import Model
from engine.core.runner import Context
from engine.core.sampling import Sampler, are_numbers, draw_seed, logprobs
from engine.core.scheduler import Scheduler
from engine.core.sequence import Phase, Sequence
from engine.core.step import Step
from engine.core.study import Study
from engine.core.teller import Teller
from engine.core.text import Piece
from engine.core.toolprompt import offered
from engine.errors import EngineError, too_long
from engine.protocol import Generate

# llama.cpp's flash attention on a CPU adds values up in F16: a thousand equal cells can be too much.
NAN = (
    "The model's numbers overflowed (NaN).",
    'Set engine.flash_attention = "off" (on a CPU it adds up in half precision), or start a new '
    "conversation.",
)
SWITCH_ON = "Have it compacted by itself (/auto on or the menu; compaction.auto = true)"
MIN_ANSWER = 8  # cells a prompt must leave for its answer


class Answers:
    """What the sequences of a scheduler say. Tokens to compute come and go by the scheduler."""

    def __init__(
        self,
        model: Model,
        context: Context,
        language: Language,
        scheduler: Scheduler,
        compactor: Compactor,
        teller: Teller,
    ) -> None:
        self._model = model
        self._context = context
        self._language = language
        self._scheduler = scheduler
        self._compactor = compactor
        self._teller = teller

    def begin(self, sequence: Sequence, request: Generate) -> None:
        """Have a prompt computed and answered. Raises EngineError (busy, bad_request, too_long, …)."""
        if sequence.phase is not Phase.IDLE:
            raise EngineError(
                f"{request.session} is still answering.", "Wait for it, or stop it.", "busy"
            )
        if not request.messages:
            raise EngineError("There is no message to answer.", "Send one.", "bad_request")
        prompt, inside = self._language.prompt(request.messages, request.thinking)
        tokens = [*prompt, *request.resume]
        self._check_prompt(request, len(prompt), len(tokens))
        sampling = request.sampling
        if request.must_call:
            grammar = self._language.call_grammar(request.messages, inside)
            sampling = msgspec.structs.replace(sampling, grammar=grammar, json_schema="")
        seed = sampling.seed if sampling.seed >= 0 else draw_seed()
        sampler = Sampler(self._model, self._context.n_ctx, sampling, seed & 0xFFFFFFFF)
        stream = self._language.stream(sampling.stop, inside, offered(request.messages))
        generation = Generation(request.session, sampling, sampler, stream)
        if request.resume:
            generation.resume(
                request.resume, [self._piece(generation, token) for token in request.resume]
            )
        sequence.payload = generation
        sequence.messages = request.messages
        sequence.sampling = msgspec.structs.replace(request.sampling, seed=seed)
        self._scheduler.submit(sequence, tokens, len(prompt))
        if stream.stopped:
            self.finish(sequence, "stop")
        elif request.resume:
            self._check_length(sequence, generation)

    def take(self, step: Step) -> None:
        """Sample for every sequence whose tokens are all computed."""
        row = 0
        position = -1
        for sequence in step.decode:
            position += 1
            self._sample(sequence, row, position)
            row += 1
        for sequence, _, count in step.prefill:
            position += count
            if sequence.phase is Phase.DECODE:
                self._sample(sequence, row, position)
                row += 1

    def _sample(self, sequence: Sequence, row: int, position: int) -> None:
        context, model = self._context, self._model
        if isinstance(sequence.payload, Study):
            self._compactor.studied(sequence, context.logits(row))
            return
        generation = sequence.payload
        assert isinstance(generation, Generation)
        wanted = generation.sampling.logprobs
        if not generation.first_token_at:
            generation.first_token_at = time.monotonic()
            self._teller.hurry()
        if not are_numbers(context.logits(row)):
            # Such cells would make all that follows NaN as well: they are not kept.
            self.finish(sequence, "error", *NAN)
            self._scheduler.cache.drop(sequence)
            return
        try:
            token = generation.sampler.sample(context, row, position)
        except EngineError as error:
            self.finish(sequence, "error", error.what, error.remedy)
            return
        if model.is_eog(token) and not generation.sampling.ignore_eos:
            self.finish(sequence, "stop")
            return
        probabilities = logprobs(model, context.logits(row), token, wanted) if wanted else None
        self._teller.news(generation)
        sequence.tokens.append(token)
        generation.add(token, self._piece(generation, token), probabilities)
        if generation.stream.stopped:
            self.finish(sequence, "stop")
        else:
            self._check_length(sequence, generation)

    def _check_length(self, sequence: Sequence, generation: Generation) -> None:
        if generation.count >= generation.sampling.max_tokens:
            self.finish(sequence, "length")
        elif generation.count % loops.STEP == 0 and self._loops(sequence, generation):
            pass
        elif sequence.position(
            len(sequence.tokens)
        ) >= self._compactor.positions.last and not self._compactor.positions.make(sequence):
            self.finish(
                sequence,
                "length",
                f"The conversation has reached {self._compactor.positions.last:,} tokens, "
                "all that fits.",
                f"{SWITCH_ON}, or start a new one."
                if self._compactor.switched_off
                else "Raise engine.n_ctx if the model was trained on more, or start a new one.",
            )

    def give_up(self, sequence: Sequence) -> None:
        """End what can neither go on nor get more room."""
        what = f"The context of {self._scheduler.cells.total:,} cells is full."
        first = f"{SWITCH_ON}, raise" if self._compactor.switched_off else "Raise"
        remedy = f"{first} engine.n_ctx, or start a new conversation."
        if self._compactor.positions.left(sequence) <= 0:
            what = (
                f"The conversation has {len(sequence.tokens):,} tokens, more than may be compacted "
                f"into the {self._compactor.positions.last:,} that the model was trained on."
            )
            remedy = "Start a new one, or raise compaction.max_ratio."
        said = len(sequence.tokens) > sequence.n_prompt
        self.finish(sequence, "length" if said else "error", what, remedy)

    def _loops(self, sequence: Sequence, generation: Generation) -> bool:
        """Whether an answer only repeats itself; then it is ended."""
        sampling = generation.sampling
        if sampling.ignore_eos:  # measuring goes on whatever is said
            return False
        said = sequence.tokens[sequence.n_prompt :]
        size = loops.looping(said, sampling.loop_tokens)
        if not size:
            return False
        again = b"".join(self._piece(generation, t).data for t in said[-loops.tail(size) :])
        self.finish(
            sequence,
            "loop",
            f"The answer only repeated itself and was ended at {generation.count:,} tokens.",
            "Raise sampling.repeat_penalty (1.1), or allow it with sampling.loop_tokens = 0.",
            repeated=len(again.decode("utf-8", "replace")),
        )
        return True

    def finish(
        self,
        sequence: Sequence,
        reason: str,
        what: str = "",
        remedy: str = "",
        repeated: int = 0,
    ) -> None:
        """End a generation; its cells stay. `repeated`: characters at its end, of a loop."""
        generation = sequence.payload
        assert isinstance(generation, Generation)
        self._scheduler.stop(sequence)
        sequence.payload = None
        generation.sampler.close()
        generation.stream.finish()
        self._teller.last_words(generation)
        self._teller.ended(
            generation.done(
                reason,
                prompt_tokens=sequence.n_prompt,
                cached_tokens=min(sequence.cached, sequence.n_prompt),
                cells=self._scheduler.cells.held(sequence.slot) if sequence.slot >= 0 else 0,
                what=what,
                remedy=remedy,
                repeated=repeated,
            ),
        )

    def _piece(self, generation: Generation, token: int) -> Piece:
        return self._language.piece(token, generation.stream.reads_calls)

    def _check_prompt(self, request: Generate, prompt: int, total: int) -> None:
        """Raises EngineError when a prompt cannot be answered by all of itself.

        Compaction makes room for a conversation, by thinning what is old. What is asked now has to
        fit as it is: it would be thinned before the question in it was read.
        """
        positions = self._compactor.positions
        longest, needed = positions.last, max(prompt + MIN_ANSWER, total)
        if positions.unbounded:
            longest = min(longest, self._scheduler.max_length)
        if needed <= longest:
            return
        alone = self._alone(request)
        if alone + MIN_ANSWER > longest:
            what, remedy = f"The prompt has {alone:,} tokens", "Shorten it, or send it in parts"
        elif positions.unbounded:
            return
        else:
            what = f"The conversation has {total:,} tokens"
            first = SWITCH_ON if self._compactor.switched_off else "Shorten it"
            remedy = f"{first}, clear the conversation"
        raise too_long(what, remedy, longest, self._model.n_ctx_train)

    def _alone(self, request: Generate) -> int:
        """Tokens of a request without what was said before its last question."""
        messages = request.messages
        last = max((i for i, m in enumerate(messages) if m.role == "user"), default=0)
        head = messages[:1] if last and messages[0].role == "system" else ()
        tokens, _ = self._language.prompt((*head, *messages[last:]), request.thinking)
        return len(tokens)

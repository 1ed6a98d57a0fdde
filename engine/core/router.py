"""Expert routing beside the steps: sets the bonus before a step, reads what was chosen after it.

Acts on steps in which several sequences decode and none is prefilled: a single one reads the
same number of experts whatever it is told, and a prompt reads nearly all of them. Otherwise the
graph is that of unmodified llama.cpp.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from engine import routing
from engine.config import ExpertsConfig
from engine.core.runner import Context
from engine.core.settings import changed
from engine.core.step import Step
from engine.errors import EngineError
from engine.experts import choice, make_policy
from engine.experts.defaults import Tuning, tuning
from engine.experts.guard import Guard
from engine.experts.meter import Meter
from engine.experts.policy import Policy
from engine.experts.record import Recorder
from engine.protocol import Experts

F32 = npt.NDArray[np.float32]

CALIBRATION = 4  # first steps that are sampled, whatever the rate
SMOOTH = 0.8  # share of a layer's range that older samples keep
EVENT_SECONDS = 0.5
AB_STEPS, AB_ROUNDS = 12, 8  # steps of a window with the policy and one without, and how often
AB_SKIP = 2  # first steps of a window: the graph is built anew

Say = Callable[[str, str], None]  # level, text


class Router:
    """One context's routing. `prepare`, compute, `observe`, `timed`."""

    def __init__(
        self, context: Context, config: ExpertsConfig, architecture: str, name: str, say: Say
    ) -> None:
        self._context, self._say = context, say
        self._names = (architecture, name)
        self.config = config
        able = context.attached and routing.available()
        self.experts = routing.describe(context.pointer) if able else None
        if self.experts is not None and not self.experts.n_expert:
            self.experts = None
        self.watch = False  # somebody looks: count also while the policy is off
        self._recorder: Recorder | None = None
        self._mode: tuple[bool, int, int] = (False, 0, routing.NOTHING)
        self._ab: _Trial | None = None
        self.ab = ("", 0.0)  # how far a trial is, or the factor that came of it
        self.rates = (0.0, 0.0)  # tokens a second with and without
        self._sent = 0.0
        self._active = False
        self._acted = False  # in a step since the last event
        self._quiet = False  # the last event told of no step
        self._apply()

    def _apply(self) -> None:
        """Begin anew with the present settings."""
        config = self.config
        self._guard = Guard(config.max_mass, config.max_kl, config.guard)
        self._tuning: Tuning = Tuning(0.0, 1)
        self._policy: Policy | None = None
        self._seen = 0
        self._sampled = False  # the newest step was computed twice
        if self.experts is None:
            return
        shape = (self.experts.n_layers, self.experts.n_expert)
        self._tuning = tuning(config, self.experts, *self._names)
        self._policy = make_policy(config.policy, self.experts, config.recency)
        self._meter = Meter(self.experts)
        self._ranges = np.zeros(shape[0], np.float32)
        self._zero = np.zeros(shape, np.float32)
        self._since_sample = 0

    # --- settings -------------------------------------------------------------------------------

    def configure(self, key: str, value: object) -> None:
        """Change a setting while running. Raises EngineError for what cannot be."""
        if key == "watch":
            self.watch, self._quiet = bool(value), False
            return
        if key == "record":
            self.record(str(value))
            return
        if key == "ab":
            self._start_ab(bool(value))
            return
        if self.experts is None and key == "policy" and value != "off":
            raise EngineError(*self._why_not(), "unsupported")
        self.config = changed(self.config, "experts", key, value)
        if key in ("bonus", "keep_top") and self.experts is not None:  # what was learnt stays
            self._tuning = tuning(self.config, self.experts, *self._names)
            self._guard.restart()
        else:
            self._apply()
        self._sent, self._quiet = 0.0, False

    def _why_not(self) -> tuple[str, str]:
        if not routing.available():
            return (
                "The native library is older than expert routing.",
                "Build it again: make run, or make setup.",
            )
        return "This model has no experts to route.", "Load a mixture of experts."

    def record(self, path: str) -> None:
        """Write what is chosen to a file from now on; "" ends it."""
        if self._recorder is not None:
            recorder, self._recorder = self._recorder, None
            file, steps = recorder.path, recorder.steps
            try:
                recorder.close()
            except OSError as error:
                raise EngineError(
                    f"The end of {file} could not be written: {error.strerror}.",
                    "Free some space, or choose another place.", "disk",
                ) from None  # fmt: skip
            self._say("info", f"Recorded the experts of {steps:,} steps in {file}.")
        if not path:
            return
        if self.experts is None:
            raise EngineError(*self._why_not(), "unsupported")
        try:
            self._recorder = Recorder(Path(path), self.experts, self._names[1])
        except OSError as error:
            raise EngineError(
                f"{path} cannot be written: {error.strerror}.", "Choose another place.", "disk"
            ) from None

    @property
    def on(self) -> bool:
        """Whether there is a policy."""
        return self._policy is not None

    @property
    def calibrated(self) -> bool:
        """Whether the ranges of the scores are known."""
        return self._seen >= CALIBRATION

    def close(self) -> None:
        if self._recorder is not None:
            self._recorder.close()
            self._recorder = None

    # --- the step -------------------------------------------------------------------------------

    def prepare(self, step: Step) -> None:
        """Choose the graph and the bonus of a step that is about to be computed."""
        experts = self.experts
        if experts is None:
            return
        n = len(step.decode)
        pure = not step.prefill and 0 < n <= routing.ROWS
        acts = self._policy is not None and pure and n >= self.config.min_agents
        trial = self._ab
        if trial is not None and acts and trial.without:
            acts = False
        counts = self.watch or self._recorder is not None or (trial is not None and pure)
        self._active = acts
        self._acted |= acts
        if not acts:
            self._switch(False, 0, routing.IDS if counts else routing.NOTHING)
            return
        assert self._policy is not None
        keep = self._tuning.keep if self._policy.keeps else 0
        self._switch(True, keep, routing.SCORES)
        if not self.calibrated:  # no bonus before the ranges are known
            routing.set_bias(self._context.pointer, self._zero, self._zero[:, 0])
        else:
            bonus = self._ranges * np.float32(self._tuning.bonus * self._guard.scale)
            shared = bonus if self._policy.keeps else self._zero[:, 0]
            routing.set_bias(self._context.pointer, self._policy.weights() * bonus[:, None], shared)

    def _switch(self, bias: bool, keep: int, capture: int) -> None:
        if (bias, keep, capture) != self._mode:
            routing.set_mode(self._context.pointer, bias=bias, keep=keep, capture=capture)
            self._mode = (bias, keep, capture)

    def observe(self, step: Step) -> int:
        """Read what a computed step chose; 0, or the code of a sampled re-run that failed.

        After a re-run the step's logits are those without bonus.
        """
        experts = self.experts
        if experts is None or self._mode[2] == routing.NOTHING:
            return 0
        rows, ids = routing.read_ids(self._context.pointer, experts)
        n = len(step.decode)
        if self._recorder is not None:
            self._record(rows, ids, n if not step.prefill else 0)
        if step.prefill or n > routing.ROWS or not rows[experts.layers].min() >= n:
            return 0
        self.taken(ids, n)
        if not self._active:
            return 0
        self._since_sample += 1
        if not self.calibrated or self._since_sample >= self.config.sample_every:
            return self._sample(ids, n, step)
        return 0

    def taken(self, ids: npt.NDArray[np.int32], n: int) -> None:
        """Count what n decoding tokens took: ids [n_layers, >= n, n_used]."""
        assert self.experts is not None
        flags = choice.flags_of(ids, self.experts, n)
        self._meter.step(flags, n)
        if self._policy is not None:
            self._policy.used(flags)

    def _record(self, rows: npt.NDArray[np.int32], ids: npt.NDArray[np.int32], n: int) -> None:
        assert self._recorder is not None
        try:
            self._recorder.step(rows, ids, n)
        except OSError as error:
            self._say("error", f"Recording of experts stopped: {error.strerror}.")
            self._recorder.abandon()
            self._recorder = None

    def _sample(self, ids: npt.NDArray[np.int32], n: int, step: Step) -> int:
        experts, context = self.experts, self._context
        assert experts is not None
        self._since_sample = 0
        scores, probs = routing.read_scores(context.pointer, experts, n)
        found = choice.compare(experts, scores, probs, ids)
        fresh = not self._seen
        self._ranges = (
            found.ranges if fresh else SMOOTH * self._ranges + (1 - SMOOTH) * found.ranges
        )
        self._seen += 1
        self._meter.without(found.distinct, n)
        if self._seen <= CALIBRATION:
            return 0
        divergence, code = None, 0
        if context.can_redo:
            biased = np.stack([context.logits(row) for row in range(n)])
            routing.set_bias(context.pointer, self._zero, self._zero[:, 0])
            code = context.redo(step)
            if code:
                return code
            routing.read_ids(context.pointer, experts)  # of the re-run
            divergence = choice.kl(np.stack([context.logits(row) for row in range(n)]), biased)
            self._sampled = True
        if text := self._guard.sample(found.mass, divergence):
            self._say("info" if "back" in text else "warning", text)
        return code

    def timed(self, step: Step, seconds: float) -> None:
        """How long a step took, sampling aside."""
        trial, sampled = self._ab, self._sampled
        self._sampled = False
        if trial is None or step.prefill or sampled:
            return
        trial.step(len(step.decode), seconds)
        if trial.done:
            self._ab = None
            self.ab, self.rates = ("done", trial.factor), trial.rates
            self._quiet = False
            self._say(
                "info",
                f"Expert routing, with and without in turns: {trial.factor:.2f}× tokens a second "
                f"({self.config.policy}, bonus {self._tuning.bonus:g}).",
            )

    def _start_ab(self, on: bool) -> None:
        if not on:
            self._ab, self.ab = None, ("", 0.0)
            return
        if self._policy is None:
            raise EngineError(
                "There is nothing to compare: expert routing is off.", "Switch it on first: /experts cache.",
                "nothing",
            )  # fmt: skip
        self._ab = _Trial()
        self.ab = ("runs", 0.0)

    # --- telling --------------------------------------------------------------------------------

    def patience(self, now: float) -> float | None:
        """Seconds until there is something to tell; None when there is nothing."""
        if self.experts is None or not (self.watch or self.on):
            return None
        if self._quiet and not self._meter.steps:
            return None  # told already that nothing is read
        return max(0.0, self._sent + EVENT_SECONDS - now)

    def event(self, now: float) -> Experts | None:
        """What is worth telling now, at most twice a second while somebody looks or it acts."""
        experts = self.experts
        if experts is None or (due := self.patience(now)) is None or due > 0:
            return None
        self._sent = now
        self._quiet = not self._meter.steps
        acted, self._acted = self._acted, False
        layers = experts.layers
        heat = self._meter.heat[layers]
        trial = self._ab
        return Experts(
            policy=self.config.policy,
            bonus=self._tuning.bonus,
            keep=self._tuning.keep,
            active=acted,
            layers=tuple(int(i) for i in layers),
            n_expert=experts.n_expert,
            n_used=experts.n_used,
            heat=np.rint(255 * np.clip(heat, 0, 1)).astype(np.uint8).tobytes(),
            guard=self._guard.state,
            scale=self._guard.scale,
            mass=self._guard.mass,
            kl=self._guard.kl,
            samples=self._guard.samples,
            ab=self.ab[0],
            ab_share=trial.share if trial is not None else 0.0,
            ab_factor=self.ab[1],
            ab_tok_s=self.rates[0],
            ab_tok_s_without=self.rates[1],
            recording=str(self._recorder.path) if self._recorder is not None else "",
            **self._meter.take(),
        )


class _Trial:
    """Short windows with the policy and without, in turns.

    Of each window the median time of a step counts, and of the rounds the median ratio: what else
    the machine does comes and goes in seconds.
    """

    def __init__(self) -> None:
        self._steps = 0
        self._window: list[float] = []  # seconds a token
        self._medians: tuple[list[float], list[float]] = ([], [])  # with, without

    @property
    def without(self) -> bool:
        return (self._steps // AB_STEPS) % 2 == 1

    @property
    def share(self) -> float:
        return self._steps / (2 * AB_STEPS * AB_ROUNDS)

    @property
    def done(self) -> bool:
        return self._steps >= 2 * AB_STEPS * AB_ROUNDS

    @property
    def factor(self) -> float:
        """Tokens a second with the policy over those without."""
        pairs = zip(*self._medians, strict=False)
        return statistics.median(without / with_ for with_, without in pairs)

    @property
    def rates(self) -> tuple[float, float]:
        """Tokens a second with and without."""
        with_, without = (1 / statistics.median(side) for side in self._medians)
        return with_, without

    def step(self, tokens: int, seconds: float) -> None:
        side = int(self.without)
        if self._steps % AB_STEPS >= AB_SKIP:
            self._window.append(seconds / tokens)
        self._steps += 1
        if self._steps % AB_STEPS == 0:
            self._medians[side].append(statistics.median(self._window))
            self._window.clear()

"""Keeps routing close to what the model would choose: lowers the bonus, and lifts it again."""

from __future__ import annotations

from dataclasses import dataclass

MEMORY = 0.7  # share of the average that older samples keep
LOWER, LIFT = 0.7, 1.15  # factors of the bonus
EASY = 0.6  # share of the limits below which the bonus is lifted
LEAST = 0.05  # below this share the bonus is taken away
PATIENCE, MOST_PATIENCE = 4, 64  # samples without a fault before a lift, doubled by every fault


@dataclass(slots=True)
class Guard:
    """`scale` is the share of the configured bonus that is in force, 0..1."""

    max_mass: float  # share of router mass that may be replaced
    max_kl: float  # nats, logits of a step without bonus against those with it
    on: bool = True
    scale: float = 1.0
    mass: float = 0.0  # averages of the samples
    kl: float = 0.0
    samples: int = 0
    _kls: int = 0
    _patience: int = PATIENCE
    _good: int = 0  # samples since the last change

    @property
    def state(self) -> str:
        """off | waiting (no sample yet) | ok | lowered | stopped."""
        if not self.on:
            return "off"
        if not self.samples:
            return "waiting"
        if self.scale <= 0:
            return "stopped"
        return "ok" if self.scale >= 1 else "lowered"

    def sample(self, mass: float, kl: float | None) -> str:
        """Take in one sampled step; what to tell people, "" if nothing."""
        self.mass = mass if not self.samples else MEMORY * self.mass + (1 - MEMORY) * mass
        self.samples += 1
        if kl is not None:
            self.kl = kl if not self._kls else MEMORY * self.kl + (1 - MEMORY) * kl
            self._kls += 1
        if not self.on:
            return ""
        worst = max(self.mass / self.max_mass, self.kl / self.max_kl)
        if worst > 1 and self.scale > 0:
            return self._lower()
        self._good = self._good + 1 if worst < EASY else 0
        if self._good >= self._patience and self.scale < 1:
            return self._lift()
        return ""

    def _lower(self) -> str:
        why = (
            f"replaced router mass {self.mass:.1%} is above {self.max_mass:.1%}"
            if self.mass / self.max_mass >= self.kl / self.max_kl
            else f"logit KL {self.kl:.4f} is above {self.max_kl:g}"
        )
        self.scale *= LOWER
        # Up and down in turns would help nobody: the next lift takes twice as long.
        self._good, self._patience = 0, min(2 * self._patience, MOST_PATIENCE)
        # What was measured belongs to the old bonus: the next samples decide.
        self.mass, self.kl = min(self.mass, 0.8 * self.max_mass), min(self.kl, 0.8 * self.max_kl)
        if self.scale < LEAST:
            self.scale = 0.0
            return f"Expert routing: {why}; the bonus is taken away until that is better."
        return f"Expert routing: {why}; the bonus is lowered to {self.scale:.0%}."

    def _lift(self) -> str:
        self.scale = min(1.0, max(LEAST, self.scale * LIFT))
        self._good = 0
        return "Expert routing: the full bonus is back." if self.scale >= 1 else ""

    def restart(self) -> None:
        """The bonus or the policy was changed: begin anew."""
        self.scale, self.mass, self.kl, self.samples, self._kls = 1.0, 0.0, 0.0, 0, 0
        self._patience, self._good = PATIENCE, 0

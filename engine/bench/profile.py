"""The sensitivity profile: the error of every head over ratios, and what follows for each."""

from __future__ import annotations

import numpy as np

from engine.bench import recall
from engine.bench.compaction import Plan, Say, studied
from engine.bench.lab import Lab
from engine.compaction import policy, solve
from engine.compaction.profile import ProfileFile

SHADES = " ▁▂▃▄▅▆▇█"
ENOUGH = 0.02  # a head whose error is below this at fewer cells does not need more


def measure(plan: Plan, say: Say) -> ProfileFile:
    """Profile a model on recall dialogues, with the queries of sampled recaps.

    A head's weight is its mean error times the share of its attention that goes to the span, so
    that errors nobody sees do not count; its share of the cells is the smallest ratio's at which
    its error is as low as it gets.
    """
    lab = Lab(plan.model, 8192 + 2048, threads=plan.threads, **plan.engine)
    ratios = sorted(plan.ratios)
    curves, queries = [], 0
    try:
        dialogues = recall.load(plan.context)[: plan.dialogues]
        for number, dialogue in enumerate(dialogues):
            say(f"profile: dialogue {number + 1} of {len(dialogues)}")
            lab.clear()
            _, asked, data = studied(lab, plan, dialogue)
            sizes = [policy.cells_after(len(d.keys), r) for d in data[:1] for r in ratios]
            settings = solve.Settings(plan.methods[0], threads=plan.threads or 1)
            curves.append([solve.error_curve(d, sizes, settings) for d in data])
            queries += sum(len(a.pos) for a in asked[0])
        layers = [info.layer for info in lab.layers]
    finally:
        lab.close()
    errors = np.mean(np.array(curves, np.float64), axis=0)  # [layers, heads, ratios]
    weight = errors.mean(axis=2)
    weight = weight / max(1e-9, float(weight.mean()))
    best = errors[..., 0]
    share = np.ones(weight.shape)
    for at, ratio in enumerate(ratios):
        enough = errors[..., at] <= np.maximum(ENOUGH, 1.1 * best)
        share[enough] = ratios[0] / ratio
    return ProfileFile(
        model=plan.model.name,
        ratios=list(ratios),
        errors=errors.round(5).tolist(),
        sensitivity=weight.round(4).tolist(),
        share=share.round(4).tolist(),
        layers=layers,
        context=plan.context,
        queries=queries,
    )


def plot(profile: ProfileFile) -> str:
    """A text map: one row a layer, for each head a bar over the ratios."""
    top = max((e for layer in profile.errors for head in layer for e in head), default=1.0) or 1.0
    lines = [
        f"{profile.model}: output error on unseen queries, bars over ratios "
        f"{', '.join(f'{r:g}' for r in profile.ratios)}; █ = {top:.2f}"
    ]
    for index, layer in enumerate(profile.errors):
        bars = []
        for head in layer:
            marks = [SHADES[min(8, round(8 * error / top))] for error in head]
            bars.append("".join(marks) + f" {head[-1]:.2f}")
        number = profile.layers[index] if index < len(profile.layers) else index
        lines.append(f"layer {number:3}  " + "   ".join(bars))
    return "\n".join(lines)

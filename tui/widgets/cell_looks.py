"""How cells look while they are compacted and afterwards: what the cell map paints them with.

A look is a number for each picture element. Colours alone never say it: fitted cells have a
texture and small letters, cells that are being compacted carry a wave of marks.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from textual.color import Color as Paint

from engine.protocol import Stretch

PLAIN, FITTED = 0, 1
SOLVING = 2  # four steps of a wave, from trough to crest
FRESH = 6  # three steps: fitted a moment ago, the newest first
GONE = 9  # three steps: freed a moment ago, the newest first
LOOKS = 12
FADE = 3  # steps of FRESH and GONE
WAVE = (0, 1, 2, 3, 3, 2, 1, 0)  # steps of neighbouring columns
TEXTURE = "▒"
CREST = "▓"
GHOST = "░"


def covered(stretches: Iterable[Stretch], total: int, points: int) -> NDArray[np.bool_]:
    """Which of `points` equal shares of the cells have a cell in one of the stretches."""
    mask = np.zeros(max(points, 0), bool)
    if not total:
        return mask
    for stretch in stretches:
        first = max(0, stretch.start)
        last = min(total, stretch.start + stretch.length) - 1
        if last >= first:
            mask[first * points // total : last * points // total + 1] = True
    return mask


def wave(width: int, height: int, phase: int) -> NDArray[np.int64]:
    """The wave's step at each picture element (two in a column), travelling to the right."""
    column = np.arange(width * height)
    x, y = column % width, column // width
    return np.repeat(np.array(WAVE)[(x + 2 * y - phase) % len(WAVE)], 2)


def paint(colour: str, look: int, ground: str) -> tuple[str, str, str]:
    """(background, ink, mark) of an element of that owner's colour; mark "" = none."""
    own, dark = Paint.parse(colour), Paint.parse(ground)
    light = Paint.parse("#ffffff" if dark.brightness < 0.5 else "#30343a")
    if look == PLAIN:
        return own.hex6, own.hex6, ""
    if look == FITTED:
        return own.blend(dark, 0.62).hex6, own.hex6, TEXTURE
    if look < FRESH:
        step = look - SOLVING
        back = own.blend(dark, 0.35).blend(light, 0.2 * step)
        return back.hex6, own.blend(light, 0.35 + 0.2 * step).hex6, CREST if step > 1 else ""
    if look < GONE:
        glow = 0.7 - 0.25 * (look - FRESH)
        return (
            own.blend(dark, 0.62).blend(light, glow / 2).hex6,
            own.blend(light, glow).hex6,
            TEXTURE,
        )
    left = 0.5 - 0.15 * (look - GONE)
    return dark.hex6, dark.blend(own, left).hex6, GHOST


def plain(letter: str, look: int) -> str:
    """The same without colour: small letters are fitted cells, ▒ passes over what is solved."""
    if look == PLAIN:
        return letter
    if look < FRESH:
        return letter.lower() if look == FITTED else TEXTURE if look - SOLVING > 1 else letter
    return letter.lower() if look < GONE else GHOST

"""`now`: the date and the time, which no model knows."""

from __future__ import annotations

import time

import msgspec

from agents.tools.tool import Context, Result, Tool


class Now(msgspec.Struct, forbid_unknown_fields=True):
    """Takes nothing."""


async def run(context: Context, arguments: Now) -> Result:
    """Weekday, date, time and zone, in words that need no locale."""
    then = time.localtime(context.now())
    day = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
    text = f"{day[then.tm_wday]} {time.strftime('%Y-%m-%d %H:%M', then)}"
    minutes = (then.tm_gmtoff or 0) // 60
    sign = "-" if minutes < 0 else "+"
    zone = f"UTC{sign}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"
    return Result(f"{text} ({zone})", text)


NOW = Tool(
    "now",
    "Get the current date, weekday and time.",
    Now,
    run,
    "the date and the time",
)

"""Options that take several numbers between bounds, separated by commas."""

from __future__ import annotations

from typing import Any

import click


class NumberList(click.ParamType):
    """Numbers of one kind (int or float) from `least` to `most`, as a tuple."""

    def __init__(
        self, name: str, kind: type[int] | type[float], least: int, most: int, example: str,
        called: str = "numbers",
    ) -> None:  # fmt: skip
        self.name, self.kind = name, kind
        self.least, self.most = least, most
        self.example, self.called = example, called

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float, ...]:
        if isinstance(value, tuple):
            return value
        try:
            numbers = tuple(self.kind(part) for part in value.split(","))
        except ValueError:
            numbers = ()
        if not numbers or min(numbers) < self.least or max(numbers) > self.most:
            self.fail(
                f"'{value}' is no list of {self.called} from {self.least} to {self.most}, "
                f"such as {self.example}.",
                param,
                ctx,
            )
        return numbers

"""The options every command takes: which settings, which model, which data folder."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from engine.config import Config


@dataclass(frozen=True)
class Settings:
    """What was given on the command line, before or after the command's name."""

    config: str | None = None
    sets: tuple[str, ...] = ()
    model: str | None = None
    data: str | None = None

    def load(self) -> Config:
        """Read the settings. Raises ConfigError, or ModelError for a model that is not there."""
        from engine.config import load

        config = load(self.config, overrides=self.sets)
        if self.model is not None:
            from engine.models import MINI, resolve

            path = resolve(self.model, config)
            config.model.path = "" if path == MINI else str(path)
            config.sources["model.path"] = "--model"
        return config

    def data_dir(self) -> Path:
        """The folder of the conversations."""
        from engine import paths

        return Path(self.data).expanduser() if self.data is not None else paths.data_dir()


def settings_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options and pass them as `settings`; those of the group come before."""

    @click.option("--config", metavar="FILE", help="Read this file instead of the user's own.")
    @click.option(
        "--set",
        "sets",
        metavar="KEY=VALUE",
        multiple=True,
        help="Change one setting, e.g. engine.n_ctx=4096. Can be repeated.",
    )
    @click.option(
        "--model", metavar="MODEL", help="The model: a GGUF file, or a name of `models list`."
    )
    @click.option("--data", metavar="DIR", help="Keep conversations in this folder.")
    @click.pass_context
    @functools.wraps(function)
    def wrapped(
        ctx: click.Context,
        /,
        *args: Any,
        config: str | None,
        sets: tuple[str, ...],
        model: str | None,
        data: str | None,
        **kwargs: Any,
    ) -> Any:
        before = ctx.obj if isinstance(ctx.obj, Settings) else Settings()
        settings = replace(
            before,
            config=before.config if config is None else config,
            sets=before.sets + sets,
            model=before.model if model is None else model,
            data=before.data if data is None else data,
        )
        ctx.obj = settings
        return function(*args, settings=settings, **kwargs)

    return wrapped

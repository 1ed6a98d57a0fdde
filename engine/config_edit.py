"""Changing one setting in the user's file without touching the rest of it, comments included."""

from __future__ import annotations

import copy
import json
import os
import re
import tempfile
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from engine import config, paths
from engine.config_check import Layer, assign, read_toml
from engine.errors import ConfigError


def dump_value(value: Any) -> str:
    """A value as TOML: texts, numbers, booleans, lists and tables of them."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(dump_value, value)) + "]"
    if isinstance(value, dict):
        inside = ", ".join(f"{_key(k)} = {dump_value(v)}" for k, v in value.items())
        return "{ " + inside + " }" if inside else "{}"
    return repr(value)


def save_value(key: str, value: Any, file: Path | None = None) -> Path:
    """Set `key` ("ui.theme") in the user's file, making the file if need be. Returns its path.

    Raises ConfigError when the value does not fit, the file is broken or cannot be written.
    """
    file = file or paths.config_file()
    layer = read_toml(file) if file.exists() else Layer({}, str(file))
    parts = key.split(".")
    wanted = copy.deepcopy(layer.values)
    assign(wanted, parts, value)
    text = _edited(layer, parts, value)
    try:
        fits = tomllib.loads(text) == wanted
    except tomllib.TOMLDecodeError:
        fits = False
    if not fits:
        line = layer.line(tuple(parts)) or layer.line((parts[0],))
        raise ConfigError(
            f"{file}:{line}: {key} is written in a way that cannot be changed automatically.",
            f"Set it to {dump_value(value)} by hand.",
            str(file),
            line,
        )
    Layer(wanted, str(file), text).check(config.SCHEMA, config.TYPES)
    _write(file, text)
    return file


def save_values(
    values: dict[str, Any],
    notes: list[str],
    mark: str,
    file: Path | None = None,
    drop: Iterable[str] = (),
) -> Path:
    """Set several keys of one section at once, with comment lines that begin with `mark` above them.

    Comment lines with that mark, and the keys in `drop`, are taken out first. Nothing is written when
    something does not fit. Returns the file's path; raises ConfigError as `save_value` does.
    """
    file = file or paths.config_file()
    layer = read_toml(file) if file.exists() else Layer({}, str(file))
    wanted = copy.deepcopy(layer.values)
    lines = layer.text.splitlines(keepends=True)
    for key in drop:
        parts = key.split(".")
        if (span := Layer(layer.values, "", "".join(lines)).span(tuple(parts))) is not None:
            del lines[span[0] : span[1]]
            table = wanted
            for part in parts[:-1]:
                table = table.get(part, {})
            table.pop(parts[-1], None)
    text = "".join(line for line in lines if not line.startswith(mark))
    for key, value in values.items():
        parts = key.split(".")
        assign(wanted, parts, value)
        text = _edited(Layer({}, "", text), parts, value)
    if values and notes:
        lines = text.splitlines(keepends=True)
        spans = (Layer({}, "", text).span(tuple(key.split("."))) for key in values)
        first = min((span[0] for span in spans if span is not None), default=0)
        lines[first:first] = [f"{mark}{note}\n" for note in notes]
        text = "".join(lines)
    try:
        fits = _without_empty(tomllib.loads(text)) == _without_empty(wanted)
    except tomllib.TOMLDecodeError:
        fits = False
    if not fits:
        shown = ", ".join(f"{key} = {dump_value(value)}" for key, value in values.items())
        raise ConfigError(
            f"{file} is written in a way that cannot be changed automatically.",
            f"Set by hand: {shown}." if shown else "Remove the keys by hand.",
            str(file),
        )
    whole = Layer(wanted, str(file), text)
    whole.check(config.SCHEMA, config.TYPES)
    config.together(wanted, whole.sources(), str(file))
    _write(file, text)
    return file


def _without_empty(values: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value != {}}


def _edited(layer: Layer, parts: list[str], value: Any) -> str:
    lines = layer.text.splitlines(keepends=True)
    statement = f"{_key(parts[-1])} = {dump_value(value)}"
    span = layer.span(tuple(parts))
    if span is not None:
        start, end = span
        lines[start:end] = [f"{statement}{_comment(lines[start:end])}\n"]
        return "".join(lines)
    if lines and not lines[-1].endswith("\n"):
        lines[-1] += "\n"
    section = r"\s*\.\s*".join(re.escape(part) for part in parts[:-1])
    header = re.compile(rf"\s*\[\s*{section}\s*\]\s*(#.*)?$")
    for index, line in enumerate(lines):
        if header.match(line):
            lines.insert(index + 1, f"{statement}\n")
            return "".join(lines)
    gap = "\n" if lines else ""
    return "".join(lines) + f"{gap}[{'.'.join(map(_key, parts[:-1]))}]\n{statement}\n"


def _comment(lines: list[str]) -> str:
    """The comment at the end of a one-line statement, with the space before it."""
    line = lines[0].rstrip("\n")
    if len(lines) > 1:
        return ""
    for match in re.finditer(r"\s*#", line):
        try:
            tomllib.loads(line[: match.start()])
        except tomllib.TOMLDecodeError:
            continue  # this # stands inside a text
        return line[match.start() :]
    return ""


def _write(file: Path, text: str) -> None:
    target = file.resolve()  # a link into somebody's dotfiles stays a link
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        fd, name = tempfile.mkstemp(dir=target.parent, prefix=".config-")
        try:
            with os.fdopen(fd, "w", encoding="utf-8") as stream:
                stream.write(text)
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(name, target)
        except OSError:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise ConfigError(
            f"{file} cannot be written: {error.strerror}.",
            "Check its permissions and the space on the disk.",
            str(file),
        ) from None


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else dump_value(key)

"""Checking settings: a layer of values, its place, and the sentence for what is wrong with it.

The schema is given as msgspec structs; every leaf is converted alone, so that the message can
name the key, the line, what was expected and what was probably meant.
"""

from __future__ import annotations

import difflib
import re
import tomllib
import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import msgspec

from engine.errors import ConfigError

Path_ = tuple[str | int, ...]


@dataclass
class Layer:
    """Some settings that came from one place. `text` is the TOML source, if it is a file."""

    values: dict[str, Any]
    place: str
    text: str = ""

    def check(self, schema: Mapping[str, Any], types: Mapping[tuple[str, str], Any]) -> None:
        """Raise ConfigError for the first unknown key or wrong value.

        `types` replaces a field's type, keyed by (struct name, field name).
        """
        _Checker(self, types).table(self.values, dict(schema), ())

    def sources(self) -> dict[str, str]:
        """Key ("engine.n_ctx") -> "file:line" or the place's name, for every leaf."""
        return {
            ".".join(map(str, path)): f"{self.place}:{self.line(path)}" if self.text else self.place
            for path in _leaves(self.values, ())
            if path
        }

    def line(self, path: Path_) -> int:
        """Line (from 1) on which the statement that defines `path` begins; 0 if not a file."""
        span = self.span(path)
        return span[0] + 1 if span else 0

    def span(self, path: Path_) -> tuple[int, int] | None:
        """Lines [start, end) from 0 of the statement that defines `path`.

        Found by reading ever longer beginnings of the file: what appears in the first one that
        parses and has the key was defined there. That is TOML's own grammar, not a copy of it.
        """
        lines = self.text.splitlines(keepends=True)
        complete = 0
        for end in range(1, len(lines) + 1):
            try:
                found = tomllib.loads("".join(lines[:end]))
            except tomllib.TOMLDecodeError:
                continue
            if _has(found, path):
                return complete, end
            complete = end
        return None


def read_toml(file: Path) -> Layer:
    """Read a TOML file. Raises ConfigError for one that is missing, unreadable or broken."""
    try:
        text = file.read_bytes().decode("utf-8")
    except FileNotFoundError:
        raise ConfigError(
            f"{file} does not exist.", "Check the path given with --config.", file=str(file)
        ) from None
    except UnicodeDecodeError as error:
        line = file.read_bytes()[: error.start].count(b"\n") + 1
        raise ConfigError(
            f"{file}:{line}: the text is not UTF-8.",
            "Save the file as UTF-8.",
            file=str(file),
            line=line,
        ) from None
    except OSError as error:
        raise ConfigError(
            f"{file} cannot be read: {error.strerror}.",
            "Check that it is a file and its permissions.",
            file=str(file),
        ) from None
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    try:
        return Layer(tomllib.loads(text), str(file), text)
    except tomllib.TOMLDecodeError as error:
        message = str(error)
        at = re.search(r"\(at (?:line (\d+), column \d+|end of document)\)", message)
        line = int(at[1]) if at and at[1] else max(1, len(text.splitlines()))
        what = message[: at.start()].strip().rstrip(".") if at else message
        raise ConfigError(
            f"{file}:{line}: this is not TOML: {what[:1].lower()}{what[1:]}.",
            "Text needs quotes, lists need [ ], and a key may stand only once.",
            file=str(file),
            line=line,
        ) from None


def merge(base: dict[str, Any], top: Mapping[str, Any]) -> None:
    """Put `top` over `base` key by key; lists are replaced whole."""
    for key, value in top.items():
        if isinstance(value, dict) and isinstance(base.get(key), dict):
            merge(base[key], value)
        else:
            base[key] = value


def assign(values: dict[str, Any], parts: Sequence[str], value: Any) -> None:
    """values[a][b][c] = value, making the tables between."""
    for part in parts[:-1]:
        values = values.setdefault(part, {})
    values[parts[-1]] = value


def parse_scalar(text: str, kind: Any) -> Any:
    """A value from a variable or a flag: text stays text, the rest is read as TOML is."""
    base = _strip(kind)
    if base is str or get_origin(base) is Literal:
        return text
    if base is bool:
        word = text.strip().lower()
        if word in ("1", "true", "yes", "on"):
            return True
        if word in ("0", "false", "no", "off"):
            return False
    if get_origin(base) in (list, tuple) and not text.lstrip().startswith("["):
        return [part.strip() for part in text.split(",") if part.strip()]
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


class _Checker:
    """Walks one layer; every method raises ConfigError at the first fault."""

    def __init__(self, layer: Layer, types: Mapping[tuple[str, str], Any]) -> None:
        self.layer = layer
        self.types = types

    def table(self, values: Mapping[str, Any], fields: Mapping[str, Any], path: Path_) -> None:
        for key, value in values.items():
            if key not in fields:
                raise self.unknown(key, list(fields), path)
            self.value(value, fields[key], (*path, key))

    def value(self, value: Any, kind: Any, path: Path_) -> None:
        struct = _struct(kind)
        if struct is not None:
            if not isinstance(value, dict):
                raise self.wrong(value, "a table", path)
            self.table(value, self.fields(struct), path)
            required = [f.name for f in msgspec.structs.fields(struct) if f.required]
            for name in required:
                if name not in value:
                    raise self.error(path, f"'{name}' is missing", f'Add {name} = "…".')
            return
        inner = _struct(get_args(kind)[0]) if get_origin(kind) is list else None
        if inner is not None:
            if not isinstance(value, list):
                raise self.wrong(value, f"a list of tables, [[{path[-1]}]]", path)
            for index, item in enumerate(value):
                self.value(item, inner, (*path, index))
            return
        if get_origin(kind) is dict and isinstance(value, dict):
            for key, item in value.items():
                self.value(item, get_args(kind)[1], (*path, key))
            return
        try:
            msgspec.convert(value, kind)
        except msgspec.ValidationError:
            raise self.wrong(value, expected(kind), path, kind) from None

    def fields(self, struct: type[msgspec.Struct]) -> dict[str, Any]:
        return {
            f.name: self.types.get((struct.__name__, f.name), f.type)
            for f in msgspec.structs.fields(struct)
        }

    def unknown(self, key: str, known: list[str], path: Path_) -> ConfigError:
        near = difflib.get_close_matches(key, known, n=1, cutoff=0.6)
        kind = "section" if not path else "key"
        remedy = f"Did you mean '{near[0]}'?" if near else f"Known are: {', '.join(known)}."
        return self.error((*path, key), f"there is no such {kind}", remedy)

    def wrong(self, value: Any, wanted: str, path: Path_, kind: Any = None) -> ConfigError:
        remedy = f"Give {wanted}."
        choices = get_args(_strip(kind)) if get_origin(_strip(kind)) is Literal else ()
        if isinstance(value, str) and choices:
            near = difflib.get_close_matches(value.lower(), choices, n=1)
            if near:
                remedy = f"Did you mean '{near[0]}'? {remedy}"
        return self.error(path, f"{_shown(value)} does not fit", remedy)

    def error(self, path: Path_, why: str, remedy: str) -> ConfigError:
        line = self.layer.line(path)
        where = f"{self.layer.place}:{line}" if line else self.layer.place
        return ConfigError(
            f"{where}: {'.'.join(map(str, path))}: {why}.", remedy, file=self.layer.place, line=line
        )


def expected(kind: Any) -> str:
    """A type in words: "a whole number from 0 to 60"."""
    base = _strip(kind)
    meta = next((a for a in getattr(kind, "__metadata__", ()) if isinstance(a, msgspec.Meta)), None)
    if get_origin(base) is Literal:
        return "one of " + ", ".join(map(str, get_args(base)))
    if get_origin(base) in (list, tuple):
        return "a list of texts"
    if get_origin(base) is dict:
        return "a table of texts"
    if base is str and meta is not None and meta.pattern:
        return (
            'a colour name, "#rrggbb" or ""'
            if "#" in meta.pattern
            else "up to 32 letters, digits, - and _"
        )
    words = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}
    return words.get(base, str(base)) + _bounds(meta)


def _bounds(meta: msgspec.Meta | None) -> str:
    if meta is None:
        return ""
    if meta.ge is not None and meta.le is not None:
        return f" from {meta.ge} to {meta.le}"
    if meta.gt is not None and meta.le is not None:
        return f" above {meta.gt}, up to {meta.le}"
    return f", at least {meta.ge}" if meta.ge is not None else ""


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"


def _strip(kind: Any) -> Any:
    return get_args(kind)[0] if get_origin(kind) is Annotated else kind


def _struct(kind: Any) -> type[msgspec.Struct] | None:
    if isinstance(kind, types.GenericAlias) or not isinstance(kind, type):
        return None
    return kind if issubclass(kind, msgspec.Struct) else None


def _has(values: Any, path: Path_) -> bool:
    for part in path:
        try:
            values = values[part]
        except (KeyError, IndexError, TypeError):
            return False
    return True


def _leaves(value: Any, path: Path_) -> Iterator[Path_]:
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from _leaves(item, (*path, key))
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        for index, item in enumerate(value):
            yield from _leaves(item, (*path, index))
    else:
        yield path

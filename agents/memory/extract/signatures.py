"""Which types of mentions a relation may hold between: nobody works at a city.

`config.json` of a halo-extractor may have

- "type_groups": {group: types that stand for one another, because models take one for the other};
- "relation_types": {relation: [[head, tail], …]}, each a group or a type.

A relation that "relation_types" does not name may hold between any types.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import HaloError

REMEDY = "Correct it as docs/extractor.md has it, or export the model again."


class Signatures:
    """`between` tells what is possible for mentions of given types."""

    def __init__(
        self, folder: Path, config: dict[str, Any], types: Sequence[str], relations: Sequence[str]
    ) -> None:
        """`types` and `relations` are the model's. Raises HaloError where they are not known."""
        self._row = {name: i for i, name in enumerate(types)}
        self._file = folder / "config.json"
        groups = self._object(config, "type_groups")
        told = self._object(config, "relation_types")
        unknown = sorted(set(told) - set(relations))
        if unknown:
            raise HaloError(
                f"relation_types in {self._file} names {', '.join(unknown)}, which the model does "
                "not know.",
                REMEDY,
            )
        # [types, types, relations]
        self._allowed = np.ones((len(types), len(types), len(relations)), bool)
        for number, name in enumerate(relations):
            if name not in told:
                continue
            self._allowed[:, :, number] = False
            for pair in self._pairs(name, told[name]):
                heads, tails = (self._rows(end, groups, name) for end in pair)
                self._allowed[np.ix_(heads, tails, [number])] = True

    def between(self, types: Sequence[str]) -> NDArray[np.bool_]:
        """[mentions, mentions, relations] True where the relation may hold from row to column."""
        rows = [self._row[name] for name in types]
        return self._allowed[np.ix_(rows, rows)]

    def _object(self, config: dict[str, Any], key: str) -> dict[str, Any]:
        value = config.get(key, {})
        if not isinstance(value, dict):
            raise HaloError(f"{key} in {self._file} must be an object.", REMEDY)
        return value

    def _pairs(self, relation: str, value: object) -> list[list[str]]:
        if not isinstance(value, list) or not all(
            isinstance(pair, list) and len(pair) == 2 and all(isinstance(end, str) for end in pair)
            for pair in value
        ):
            raise HaloError(
                f"relation_types in {self._file} must have pairs of types for {relation}.", REMEDY
            )
        return value

    def _rows(self, name: str, groups: dict[str, Any], relation: str) -> list[int]:
        """The rows of a group, or of a type."""
        members = groups.get(name, [name])
        if not isinstance(members, list) or not all(m in self._row for m in members):
            raise HaloError(
                f"relation_types in {self._file} has {name} for {relation}, which is neither a "
                "type of the model nor a group of them.",
                REMEDY,
            )
        return [self._row[member] for member in members]

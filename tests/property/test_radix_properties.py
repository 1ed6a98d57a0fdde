"""The radix tree answers as the linear scan does."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.core.radix import LinearIndex, RadixIndex, common_prefix

tokens = st.lists(st.integers(0, 2), max_size=12)
operations = st.lists(
    st.one_of(
        st.tuples(st.just("extend"), st.integers(0, 4), tokens),
        st.tuples(st.just("truncate"), st.integers(0, 4), st.integers(0, 12)),
        st.tuples(st.just("match"), tokens),
    ),
    max_size=60,
)


@settings(max_examples=300, deadline=None)
@given(operations)
def test_tree_and_scan_agree(ops: list[tuple[Any, ...]]) -> None:
    tree, scan = RadixIndex(), LinearIndex()
    lists: dict[int, list[int]] = {}
    for op, *arguments in ops:
        if op == "match":
            assert tree.match(arguments[0]) == scan.match(arguments[0])
            continue
        owner = arguments[0]
        held = lists.setdefault(owner, [])
        if op == "extend":
            held += arguments[1]
            for index in (tree, scan):
                index.insert(owner, held)
        else:
            for index in (tree, scan):
                index.truncate(owner, held, arguments[1])
            del held[arguments[1] :]
        assert tree.length(owner) == scan.length(owner) == len(held)
        tree.check()
    for owner, held in lists.items():
        length, owners = tree.match(held)
        assert length == len(held)
        assert owner in owners or not held


@given(tokens, tokens)
def test_common_prefix(a: list[int], b: list[int]) -> None:
    length = common_prefix(a, b)
    assert a[:length] == b[:length]
    assert length in (len(a), len(b)) or a[length] != b[length]

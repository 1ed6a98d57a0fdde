"""What a person reads of a query that failed: one sentence and what to do, not the database's words."""

from __future__ import annotations

import pytest
import redis

from agents.memory.graph import refused


@pytest.mark.parametrize(
    ("said", "what", "remedy"),
    [
        (
            "errMsg: Invalid input 'R': expected a label, '{', a parameter or ')' line: 1, column: 10, "
            "offset: 9 errCtx: MATCH (n RETURN n errCtxOffset: 9",
            "The query cannot be read at character 10, at \"RETURN\": a label, '{', a parameter or ')' "
            "would fit there.",
            "Correct it there.",
        ),
        (
            "errMsg: Invalid input at end of input: expected ORDER BY line: 1, column: 25, offset: 24 "
            "errCtx: MATCH (n) RETURN n ORDER errCtxOffset: 24",
            "The query cannot be read at its end: ORDER BY would fit there.",
            "Correct it there.",
        ),
        ("'Clara' not defined", "The query uses Clara, which it does not define.", "'Clara'"),
        ("Unknown function 'foo'", "There is no function foo.", "FalkorDB"),
        ("Query timed out", "took longer than 5 s", "LIMIT"),
        ("Query's mem consumption exceeded capacity", "too much memory", "LIMIT"),
        ("'memory' not defined", "uses memory", "quotes"),
        ("graph.RO_QUERY is to be executed only on read-only queries", "read-only", "--write"),
        ("Something new", "The database refused the query: Something new.", "docs/memory.md"),
    ],
)
def test_one_sentence_and_a_remedy(said: str, what: str, remedy: str) -> None:
    error = refused(redis.ResponseError(said), 5.0)
    assert what in error.what and remedy in error.remedy
    assert "errCtx" not in str(error) and "\n" not in str(error)

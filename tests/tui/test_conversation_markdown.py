"""Markdown as it is shown: growing piece by piece gives the same as all at once."""

from __future__ import annotations

from hypothesis import example, given, settings
from hypothesis import strategies as st
from textual.content import Content

from tui.widgets.chat.layout import HIGHLIGHT_AT_ONCE, lay_out
from tui.widgets.chat.markdown import Document, clean, parse, plain_text

SAMPLE = """# A heading with `code`

Some **bold** and *italic* text with a [link](https://example.org/x), long enough to be wrapped.

- one
- two with a very long text that has to be wrapped because it does not fit into one line
  - nested **bold**
- three

1. first
2. second

   with a paragraph

> A quote that is long enough to be wrapped over more than a single line of text.
>
> - with a list

```python
def fib(n: int) -> int:

    return n if n < 2 else fib(n - 1) + fib(n - 2)  # a comment beyond the edge of the block
```

| Name | Age |
|------|----:|
| Ada | 36 |

---

- item with code:

  ```sh
  make run
  ```

Last line\\
after a break
"""


def shown(document: Document, width: int = 48) -> list[str]:
    return [line.content.plain for line in lay_out(document.leaves, width).lines]


def test_every_kind_of_block_is_laid_out_within_the_width() -> None:
    block = lay_out(parse(SAMPLE), 48)
    lines = [line.content.plain for line in block.lines]
    assert max(len(line) for line in lines) <= 48
    assert "A heading with code" in lines
    assert "  • nested bold" in lines
    assert "2. second" in lines
    assert any(line.startswith("▎ • with a list") for line in lines)
    assert any(line.startswith(" python") and line.endswith("copy ") for line in lines)
    assert "Ada  │  36" in lines
    # Copied text is Markdown again, without soft line breaks.
    assert (
        "- two with a very long text that has to be wrapped because it does not fit into one "
        "line" in block.logical
    )
    assert "```python" in block.logical


def test_lines_know_their_place_in_the_logical_text() -> None:
    block = lay_out(parse(SAMPLE), 40)
    for line in block.lines:
        text = line.content.plain[line.lead :].rstrip()
        if line.base == "chat--code-head" or set(text) <= set("─┼│ "):
            continue
        copied = text.replace("•", "-").replace("▎", ">")
        assert block.logical[line.y][line.x : line.x + len(text)] == copied


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 60), min_size=1, max_size=60))
@example([*[1] * 7, 32, *[60] * 6, 26])  # a paragraph that gets shorter: its end becomes a list
def test_growing_is_the_same_as_all_at_once(steps: list[int]) -> None:
    document = Document()
    end = 0
    for step in steps:
        end += step
        document.set(SAMPLE[:end])
        lay_out(document.leaves, 48)
    assert shown(document) == shown(Document(SAMPLE[:end]))


@settings(max_examples=80, deadline=None)
@given(st.text(alphabet="ab `*_#>-1.\n|~[]()<&", max_size=120), st.integers(0, 120))
def test_any_text_grows_to_what_it_is(text: str, cut: int) -> None:
    document = Document()
    document.set(text[:cut])
    document.set(text)
    assert shown(document) == shown(Document(text))


WORDS = st.sampled_from(
    ["a", "of", "words", "**bold**", "**open", "shut**", "`code`", "*", "漢字漢字", "x" * 40, "\t",
     "https://example.org/a", "<b>", "end.", "- ", "\n", "\n\n"]
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.lists(WORDS, min_size=1, max_size=90), st.lists(st.integers(1, 40), max_size=30))
def test_a_paragraph_that_grows_is_wrapped_as_all_at_once(
    words: list[str], steps: list[int]
) -> None:
    text = " ".join(words)
    document = Document()
    end = 0
    for step in steps:
        end += step
        document.set(text[:end])
        lay_out(document.leaves, 30)
    document.set(text)
    grown, anew = (lay_out(d.leaves, 30).lines for d in (document, Document(text)))
    assert [(x.content.plain, x.x, x.y, x.lead) for x in grown] == [
        (x.content.plain, x.x, x.y, x.lead) for x in anew
    ]
    assert all(a.content.is_same(b.content) for a, b in zip(grown, anew, strict=True))


def test_what_stands_of_a_growing_paragraph_is_not_made_again() -> None:
    document = Document("word " * 100)
    before = [line.content for line in lay_out(document.leaves, 30).lines]
    document.set("word " * 110)
    after = [line.content for line in lay_out(document.leaves, 30).lines]
    assert sum(a is b for a, b in zip(before, after, strict=False)) >= len(before) - 2


def test_a_changed_beginning_starts_anew() -> None:
    document = Document("one two")
    assert document.set("three")
    assert shown(document) == ["three"]
    assert not document.set("three")


def test_an_open_code_block_only_appends() -> None:
    document = Document("```python\n" + "x = 1\n" * 100)
    lay_out(document.leaves, 48)
    first = document.tail[0].laid_out
    assert first is not None
    early = first[1][10][0]
    document.set(document.source + "y = 2\n")
    block = lay_out(document.leaves, 48)
    assert block.lines[11] is early, "a line that cannot change was made anew"
    assert block.lines[-1].content.plain.strip() == "y = 2"
    document.set(document.source + "```\n\nafter")
    assert shown(document)[-1] == "after"


def test_long_closed_code_waits_for_its_colours() -> None:
    code = "x = 1\n" * (HIGHLIGHT_AT_ONCE + 1)
    document = Document(f"```python\n{code}```\n")
    lay_out(document.leaves, 48)
    assert document.leaves[0].highlighted is None
    short = Document("```python\nx = 1\n```\n")
    lay_out(short.leaves, 48)
    assert short.leaves[0].highlighted is not None


def test_control_characters_never_reach_the_terminal() -> None:
    assert clean("a\x1b[31mb\x07\x9b2J\u202ec\td\n") == "a[31mb2Jc\td\n"
    text = plain_text(parse("evil \x1b]52;c;AAAA\x07 text"))
    assert "\x1b" not in text and "\x07" not in text


def test_prompts_keep_their_lines() -> None:
    leaves = parse("one\n  two\n\n```\ncode\n```\n*three*", "plain")
    assert plain_text(leaves) == "one\n  two\n\ncode\n*three*"


def test_wide_characters_stay_within_the_width() -> None:
    lines = lay_out(parse("漢字" * 40 + "\n\n```\n" + "漢字" * 40 + "\n```"), 30).lines
    assert all(Content(line.content.plain).cell_length <= 31 for line in lines)

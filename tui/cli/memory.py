"""`halo-tui memory`: ask, browse, feed and export the graph of what was said.

While the app is open on the same folder, what only reads uses the app's own database.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tui.cli import asking, exit_codes
from tui.cli.settings import Settings, settings_options

if TYPE_CHECKING:
    from agents.memory.memory import Memory
    from agents.memory.types import Fact, Source

SHOWN = 400  # characters of a message that `recall` prints; --json has all of it

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
as_of_option = click.option(
    "--as-of", "as_of", metavar="DAY", default="", help="What held on that day: 2024-05-31."
)


@click.group()
def command() -> None:
    """What was said, as a graph: recall, Cypher, documents, export."""


@contextmanager
def opened(settings: Settings, reads: bool = True, models: bool = True) -> Iterator[Memory]:
    """The memory of the data folder; `reads` alone may share it with an app that is open."""
    from agents.memory.memory import Memory
    from agents.memory.models import Models, load

    config = settings.load().memory
    loaded = load(config) if models else Models()
    for fault in loaded.faults:
        click.echo(f"halo-tui: {fault}", err=True)
    memory = Memory(config, settings.data_dir(), loaded.extractor, loaded.embedder)
    memory.open(guest=reads)
    try:
        yield memory
    finally:
        memory.close()


def _spaces(settings: Settings, agent: str) -> tuple[list[str] | None, tuple[str, str]]:
    """Where an agent may recall from, and who asks whom; "" is the person, who may all."""
    config = settings.load()
    you = config.memory.your_name or "You"
    if not agent:
        return None, (you, "")
    from agents.memory.spaces import read_from
    from agents.shelf import Shelf

    item = Shelf(settings.data_dir()).find(agent)
    entry = item.entry
    if entry is None:
        from engine.errors import HaloError

        raise HaloError(f"{agent} is a saved session, not an agent.", "Name an agent.")
    policy: Any = entry.memory
    return read_from(entry.id, policy), (you, entry.name)


def _moment(as_of: str) -> float | None:
    if not as_of:
        return None
    from datetime import datetime, timedelta

    try:
        found = datetime.fromisoformat(as_of)
    except ValueError:
        raise click.BadParameter(
            f"'{as_of}' is no day such as 2024-05-31.", param_hint="'--as-of'"
        ) from None
    if len(as_of) <= 10:
        found += timedelta(days=1, seconds=-1)  # until that day's end
    return found.timestamp()


def _day(moment: float | None) -> str:
    if moment is None:
        return ""
    return time.strftime("%Y-%m-%d", time.localtime(moment))


def _source(source: Source) -> dict[str, Any]:
    return {**asdict(source), "when": _day(source.time)}


def _fact(fact: Fact) -> dict[str, Any]:
    return {
        "id": fact.id,
        "text": fact.words,
        "head": fact.head_name,
        "type": fact.type,
        "tail": fact.tail_name,
        "confidence": fact.confidence,
        "valid_from": fact.valid_from,
        "valid_to": fact.valid_to,
        "superseded_by": fact.superseded_by,
        "status": fact.status,
        "space": fact.space,
        "sources": [_source(s) for s in fact.sources],
    }


def _print(value: Any) -> None:
    click.echo(json.dumps(value, ensure_ascii=False))


@command.command()
@settings_options
@json_option
@as_of_option
@click.option("--agent", "-a", default="", metavar="NAME", help="Only what that agent may know.")
@click.option("-k", type=click.IntRange(1, 200), default=10, show_default=True, help="Messages.")
@click.argument("question", nargs=-1, required=True)
def recall(
    settings: Settings, as_json: bool, as_of: str, agent: str, k: int, question: tuple[str, ...]
) -> None:
    """What is known about a question: facts and messages, best first, with their sources."""
    asked = " ".join(question)
    asked.encode()  # raises for bytes that are no text
    if not asked.strip():
        raise click.UsageError("The question is empty.")
    moment = _moment(as_of)
    where, people = _spaces(settings, agent)
    with opened(settings) as memory:
        found = memory.recall(asked, k, where, moment, people)
    if as_json:
        facts = [{"kind": "fact", "score": score, **_fact(fact)} for fact, score in found.facts]
        hits = [
            {
                "kind": "message",
                "score": hit.score,
                "ranks": hit.parts,
                **{
                    ("id" if k == "message" else k): v
                    for k, v in _source(hit.source).items()
                    if k != "kind"
                },
            }
            for hit in found.hits
        ]
        _print([*facts, *hits])
        return
    if not found.facts and not found.hits:
        click.echo("Nothing is known about that.", err=True)
        return
    from tui.cli.output import style, wrapped

    for fact, score in found.facts:
        when = f"said {_day(fact.valid_from)}"
        if fact.valid_to is not None:
            when = f"{_day(fact.valid_from)} to {_day(fact.valid_to)}"
        who = f" by {fact.sources[-1].speaker}" if fact.sources else ""
        click.echo(f"{score:5.2f}  {style(fact.words, bold=True)}  ({when}{who})")
    for hit in found.hits:
        head = f"{hit.score:5.2f}  {_day(hit.source.time)}  {hit.source.speaker}: "
        text = " ".join(hit.source.text.split())
        if len(text) > SHOWN:
            text = f"{text[:SHOWN].rpartition(' ')[0] or text[:SHOWN]} … ({len(text):,} characters)"
        click.echo(head + wrapped(text, 7))


@command.command()
@settings_options
@json_option
@click.option("--write", is_flag=True, help="Allow changes.")
@click.option("--timeout", type=click.FloatRange(0.01), default=None, help="Seconds.")
@click.option("--limit", type=click.IntRange(1), default=1000, show_default=True, help="Rows.")
@click.option("--param", "-p", "parameters", multiple=True, metavar="NAME=VALUE",
              help="A parameter, $NAME in the query; JSON, or a text.")  # fmt: skip
@click.argument("query")
def cypher(
    settings: Settings,
    as_json: bool,
    write: bool,
    timeout: float | None,
    limit: int,
    parameters: tuple[str, ...],
    query: str,
) -> None:
    """Run a Cypher query; read-only unless --write is given. docs/memory.md has the schema."""
    given: dict[str, object] = {}
    for text in parameters:
        name, equals, value = text.partition("=")
        if not equals or not name.isidentifier():
            raise click.BadParameter(f"'{text}' is not NAME=VALUE.", param_hint="'--param'")
        try:
            given[name] = json.loads(value)
        except ValueError:
            given[name] = value
    with opened(settings, reads=not write, models=False) as memory:
        found = memory.cypher(
            query, given, read_only=not write, timeout=timeout or 0.0, limit=limit
        )
    if as_json:
        _print([dict(zip(found.columns, row, strict=True)) for row in found.rows])
    else:
        from tui.cli.output import table

        rows = [[_cell(value) for value in row] for row in found.rows]
        if found.columns:
            click.echo(table(rows, list(found.columns)))
        count = f"{len(rows)} row{'' if len(rows) == 1 else 's'}"
        click.echo(f"{count} in {found.seconds * 1000:.1f} ms", err=True)
    if found.truncated:
        click.echo(f"halo-tui: Only the first {limit} rows are shown; see --limit.", err=True)


def _cell(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = " ".join(text.split())
    return text if len(text) <= 60 else text[:59] + "…"


@command.command()
@settings_options
@json_option
def stats(settings: Settings, as_json: bool) -> None:
    """How much is known, and where it is kept."""
    from agents.memory.memory import FOLDER
    from agents.memory.outbox import Outbox

    with opened(settings) as memory:
        found = asdict(memory.stats())
    box = Outbox(settings.data_dir() / FOLDER / "queue.jsonl")
    box.open()
    found["queued"] = len(box)
    box.close()
    if as_json:
        _print([found])
        return
    from tui.cli.output import size

    for name, value in found.items():
        if isinstance(value, dict):
            value = ", ".join(f"{k} {v}" for k, v in value.items()) or "–"
        if name == "bytes":
            value = size(value)
        click.echo(f"{name:12} {value if value != '' else '–'}")


@command.command()
@settings_options
@json_option
@click.option("--agent", "-a", default="", metavar="NAME", help="For that agent alone.")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
def ingest(settings: Settings, as_json: bool, agent: str, files: tuple[Path, ...]) -> None:
    """Take in documents (txt, md, html, pdf). Run it again to go on where it was stopped."""
    where, _ = _spaces(settings, agent)
    space = "shared" if where is None else where[-1] if where else ""
    if not space:
        raise click.UsageError(f"{agent} has no memory.")
    rows = []
    tty = sys.stderr.isatty()
    with opened(settings, reads=False) as memory:
        for file in files:
            began = time.monotonic()

            def progress(done: int, total: int, file: Path = file) -> None:
                if tty:
                    click.echo(f"\r{file.name}: {done}/{total}", err=True, nl=done == total)

            chunks, learnt = memory.ingest(file, space, progress)
            rows.append(
                {
                    "path": str(file),
                    "chunks": chunks,
                    "new": len(learnt),
                    "entities": sum(len(x.entities) for x in learnt),
                    "facts": sum(len(x.facts) for x in learnt),
                    "seconds": round(time.monotonic() - began, 3),
                }
            )
    if as_json:
        _print(rows)
        return
    for row in rows:
        click.echo(
            f"{row['path']}: {row['chunks']} chunks, {row['new']} new, {row['entities']} entities, "
            f"{row['facts']} facts, {row['seconds']:.1f} s"
        )


@command.command()
@settings_options
@json_option
@click.option("--format", "form", type=click.Choice(["json-ld", "graphml", "html"]), default=None,
              help="By default that of the file's name.")  # fmt: skip
@click.argument("file", type=click.Path(path_type=Path))
def export(settings: Settings, as_json: bool, form: str | None, file: Path) -> None:
    """Write all of it: .jsonld (can be imported), .graphml, or .html (an interactive picture)."""
    from agents.memory import export as exporting

    with opened(settings, models=False) as memory:
        size = exporting.write(memory, file, form or "")
    if as_json:
        _print({"path": str(file), "bytes": size})
    else:
        click.echo(f"Written: {file} ({size} bytes).")


@command.command("import")
@settings_options
@json_option
@click.argument("file", type=click.Path(path_type=Path))
def import_(settings: Settings, as_json: bool, file: Path) -> None:
    """Add a memory that was exported as JSON-LD; what is known already changes nothing."""
    from agents.memory import export as exporting

    with opened(settings, reads=False) as memory:
        added = exporting.read(memory, file)
    if as_json:
        _print(added)
    else:
        click.echo(", ".join(f"{count} {name}" for name, count in added.items()) + " added.")


@command.command()
@settings_options
@json_option
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.argument("entity")
def forget(settings: Settings, as_json: bool, yes: bool, entity: str) -> None:
    """Remove somebody or something from the memory, with the messages that mention it.

    What agents answered to them goes too. Conversations themselves stay as they are.
    """
    with opened(settings, reads=False, models=False) as memory:
        node = memory.entity(entity)
        if not yes:
            asking.confirm(
                f"Forget {node.name} ({node.type}) and {node.mentions} messages that mention it, "
                "with their answers?",
                "--yes",
            )
        said = memory.forget(node.id)
    if as_json:
        _print({"entity": node.name, "what": said})
    else:
        click.echo(said)


@command.command()
@settings_options
@json_option
def verify(settings: Settings, as_json: bool) -> None:
    """Check the graph. Exit code 5 when something is wrong."""
    with opened(settings, models=False) as memory:
        faults = memory.verify()
        messages = memory.store.counts()["messages"]
    if as_json:
        _print({"ok": not faults, "messages": messages, "faults": faults})
    elif faults:
        click.echo("\n".join(faults))
    else:
        click.echo(f"The graph of {messages} messages is sound.")
    sys.exit(exit_codes.PROBLEMS if faults else exit_codes.OK)

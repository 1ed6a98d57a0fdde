"""Taking a memory elsewhere: JSON-LD (complete, can be imported), GraphML, and an HTML picture."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape, quoteattr

from agents.memory.facts import groups_of, rebuild
from agents.memory.reembed import embed_again
from agents.memory.registry import Known
from agents.memory.types import Fact, Node
from engine.errors import HaloError

if TYPE_CHECKING:
    from agents.memory.memory import Memory

FORMAT = 1
PAGE = 1000
FORMATS = {".jsonld": "json-ld", ".json": "json-ld", ".graphml": "graphml", ".html": "html"}
CONTEXT = {
    "@vocab": "https://schema.org/",
    "halo": "urn:halo-tui:memory:",
    "id": "@id",
    "kind": "@type",
}
_MESSAGE = (
    "id text speaker listener agent conversation space kind time terms length relations reltypes "
    "extractor kinds voice"
).split()
_MENTION = "i surface start end type confidence how".split()


def write(memory: Memory, path: Path, form: str = "") -> int:
    """Export to a file; the format is that of its name unless given. Returns bytes."""
    form = form or FORMATS.get(path.suffix.lower(), "")
    match form:
        case "json-ld":
            text = json.dumps(document(memory), ensure_ascii=False, indent=1)
        case "graphml":
            text = graphml(memory)
        case "html":
            text = picture(memory)
        case _:
            raise HaloError(
                f"'{form or path.suffix or path.name}' is no format of an export.",
                "Name the file .jsonld, .graphml or .html, or give --format.",
            )
    new = not path.exists()
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        if new and path.is_file():  # a part of it would look like an export
            path.unlink(missing_ok=True)
        raise HaloError(
            f"{path} cannot be written: {error.strerror or error}.", "Choose another place."
        ) from error
    return len(text.encode())


# --- JSON-LD ------------------------------------------------------------------------------------


def document(memory: Memory) -> dict[str, Any]:
    """All that was said, who and what was spoken of, what people ruled, and the facts."""
    graph = memory.graph
    items: list[dict[str, Any]] = []
    for id, name, type, aliases, votes, apart in graph.read(
        "MATCH (e:Entity) RETURN e.id, e.name, e.type, e.aliases, e.votes, e.apart"
    ):
        items.append(
            {
                "kind": "halo:Entity",
                "id": id,
                "name": name,
                "halo:type": type,
                "alternateName": aliases or [],
                "halo:votes": json.loads(votes),
                "halo:apart": apart or [],
            }
        )
    fields = ", ".join(f"m.{name}" for name in _MESSAGE)
    mention = ", ".join(f"r.{name}" for name in _MENTION)
    for rows in _pages(
        memory,
        f"MATCH (m:Message) WITH m ORDER BY m.n SKIP $skip LIMIT $limit "
        f"OPTIONAL MATCH (m)-[r:MENTIONS]->(e:Entity) "
        f"RETURN {fields}, collect([e.id, {mention}]), m.n ORDER BY m.n",
    ):
        for row in rows:
            items.append(
                {
                    "kind": "halo:Message",
                    **dict(zip(_MESSAGE, row, strict=False)),
                    "mentions": [m for m in row[len(_MESSAGE)] if m[0] is not None],
                }
            )
            items[-1]["halo:kind"] = row[_MESSAGE.index("kind")]
            items[-1]["kind"] = "halo:Message"
    for row in graph.read(
        "MATCH (x:Ruling) RETURN x.id, x.space, x.head, x.type, x.tail, x.status, x.sources, x.time"
    ):
        keys = ("id", "space", "head", "type", "tail", "status", "sources", "time")
        items.append({"kind": "halo:Ruling", **dict(zip(keys, row, strict=True))})
    for fact in facts(memory):
        items.append(
            {
                "kind": "halo:Fact",
                "id": fact.id,
                "head": fact.head,
                "type": fact.type,
                "tail": fact.tail,
                "text": fact.words,
                "confidence": fact.confidence,
                "validFrom": _iso(fact.valid_from),
                "validThrough": None if fact.valid_to is None else _iso(fact.valid_to),
                "status": fact.status,
                "space": fact.space,
                "sources": [s.message for s in fact.sources],
            }
        )
    return {
        "@context": CONTEXT,
        "halo:format": FORMAT,
        "dateCreated": _iso(time.time()),
        "@graph": items,
    }


def read(memory: Memory, path: Path) -> dict[str, int]:
    """Import a JSON-LD export; messages that are known change nothing. Returns what was added."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        items = value["@graph"]
        version = int(value["halo:format"])
    except OSError as error:
        raise HaloError(f"{path} cannot be read: {error.strerror or error}.") from error
    except (ValueError, KeyError, TypeError) as error:
        raise HaloError(
            f"{path.name} is no memory that halo-tui exported.",
            "Give one that `halo-tui memory export FILE.jsonld` wrote.",
        ) from error
    if version > FORMAT:
        raise HaloError(f"{path.name} was written by a newer halo-tui.", "Update halo-tui.")
    try:
        return _take(memory, items)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise HaloError(f"{path.name} is damaged: {error!r}.", "Export it again.") from error


def _take(memory: Memory, items: list[dict[str, Any]]) -> dict[str, int]:
    graph, registry = memory.graph, memory.registry
    known = {str(row[0]) for row in graph.read("MATCH (m:Message) RETURN m.id")}
    messages = [i for i in items if i["kind"] == "halo:Message" and i["id"] not in known]
    mentioned = {mention[0] for message in messages for mention in message["mentions"]}
    to: dict[str, str] = {}
    added: list[Known] = []
    for item in items:
        if item["kind"] != "halo:Entity":
            continue
        entity = Known(item["id"], item["name"], item["halo:type"], list(item["alternateName"]))
        entity.votes.update(item["halo:votes"])
        same = registry.by_id.get(entity.id) or next(
            (e for e in registry.named(entity.name) if e.kind == entity.kind), None
        )
        to[entity.id] = same.id if same else entity.id
        if same is None and entity.id in mentioned:
            registry.add(entity)
            added.append(entity)
    memory.recorder.writer.entities(added)
    memory.recorder.writer.restore(messages, to)
    rulings = 0
    for item in items:
        if item["kind"] == "halo:Ruling" and {item["head"], item["tail"]} <= to.keys():
            graph.write(
                "MERGE (x:Ruling {id: $id}) ON CREATE SET x.space = $space, x.head = $head, "
                "x.type = $type, x.tail = $tail, x.status = $status, x.sources = $sources, "
                "x.time = $time",
                **{
                    **{k: item[k] for k in ("id", "space", "type", "status", "sources", "time")},
                    "head": to[item["head"]],
                    "tail": to[item["tail"]],
                },
            )
            rulings += 1
    touched = list({to[id] for id in mentioned if id in to})
    rebuild(graph, groups_of(graph, memory.recorder.rules, touched))
    memory.recorder.writer.count(touched)
    if memory.embedder is not None:
        embed_again(graph, memory.recorder.writer, memory.embedder)
    memory.recaller.changed()
    return {"messages": len(messages), "entities": len(added), "rulings": rulings}


# --- others -------------------------------------------------------------------------------------


def graphml(memory: Memory) -> str:
    """Entities and facts for Gephi, yEd, NetworkX and others."""
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        '<graphml xmlns="http://graphml.graphdrawing.org/xmlns">',
    ]
    keys = {
        "node": {"label": "string", "type": "string", "mentions": "int", "last_seen": "double"},
        "edge": {
            "relation": "string",
            "confidence": "double",
            "valid_from": "double",
            "valid_to": "double",
            "status": "string",
            "space": "string",
        },
    }
    for target, names in keys.items():
        for name, type in names.items():
            lines.append(
                f'  <key id="{target}_{name}" for="{target}" attr.name="{name}" '
                f'attr.type="{type}"/>'
            )
    lines.append('  <graph id="memory" edgedefault="directed">')
    for node in nodes(memory):
        data = {
            "label": node.name,
            "type": node.type,
            "mentions": node.mentions,
            "last_seen": node.last_seen,
        }
        lines += [f"    <node id={quoteattr(node.id)}>", *_data("node", data), "    </node>"]
    for fact in facts(memory):
        data = {
            "relation": fact.type,
            "confidence": fact.confidence,
            "valid_from": fact.valid_from,
            "valid_to": fact.valid_to,
            "status": fact.status,
            "space": fact.space,
        }
        lines += [
            f"    <edge id={quoteattr(fact.id)} source={quoteattr(fact.head)} "
            f"target={quoteattr(fact.tail)}>",
            *_data("edge", data),
            "    </edge>",
        ]
    return "\n".join([*lines, "  </graph>", "</graphml>", ""])


def picture(memory: Memory) -> str:
    """One page that draws the graph by itself: no network, everything inside."""
    drawn = list(facts(memory))
    used = {id for fact in drawn for id in (fact.head, fact.tail)}
    value = {
        "made": time.strftime("%Y-%m-%d %H:%M"),
        "nodes": [
            {"id": n.id, "name": n.name, "type": n.type, "mentions": n.mentions, "also": n.aliases}
            for n in nodes(memory)
            if n.id in used or n.mentions > 1
        ],
        "facts": [
            {
                "head": f.head,
                "tail": f.tail,
                "type": f.type,
                "from": f.valid_from,
                "to": f.valid_to,
                "confidence": f.confidence,
                "sources": [
                    {"who": s.speaker, "time": s.time, "text": s.text[:400]} for s in f.sources[:5]
                ],
            }
            for f in drawn
            if f.status != "rejected"
        ],
    }
    return page(value)


def page(value: dict[str, Any]) -> str:
    """The page that draws names and facts, given as `picture` makes them."""
    empty = resources.files("agents.memory").joinpath("picture.html").read_text("utf-8")
    # Inside a script element only "</" could end it.
    data = json.dumps(value, ensure_ascii=True).replace("<", "\\u003c")
    return empty.replace("/*DATA*/null", data)


def nodes(memory: Memory) -> list[Node]:
    """All entities."""
    ids = [str(row[0]) for row in memory.graph.read("MATCH (e:Entity) RETURN e.id ORDER BY e.id")]
    return [
        node
        for start in range(0, len(ids), PAGE)
        for node in memory.store.nodes(ids[start : start + PAGE])
    ]


def facts(memory: Memory) -> Iterator[Fact]:
    """All facts, those that ended included."""
    ids = [
        str(row[0])
        for row in memory.graph.read("MATCH (:Entity)-[f]->(:Entity) RETURN f.id ORDER BY f.id")
    ]
    for start in range(0, len(ids), PAGE):
        yield from memory.store.facts(ids[start : start + PAGE])


def _pages(memory: Memory, query: str) -> Iterator[list[list[Any]]]:
    skip = 0
    while rows := memory.graph.read(query, skip=skip, limit=PAGE):
        yield rows
        skip += PAGE


def _data(target: str, values: dict[str, Any]) -> list[str]:
    return [
        f'      <data key="{target}_{key}">{escape(str(value))}</data>'
        for key, value in values.items()
        if value is not None
    ]


def _iso(moment: float) -> str:
    try:
        return time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(moment))
    except (OverflowError, ValueError, OSError):
        return ""

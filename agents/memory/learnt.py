"""What a batch of messages brought, told message by message."""

from __future__ import annotations

from agents.memory.events import Learnt
from agents.memory.reading import Read
from agents.memory.resolve import Resolved
from agents.memory.store import Store
from agents.memory.types import Entity, Fact

# By message: the number of a mention in it (-1 = who says it), the mention, the entity it means.
Mentions = dict[str, list[tuple[int, Entity, Resolved]]]


def learnt(
    store: Store,
    reads: list[Read],
    mentions: Mentions,
    before: set[str],
    changed: list[str],
    seconds: float,
) -> list[Learnt]:
    """What each message brought: entities nobody had spoken of, facts it began or ended."""
    ids = [read.note.id for read in reads]
    facts = store.facts(changed) if changed else []
    by_id = {fact.id: fact for fact in facts}
    new: dict[str, list[Fact]] = {id: [] for id in ids}
    closed: dict[str, list[Fact]] = {id: [] for id in ids}
    for fact in facts:
        here = [s.message for s in fact.sources if s.message in new]
        if here:
            new[min(here, key=ids.index)].append(fact)
        later = by_id.get(fact.superseded_by)
        enders = [s.message for s in later.sources] if later else [store.ender(fact.id)]
        ender = next((id for id in ids if id in enders), "")
        if fact.valid_to is not None and ender:
            closed[ender].append(fact)
    for id in ids:  # what a message ends is no news of it, and was not: "I no longer like tea"
        over = {fact.id for fact in closed[id]}
        new[id] = [fact for fact in new[id] if fact.id not in over]
    seen = set(before)
    found = []
    for read in reads:
        id = read.note.id
        fresh = [e for e in dict.fromkeys(r.id for _, _, r in mentions[id]) if e not in seen]
        seen.update(fresh)
        found.append(
            Learnt(
                id,
                read.note.speaker,
                tuple(store.nodes(fresh)) if fresh else (),
                tuple(new[id]),
                tuple(closed[id]),
                seconds / len(reads),
            )
        )
    return found

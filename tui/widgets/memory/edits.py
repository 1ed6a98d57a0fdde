"""What a person corrects in the graph: facts, names, merges, and taking them back."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from rich.text import Text

from agents.memory.types import Change, Fact, Node
from engine.errors import HaloError
from tui.widgets.lettered import Lettered, Question
from tui.widgets.memory.entities import EntityList
from tui.widgets.memory.facts import FactList, RowList
from tui.widgets.memory.feed import Feed
from tui.widgets.memory.words import look, plain, sentence, summary
from tui.widgets.session_words import when

if TYPE_CHECKING:
    from agents.memory.service import MemoryService
    from engine.config import Config
    from tui.memory_news import MemoryNews

CHOICES = 60


class Edits(Lettered):
    """The part of the memory's view that changes the graph. Its letters ask first."""

    if TYPE_CHECKING:  # of the view
        config: Config
        news: MemoryNews
        node: Node | None

        @property
        def service(self) -> MemoryService: ...
        def look(self, keep: str = ...) -> None: ...

    def do(self, work: Coroutine[Any, Any, None]) -> None:
        """Run in a worker, so that it may open dialogs; what cannot be done is told."""
        self.run_worker(self._told(work), group="memory-edit")

    async def _told(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except HaloError as error:
            self.notify(str(error), severity="error", markup=False)

    def _say(self, words: str) -> None:
        self.notify(words, markup=False)

    def question(self, action: str) -> Question | None:
        """The question before a letter does something; it is about what is chosen now."""
        fact, node = self._fact(), self.node
        if action in ("accept", "reject", "edit"):
            if fact is None:
                return None
            said = sentence(fact)
            match action:
                case "accept":
                    do = self._doing(self._ruled, fact, "accepted")
                    return Question(f"✓ Is this right? {said}", "it is right", do)
                case "reject":
                    do = self._doing(self._ruled, fact, "rejected")
                    words = f"✗ Is this wrong? {said}  (It is not learnt again; u takes it back.)"
                    return Question(words, "it is wrong", do)
                case _:
                    return Question(f"Correct: {said}", "edits it", self._doing(self._edited, fact))
        if action == "undo":
            do = self._doing(self._undone, "")
            return Question("Take the last change of the graph back?", "takes it back", do)
        if action == "changes":
            return Question("All changes, to take one back", "shows them", self.action_changes)
        if node is None:
            return None
        name = plain(node.name)
        match action:
            case "merge":
                words = f"Is {name} the same as somebody or something else?"
                return Question(words, "chooses", self._doing(self._merged, node))
            case "split":
                words = f"Does one of the names of {name} belong to somebody else?"
                return Question(words, "chooses", self._doing(self._split, node))
            case "rename":
                return Question(
                    f"Give {name} another name?", "writes it", self._doing(self._renamed, node)
                )
            case _:
                return Question(
                    forget_question(node), "forgets", self._doing(self._forgotten, node)
                )

    def _doing(
        self, work: Callable[..., Coroutine[Any, Any, None]], *about: Any
    ) -> Callable[[], None]:
        return lambda: self.do(work(*about))

    # --- facts -----------------------------------------------------------------------------------

    def _fact(self) -> Fact | None:
        """The fact that keys are about."""
        focused = self.screen.focused
        if isinstance(focused, RowList) and focused in self.query(RowList):
            return focused.fact
        return self.query_one(FactList).list.fact

    def _rule(self, status: Literal["accepted", "rejected"]) -> None:
        fact = self._fact()
        if fact is not None:
            self.do(self._ruled(fact, status))

    async def _ruled(self, fact: Fact, status: Literal["accepted", "rejected"]) -> None:
        if status == "accepted":
            await self.service.accept(fact.id)
        else:
            await self.service.reject(fact.id)
        self.news.ruled(replace(fact, status=status))
        self.query_one(Feed).show(self.news.lessons)
        mark = "✓ Right" if status == "accepted" else "✗ Wrong"
        self._say(f"{mark}: {sentence(fact)}. u undoes it.")
        self.look()

    def action_accept(self) -> None:
        """The fact is right."""
        self._rule("accepted")

    def action_reject(self) -> None:
        """The fact is wrong."""
        self._rule("rejected")

    def action_edit(self) -> None:
        """Correct the fact."""
        if (fact := self._fact()) is not None:
            self.do(self._edited(fact))

    async def _edited(self, fact: Fact) -> None:
        from tui.screens.memory_dialogs import EditFact

        form = await self.app.push_screen_wait(EditFact(fact, self.config.memory.relation_types))
        if form is None:
            return
        head, kind, tail = form
        changed = {
            key: value
            for key, value, before in (
                ("head", head, plain(fact.head_name)),
                ("type", kind, fact.type),
                ("tail", tail, plain(fact.tail_name)),
            )
            if value != before
        }
        if not changed:
            return
        new = await self.service.edit(fact.id, **changed)
        self.news.ruled(replace(fact, status="rejected"))
        self._say(f"✓ Now: {sentence(new)}. u undoes it.")
        self.look()

    # --- entities --------------------------------------------------------------------------------

    async def _choices(self, text: str, without: str = "") -> list[tuple[str, Text]]:
        found = await self.service.entities("recency", text, limit=CHOICES)
        return [(node.id, entity_text(node)) for node in found if node.id != without]

    def action_merge(self) -> None:
        """Make one of two."""
        if self.node is not None:
            self.do(self._merged(self.node))

    async def _merged(self, node: Node) -> None:
        from tui.screens.dialogs import Confirm
        from tui.screens.memory_dialogs import Pick

        name = plain(node.name)

        async def find(text: str) -> Sequence[tuple[str, Text]]:
            return await self._choices(text, node.id)

        other = await self.app.push_screen_wait(Pick(f"{name} is the same as …", find))
        if other is None:
            return
        target = await self.service.entity(other)
        question = (
            f"{name} becomes {plain(target.name)}, with all its facts and mentions. u undoes it."
        )
        if await self.app.push_screen_wait(Confirm(question, "Merge")):
            change = await self.service.merge(target.id, node.id)
            self._say(f"{change.text} u undoes it.")
            self.look(target.id)

    def action_split(self) -> None:
        """Make two of one."""
        if self.node is not None:
            self.do(self._split(self.node))

    async def _split(self, node: Node) -> None:
        from tui.screens.memory_dialogs import Pick

        aliases = [alias for alias in node.aliases if alias != node.name]
        if not aliases:
            raise HaloError(
                f"{plain(node.name)} has no other name to be split off.",
                "Only entities that were merged or have aliases can be split.",
            )

        async def find(text: str) -> Sequence[tuple[str, Text]]:
            wanted = text.casefold()
            return [(a, Text(plain(a))) for a in aliases if wanted in a.casefold()]

        alias = await self.app.push_screen_wait(
            Pick(f"Which name is somebody else than {plain(node.name)}?", find)
        )
        if alias is not None:
            made = await self.service.split(node.id, alias)
            self._say(f"{plain(made.name)} stands on its own now. u undoes it.")
            self.look(made.id)

    def action_rename(self) -> None:
        """Another name."""
        if self.node is not None:
            self.do(self._renamed(self.node))

    async def _renamed(self, node: Node) -> None:
        from tui.screens.dialogs import AskText

        before = plain(node.name)
        name = await self.app.push_screen_wait(
            AskText(f"{before} is called … (the old name stays an alias)", before)
        )
        if name and name.strip() and name.strip() != before:
            renamed = await self.service.rename(node.id, name.strip())
            self._say(f"{before} is {plain(renamed.name)} now. u undoes it.")
            self.look(renamed.id)

    def action_forget(self) -> None:
        """Remove the entity and its traces."""
        if self.node is not None:
            self.do(self.forget(self.node))

    async def forget(self, node: Node) -> None:
        """Ask, then remove."""
        from tui.screens.dialogs import Confirm

        if await self.app.push_screen_wait(Confirm(forget_question(node), "Forget")):
            await self._forgotten(node)

    async def _forgotten(self, node: Node) -> None:
        self._say(await self.service.forget(node.id))
        entities = self.query_one(EntityList)
        after = [one.id for one in entities.nodes if one.id != node.id]
        self.look(after[0] if after else "")

    # --- taking back -----------------------------------------------------------------------------

    def action_undo(self) -> None:
        """Take the last change back."""
        self.do(self._undone(""))

    async def _undone(self, change: str) -> None:
        undone = await self.service.undo(change)
        self._say(f"Undone: {plain(undone.text)}")
        await self._statuses()
        self.look()

    async def _statuses(self) -> None:
        """What the feed shows of facts may have changed: ask for those people see."""
        heads = dict.fromkeys(lesson.fact.head for lesson in list(self.news.lessons)[:30])
        for head in heads:
            try:
                for fact in await self.service.facts(head, past=True):
                    self.news.ruled(fact)
            except HaloError:
                continue  # the entity is gone
        self.query_one(Feed).show(self.news.lessons)

    def action_changes(self) -> None:
        """What was changed, by whom; Enter takes one back."""
        self.do(self._changes())

    async def _changes(self) -> None:
        from tui.screens.memory_dialogs import Pick

        changes = await self.service.changes()
        if not changes:
            raise HaloError("Nothing was merged or edited yet.")

        async def find(text: str) -> Sequence[tuple[str, Text]]:
            wanted = text.casefold()
            return [(c.id, change_text(c)) for c in changes if wanted in c.text.casefold()]

        chosen = await self.app.push_screen_wait(
            Pick("Changes, newest first · Enter undoes one", find)
        )
        if chosen is not None:
            await self._undone(chosen)


def forget_question(node: Node) -> str:
    """What forgetting an entity means."""
    facts = f"{node.degree:,} {'fact' if node.degree == 1 else 'facts'}"
    messages = "the message that mentions" if node.mentions == 1 else "all messages that mention"
    return (
        f"Forget {plain(node.name)}: {facts} and {messages} it, with what agents answered, leave the memory for good. "
        "The conversations themselves stay."
    )


def entity_text(node: Node) -> Text:
    """An entity as a choice."""
    return Text.assemble(
        f"{look(node.type)[0]} ", (plain(node.name), "bold"), (f"  {summary(node)}", "dim")
    )


def change_text(change: Change) -> Text:
    """A change as a choice."""
    text = Text(f"{when(change.time):>12}  ", "dim")
    if change.undone:
        text.append("undone: ", "dim")
    return text.append(plain(change.text), "dim strike" if change.undone else "")

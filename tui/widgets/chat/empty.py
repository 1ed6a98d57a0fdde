"""What a conversation shows while nothing was said yet: whom one talks to, and what to try."""

from __future__ import annotations

from textual.content import Content
from textual.message import Message
from textual.widgets import Static

SUGGESTIONS = (
    "Hi, I'm Mira and I work at Halo Labs.",
    "Where do I work?",
    "@all Who are you?",
)


class EmptyState(Static):
    """What to try, while nothing was said yet."""

    DEFAULT_CSS = """
    EmptyState {
        layer: over;
        height: 100%;
        width: 100%;
        background: $background;
        content-align: center middle;
        text-align: center;
        padding: 0 2;
        display: none;
        link-style: underline;
        link-color: $text-accent;
    }
    """

    class Chosen(Message):
        """A suggestion was clicked."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    def action_choose(self, index: int) -> None:
        self.post_message(self.Chosen(SUGGESTIONS[index]))

    def show_for(self, name: str, style: str) -> None:
        """Greet in the name of an agent."""
        tell, ask, everyone = SUGGESTIONS
        parts: list[Content | tuple[str, str]] = [
            (name, style), (" is listening.\n\n", "$foreground-muted"),
            ("Tell it something about you\n", "$foreground-muted"),
            (tell, "underline $text-accent @click=choose(0)"),
            ("\n\nthen ask for it later\n", "$foreground-muted"),
            (ask, "underline $text-accent @click=choose(1)"),
            ("\n\nor speak to all agents at once\n", "$foreground-muted"),
            (everyone, "underline $text-accent @click=choose(2)"),
        ]  # fmt: skip
        self.update(Content.assemble(*parts))

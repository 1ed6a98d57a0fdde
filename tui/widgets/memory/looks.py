"""Where the parts of the memory's view stand, by its width, its height and the part shown."""

from __future__ import annotations

CSS = """
    MemoryView { height: 1fr; width: 1fr; background: $background; }
    MemoryView #fact-head, MemoryView #ask-head, MemoryView #entity-head {
        text-wrap: nowrap; text-overflow: ellipsis; }
    MemoryView > #memory-state { height: auto; max-height: 3; padding: 0 1; background: $surface; }
    MemoryView > #memory-state.-down { color: $text-error; }
    MemoryView > #memory-state.-off { color: $text-warning; }
    MemoryView #rooms { height: 1fr; layout: vertical; }
    MemoryView.-columns #rooms { layout: horizontal; }
    MemoryView #left { height: 1fr; }
    MemoryView #right { height: 1fr; }
    MemoryView.-columns #left { width: 38%; min-width: 44; max-width: 72;
                                border-right: solid $primary 40%; }
    MemoryView EntityList { height: 2fr; }
    MemoryView FactList { height: 3fr; border-top: solid $primary 40%; }
    MemoryView #more { height: 2fr; border-top: solid $primary 40%; }
    MemoryView GraphPicture { height: 3fr; }
    MemoryView OptionList, MemoryView OptionList:focus {
        border: none; background: $background; background-tint: transparent 0%; }
    MemoryView OptionList > .option-list--option-highlighted { background: $primary 12%;
        color: $foreground; text-style: none; }
    MemoryView OptionList:focus > .option-list--option-highlighted {
        background: $primary 30%; color: $foreground; text-style: bold; }
    MemoryView.-one.-at-graph #left, MemoryView.-one.-at-learnt #left,
    MemoryView.-one.-at-ask #left, MemoryView.-one.-at-cypher #left { display: none; }
    MemoryView.-one.-low.-at-explore #right { display: none; }
    MemoryView.-one.-at-explore #more, MemoryView.-at-graph #more { display: none; }
    MemoryView.-one.-at-learnt GraphPicture, MemoryView.-one.-at-ask GraphPicture,
    MemoryView.-one.-at-cypher GraphPicture { display: none; }
    MemoryView.-one #more { border-top: none; }
    MemoryView.-one.-at-explore GraphPicture { border-top: solid $primary 40%; }
    MemoryView.-one.-at-explore #left { height: 3fr; }
    MemoryView.-one.-at-explore #right { height: 2fr; }
    MemoryView.-columns.-at-ask GraphPicture, MemoryView.-columns.-at-cypher GraphPicture {
        height: 2fr; }
    MemoryView.-columns.-at-ask #more, MemoryView.-columns.-at-cypher #more { height: 3fr; }
    MemoryView Feed, MemoryView AskPane, MemoryView CypherConsole { display: none; }
    MemoryView.-at-explore Feed, MemoryView.-at-learnt Feed { display: block; }
    MemoryView.-at-ask AskPane { display: block; }
    MemoryView.-at-cypher CypherConsole { display: block; }
    MemoryView.-empty-off #rooms, MemoryView.-empty-off TimeSlider,
    MemoryView.-empty-off MemoryTabs { display: none; }
"""

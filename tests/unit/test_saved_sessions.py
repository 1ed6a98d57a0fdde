"""Saved sessions through the workspace, on a scripted engine: snapshots, checkpoints, exports."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from agents import saved as files
from agents import talk as talks
from agents.agent import COLOURS, Agent, free_colour
from agents.events import SavedChanged, Turn
from agents.saved import describe, free_path, list_saved, read_talk
from agents.workspace import Workspace
from engine import snapshot
from engine.client import CoreDied
from engine.config import Config
from engine.errors import EngineError, HaloError
from tests.support.scripted import READY, ScriptedClient
from tests.support.waiting import until
from tui.themes import NAMED

pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture
async def space(tmp_path: Path) -> AsyncIterator[Workspace]:
    space = await start(tmp_path)
    yield space
    await space.stop()


async def start(folder: Path, client: ScriptedClient | None = None) -> Workspace:
    client = client or ScriptedClient(lambda _: "You work at Halo Labs.")
    space = Workspace(Config(), client, folder, make_client=lambda _: client)
    await space.start()
    if not client.hold_start:
        await space.wait_ready()
    return space


def client_of(space: Workspace) -> ScriptedClient:
    assert isinstance(space.client, ScriptedClient)
    return space.client


def asked(space: Workspace, what: str) -> list[Any]:
    return [value for kind, value in client_of(space).log if kind == what]


async def talk(space: Workspace, text: str = "Where do I work?", name: str = "ada") -> Agent:
    """Have an agent say something."""
    await space.tell(name, text)
    agent = space.get(name)
    await until(lambda: not agent.busy)
    return agent


def checkpoint(space: Workspace, agent: Agent) -> Path:
    return space.data_dir / "agents" / f"{agent.id}.halo"


def notes(space: Workspace) -> str:
    return " ".join(entry.text for entry in space.log if entry.kind == "session")


def damage(monkeypatch: pytest.MonkeyPatch, talk: bytes | None) -> None:
    """All snapshots are damaged from now on; `talk` can be saved from them."""

    def refuse(path: Path) -> Any:
        raise snapshot.SnapshotError(f"{path.name} is damaged in state.bin.", "Delete it.")

    monkeypatch.setattr(snapshot, "peek", refuse)
    monkeypatch.setattr(snapshot, "read", refuse)
    monkeypatch.setattr(snapshot, "salvage", lambda _: nullcontext(SimpleNamespace(talk=talk)))


# --- names and lists -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("Zürich trip, day 1", "Zürich trip, day 1.halo"),
        ("../../x", "x.halo"),
        ("/etc/passwd", "etc-passwd.halo"),
        ("..", "session.halo"),
        ("", "session.halo"),
        (".hidden", "hidden.halo"),
        ("a\nb\0c\x1b[31m", "a-b-c-[31m.halo"),
        ("v1.2", "v1.2.halo"),
        ("日本" * 60, "日本" * 30 + ".halo"),
    ],
)
async def test_a_title_never_leaves_the_folder(tmp_path: Path, title: str, name: str) -> None:
    path = free_path(tmp_path, title)
    assert path.parent == tmp_path and path.name == name
    path.touch()
    assert free_path(tmp_path, title).name == f"{path.stem}-2.halo"


async def test_saved_and_listed_newest_first(space: Workspace) -> None:
    seen: list[Any] = []
    space.subscribe(seen.append)
    await talk(space)
    await talk(space, "Hi there", "grace")
    first = await space.sessions.save_as("ada", "../../x")
    assert first.path.parent == space.data_dir / "saved" and first.title == "x"
    assert (first.agent, first.turns, first.tokens, first.cells) == ("ada", 2, 1200, 240)
    assert first.ratio == 5.0 and first.model == "scripted" and first.size > 100
    assert first.last == "You work at Halo Labs."
    again = await space.sessions.save_as("grace", "x")
    assert again.title == "x-2" and again.agent == "grace"
    assert {saved.title for saved in space.sessions.saved()} == {"x", "x-2"}
    assert sum(isinstance(event, SavedChanged) for event in seen) == 2
    (space.data_dir / "saved" / ".x.halo.new").touch()
    (space.data_dir / "saved" / "notes.txt").touch()
    assert len(space.sessions.saved()) == 2


async def test_a_title_comes_from_the_first_prompt(space: Workspace) -> None:
    await talk(space, "Hi, I'm Mira and I work at Halo Labs in Geneva.")
    saved = await space.sessions.save_as("ada")
    assert saved.title == "Hi, I'm Mira and I work at Halo Labs in"
    assert talks.default_title(Agent("a", "ada")).startswith("ada 2")


async def test_nothing_said_is_nothing_to_save(space: Workspace) -> None:
    with pytest.raises(HaloError, match="said nothing yet"):
        await space.sessions.save_as("ada")
    with pytest.raises(HaloError, match="said nothing yet"):
        await space.sessions.export("ada", Path("x.md"))


async def test_without_cells_the_text_is_saved(space: Workspace) -> None:
    await talk(space)
    client_of(space).refuse_session = EngineError("ada holds no cells.", "", "nothing")
    saved = await space.sessions.save_as("ada", "talk")
    assert saved.path.name == "talk.json" and saved.cells == 0 and saved.turns == 2
    client_of(space).refuse_session = None
    assert (await space.sessions.save_as("ada", "talk")).title == "talk-2", "titles are unique"


async def test_what_the_engine_refuses_names_the_agent(space: Workspace) -> None:
    ada = await talk(space)
    client_of(space).refuse_session = EngineError(f"{ada.id} is being restored.", "", "busy")
    with pytest.raises(EngineError, match="ada is being restored"):
        await space.sessions.save_as("ada", "talk")


async def test_renamed_deleted_and_brought_back(space: Workspace) -> None:
    await talk(space)
    saved = await space.sessions.save_as("ada", "one")
    same = await space.sessions.rename(saved.path, "one")
    assert same.path == saved.path
    saved = await space.sessions.rename(saved.path, "two/three")
    assert saved.title == "two-three"
    with pytest.raises(HaloError, match="empty"):
        await space.sessions.rename(saved.path, "  ")
    space.sessions.delete(saved.path)
    assert not space.sessions.saved() and space.sessions.can_undo == "two-three"
    other = await space.sessions.save_as("ada", "two-three")
    assert space.sessions.undo_delete().title == "two-three-2", "the other one stays"
    assert len(space.sessions.saved()) == 2 and not space.sessions.can_undo
    with pytest.raises(HaloError, match="Nothing was deleted"):
        space.sessions.undo_delete()
    space.sessions.delete(other.path)
    await space.restart_engine()
    await space.wait_ready()
    assert space.sessions.undo_delete().title == "two-three", "another model is no end"


async def test_deleted_text_comes_back_as_what_it_was(space: Workspace) -> None:
    await talk(space)
    client_of(space).refuse_session = EngineError("none", "", "nothing")
    saved = await space.sessions.save_as("ada", "talk")
    space.sessions.delete(saved.path)
    assert space.sessions.undo_delete().path == saved.path
    space.sessions.delete(saved.path)
    await space.stop()
    assert not (space.data_dir / "saved" / "trash").exists(), "gone for good at the end"


async def test_a_damaged_one_is_listed_and_salvaged(
    space: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = await talk(space)
    saved = await space.sessions.save_as("ada", "bad")
    damage(monkeypatch, talks.encode(talks.talk_of(ada)))
    (listed,) = space.sessions.saved()
    assert listed.title == "bad" and "damaged in state.bin" in listed.problem
    said: list[str] = []
    agent = await space.sessions.restore(saved.path, tell=said.append)
    assert [turn.text for turn in agent.turns] == [turn.text for turn in ada.turns]
    assert "damaged" in said[0] and "could be saved" in said[0] and "could be saved" in notes(space)
    assert not asked(space, "restore"), "its cells cannot be had"
    damage(monkeypatch, None)
    with pytest.raises(HaloError, match=r"damaged in state\.bin"):
        await space.sessions.restore(saved.path)
    assert describe(space.data_dir / "nowhere.halo").problem


async def test_damaged_cells_cost_only_the_cells(space: Workspace) -> None:
    await talk(space)
    saved = await space.sessions.save_as("ada", "one")
    client_of(space).refuse_session = EngineError(
        f"The snapshot {saved.path} is damaged in state.bin: its digest is wrong.", "Import it.", ""
    )
    said: list[str] = []
    await space.sessions.restore(saved.path, tell=said.append)
    assert said == [
        "one.halo is damaged in state.bin: its digest is wrong. Its conversation is whole and is "
        "read again."
    ]


@pytest.mark.parametrize("share", [0.0, 0.2, 0.4, 0.6])
async def test_cut_off_files_are_listed_with_a_sentence(space: Workspace, share: float) -> None:
    await talk(space)
    saved = await space.sessions.save_as("ada", "cut")
    data = saved.path.read_bytes()
    saved.path.write_bytes(data[: int(len(data) * share)])
    (listed,) = space.sessions.saved()
    assert listed.problem.endswith(".") and str(saved.path) not in listed.problem
    try:
        agent = await space.sessions.restore(saved.path)
    except HaloError as error:
        assert str(error)
    else:
        assert [turn.text for turn in agent.turns][1] == "You work at Halo Labs."


# --- restoring -----------------------------------------------------------------------------------


async def test_restored_as_a_new_agent(space: Workspace) -> None:
    ada = await talk(space)
    await space.change("ada", system="Be kind.", colour="red", sampling={"top_k": 3})
    saved = await space.sessions.save_as("ada", "one")
    said: list[str] = []
    copy = await space.sessions.restore(saved.path, tell=said.append)
    assert copy.name == "ada-2" and copy.id != ada.id and copy.spec.colour == "cyan", "of its own"
    ada.spec.colour = "cyan"
    assert copy.spec == ada.spec
    assert [t.text for t in copy.turns] == [t.text for t in ada.turns]
    assert not {t.id for t in copy.turns} & {t.id for t in ada.turns}
    assert asked(space, "restore") == [(copy.id, saved.path)]
    assert said == ["1,200 tokens are back; none has to be read again."]
    named = await space.sessions.restore(saved.path, "eve")
    assert named.name == "eve"
    with pytest.raises(HaloError, match="cannot be a name"):
        await space.sessions.restore(saved.path, "all")
    await until(lambda: checkpoint(space, copy).is_file(), what="for a checkpoint of its own")


async def test_why_cells_are_read_again_is_told(space: Workspace) -> None:
    await talk(space)
    saved = await space.sessions.save_as("ada", "one")
    client_of(space).refuse_session = EngineError(
        "one.halo was saved with another model.", "Its text is read again.", "other_model"
    )
    said: list[str] = []
    copy = await space.sessions.restore(saved.path, tell=said.append)
    assert len(copy.turns) == 2 and "another model" in said[0]
    assert "one.halo was saved with another model." in notes(space)


async def test_a_checkpoint_of_another_model_is_kept_and_said(tmp_path: Path) -> None:
    space = await start(tmp_path)
    ada = await talk(space)
    await space.stop()
    client = ScriptedClient()
    client.refuse_session = EngineError(
        f"{ada.id}.halo was saved with another model.", "Its text is read again.", "other_model"
    )
    space = await start(tmp_path, client)
    await until(lambda: "Its checkpoint was saved with another model." in notes(space))
    await space.stop()
    assert checkpoint(space, ada).is_file() and ("checkpoint", ada.id) not in client.log


async def test_restored_while_the_model_loads(tmp_path: Path) -> None:
    space = await start(tmp_path)
    await talk(space)
    saved = await space.sessions.save_as("ada", "one")
    await space.stop()
    client = ScriptedClient()
    client.hold_start = True
    space = await start(tmp_path, client)
    copy = await space.sessions.restore(saved.path)
    with pytest.raises(HaloError, match="no cells yet"):
        await space.sessions.swap("ada", True)
    await space.sessions.save_as("ada", "text")
    assert (tmp_path / "saved" / "text.json").is_file(), "the text at least"
    client.let_start()
    await space.wait_ready()
    await until(lambda: (copy.id, checkpoint(space, copy)) in asked(space, "restore"))
    await space.stop()


async def test_hand_made_files_cannot_do_harm(space: Workspace, tmp_path: Path) -> None:
    ada = await talk(space)
    document = json.loads(talks.encode(talks.talk_of(ada)))
    document["agent"] |= {"name": "a b/../@all", "colour": "[red]", "sampling": {"top_k": "lots"}}
    document["turns"][1] |= {"status": "streaming", "time": 1e300}
    document["saved_at"] = 1e300
    file = tmp_path / "made.json"
    file.write_text(json.dumps(document))
    agent = await space.sessions.restore(file)
    assert agent.name == "a-b-all" and agent.spec.colour == "" and agent.spec.sampling == {}
    assert not agent.busy and agent.turns[1].status == "cancelled"
    assert talks.markdown(talks.talk_of(agent))
    for name, words in (
        ("x.json", "cannot be read"), ("x.halo", "There is no file"), ("x.md", "reading only"),
    ):  # fmt: skip
        with pytest.raises(HaloError, match=words):
            await space.sessions.restore(tmp_path / name)
    for text, words in (("{}", "no conversation"), ("[", "no conversation"), ("\xff", "no conv")):
        file.write_bytes(text.encode("latin-1"))
        with pytest.raises(HaloError, match=words):
            await space.sessions.restore(file)
    document["version"] = talks.TALK_VERSION + 1
    file.write_text(json.dumps(document))
    with pytest.raises(HaloError, match="newer halo-tui"):
        await space.sessions.restore(file)


@pytest.mark.parametrize("name", ["all", "you", "", "---", "x" * 90])
async def test_names_from_files_become_possible_ones(space: Workspace, name: str) -> None:
    ada = await talk(space)
    document = talks.talk_of(ada)
    document.agent = msgspec.structs.replace(document.agent, name=name)
    assert space.free_name(talks.agent_name(document))


# --- export --------------------------------------------------------------------------------------


async def test_markdown_is_for_reading(space: Workspace, tmp_path: Path) -> None:
    ada = await talk(space)
    ada.turns[1].thinking = "They told me."
    space.add_turn(ada, Turn("t-note", "note", "A limit was reached."))
    path = await space.sessions.export("ada", tmp_path / "talk.md")
    text = path.read_text()
    assert text.startswith("# ada\n\n> You are Ada, a helpful assistant.\n")
    for words in ("## you · 2", "## ada · 2", "> They told me.", "\nYou work at Halo Labs.\n",
                  "*A limit was reached.*"):  # fmt: skip
        assert words in text
    with pytest.raises(HaloError, match="reading only"):
        read_talk(path)


async def test_json_comes_back(space: Workspace, tmp_path: Path) -> None:
    ada = await talk(space)
    ada.turns[1].thinking = "They told me."
    path = await space.sessions.export("ada", tmp_path / "talk.json")
    said: list[str] = []
    copy = await space.sessions.restore(path, tell=said.append)
    fields = [f for f in Turn.__slots__ if f != "id"]
    for old, new in zip(ada.turns, copy.turns, strict=True):
        assert [getattr(old, f) for f in fields] == [getattr(new, f) for f in fields]
    copy.spec.colour = ada.spec.colour  # it has one of its own
    assert copy.spec == ada.spec and said == ["Its 2 messages are read with the next prompt."]


async def test_snapshots_are_exported_by_the_ending(space: Workspace, tmp_path: Path) -> None:
    await talk(space)
    saved = await space.sessions.save_as("ada", "one")
    copy = await space.sessions.export(saved.path, tmp_path / "copy.halo")
    assert copy.read_bytes() == saved.path.read_bytes()
    assert await space.sessions.export(saved.path, saved.path) == saved.path, "onto itself"
    text = await space.sessions.export(saved.path, tmp_path / "copy.md")
    assert text.read_text().startswith("# one\n")
    exported = await space.sessions.export(saved.path, tmp_path / "copy.json")
    assert read_talk(exported).agent.name == "ada"
    live = await space.sessions.export("ada", tmp_path / "live.halo")
    assert describe(live).cells == 240
    with pytest.raises(HaloError, match="text only"):
        await space.sessions.export(exported, tmp_path / "other.halo")
    for target, words in (
        ("talk.txt", "does not say what"), ("talk", "does not say what"), ("", "is a folder"),
        ("no/where.md", "There is no folder"),
    ):  # fmt: skip
        with pytest.raises(HaloError, match=words):
            await space.sessions.export("ada", tmp_path / target)
    client_of(space).refuse_session = EngineError("none", "", "nothing")
    with pytest.raises(HaloError, match=r"\.json or \.md"):
        await space.sessions.export("ada", tmp_path / "none.halo")


# --- forks, swapping, pinning --------------------------------------------------------------------


async def test_a_copy_has_a_colour_of_its_own(space: Workspace, tmp_path: Path) -> None:
    await space.change("ada", colour="cyan")
    await space.change("grace", colour="magenta")
    await space.change("alan", colour="")
    copies = [await space.sessions.fork("ada") for _ in range(2)]
    assert [copy.spec.colour for copy in copies] == ["yellow", "green"]
    assert (await space.sessions.fork("alan")).spec.colour == "", "by its place in the list"
    await space.change("ada", colour="#123456")
    assert free_colour("#123456", ["cyan"]) == "#123456"
    assert free_colour("cyan", COLOURS) == ""
    assert set(COLOURS) <= set(NAMED), "the app knows them"


async def test_fork_at_a_message(space: Workspace) -> None:
    ada = await talk(space)
    await talk(space, "And who am I?")
    copy = await space.sessions.fork("ada", ada.turns[1].id)
    assert [t.text for t in copy.turns] == [t.text for t in ada.turns[:2]]
    assert space.names.index(copy.name) == space.names.index("ada") + 1
    assert asked(space, "fork") == [(copy.id, ada.id)]
    with pytest.raises(HaloError, match="message is gone"):
        await space.sessions.fork("ada", "t-nothing")


async def test_swapping_and_pinning(tmp_path: Path) -> None:
    space = await start(tmp_path)
    ada = await talk(space)
    assert await space.sessions.swap("ada", True) == 240
    assert asked(space, "swap") == [(ada.id, True)]
    await space.sessions.pin("ada", True)
    assert ada.pinned and asked(space, "pin") == [(ada.id, True)]
    await space.restart_engine()
    await space.wait_ready()
    await until(lambda: len(asked(space, "pin")) == 2, what="for the new core to be told")
    await space.stop()
    space = await start(tmp_path)
    assert space.get("ada").pinned, "over a restart too"
    await until(lambda: asked(space, "pin") == [(ada.id, True)])
    await space.sessions.pin("ada", False)
    await space.stop()
    space = await start(tmp_path)
    assert not space.get("ada").pinned and not asked(space, "pin")
    await space.stop()


# --- checkpoints ---------------------------------------------------------------------------------


async def test_a_turn_is_followed_by_a_checkpoint_and_a_start_by_its_cells(tmp_path: Path) -> None:
    space = await start(tmp_path)
    ada = await talk(space)
    await until(lambda: checkpoint(space, ada).is_file())
    assert asked(space, "checkpoint") == [ada.id]
    await talk(space, "And now?")
    await space.stop()
    assert asked(space, "checkpoint") == [ada.id, ada.id], "what is due is written at the end"
    space = await start(tmp_path)
    await until(lambda: asked(space, "restore") == [(ada.id, checkpoint(space, ada))])
    assert not notes(space)
    await space.stop()


async def test_without_checkpoints_nothing_is_written(tmp_path: Path) -> None:
    client, config = ScriptedClient(lambda _: "Yes."), Config()
    config.sessions.checkpoint = False
    space = Workspace(config, client, tmp_path)
    await space.start()
    await space.wait_ready()
    ada = await talk(space)
    await space.close_agent("grace")
    await space.reopen()
    await space.stop()
    assert not asked(space, "checkpoint") and not checkpoint(space, ada).exists()


async def test_an_answer_waits_for_its_cells_and_outlives_a_dead_core(tmp_path: Path) -> None:
    space = await start(tmp_path)
    ada = await talk(space)
    await space.stop()
    client = ScriptedClient(lambda _: "Yes.")
    client.hold_open = True
    space = await start(tmp_path, client)
    await until(lambda: ada.id in space.sessions._restoring)
    await space.tell("ada", "Again?")
    await until(lambda: space.get("ada").busy)
    client.emit(CoreDied("The core died.", "", True))
    client.hold_open = False
    client.emit(READY)
    await until(lambda: not space.get("ada").busy, what="for the answer")
    assert space.get("ada").turns[-1].text == "Yes."
    await space.stop()


async def test_cleared_is_forgotten_even_while_it_is_written(space: Workspace) -> None:
    ada = await talk(space)
    await until(lambda: checkpoint(space, ada).is_file())
    await space.clear("ada")
    assert not checkpoint(space, ada).exists()
    assert asked(space, "forget_snapshot") == [ada.id]
    await talk(space)
    async with space.sessions._writing:  # as while one is written
        space.keep_task(space.clear("ada"))
        await until(lambda: not ada.turns)
        checkpoint(space, ada).write_bytes(b"old text")
    await until(lambda: not checkpoint(space, ada).exists())


async def test_closed_and_reopened_with_its_checkpoint(tmp_path: Path) -> None:
    space = await start(tmp_path)
    ada = await talk(space)
    await space.close_agent("ada")
    aside = tmp_path / "agents" / "closed" / f"{ada.id}.halo"
    assert aside.is_file() and not checkpoint(space, ada).exists()
    again = await space.reopen("ada")
    assert again.id == ada.id and checkpoint(space, again).is_file() and not aside.exists()
    await until(lambda: (ada.id, checkpoint(space, again)) in asked(space, "restore"))
    await space.stop()


async def test_trouble_with_checkpoints_is_told_once(space: Workspace) -> None:
    client_of(space).refuse_session = EngineError("No space is left.", "Make some.", "engine")
    await talk(space)
    await until(lambda: "No checkpoint could be written: No space is left." in notes(space))
    await talk(space)
    await until(lambda: not space.sessions._dirty)
    assert notes(space).count("No checkpoint") == 1


async def test_foreign_files_in_the_folder_are_harmless(tmp_path: Path) -> None:
    assert list_saved(tmp_path / "nowhere") == []
    (tmp_path / "other.json").write_text('{"a": 1}')
    (listed,) = list_saved(tmp_path)
    assert "no conversation" in listed.problem and files.SUFFIX == ".halo"

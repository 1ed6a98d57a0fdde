"""Settings: defaults equal to config.toml, layers, and a place and a sentence for each fault."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.config import SECTIONS, AgentConfig, Config, load
from engine.config_check import Layer
from engine.config_edit import dump_value, save_value
from engine.errors import ConfigError
from engine.protocol import Sampling

TOP = Path(__file__).parents[2] / "config.toml"


def write(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "config.toml"
    file.write_text(text, encoding="utf-8")
    return file


def refused(tmp_path: Path, text: str) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load(write(tmp_path, text), env={})
    return caught.value


def test_the_annotated_file_holds_every_default_and_nothing_else() -> None:
    shipped = load(TOP, env={})
    for name in (*SECTIONS, "agents"):
        assert getattr(shipped, name) == getattr(Config(), name), name
    expected = {
        f"{section}.{field}"
        for section, struct in SECTIONS.items()
        for field in struct.__struct_fields__
    } | {f"agents.{i}.{field}" for i in range(3) for field in AgentConfig.__struct_fields__}
    assert set(shipped.sources) == expected


def test_every_key_of_the_annotated_file_is_explained() -> None:
    text = TOP.read_text(encoding="utf-8")
    agents = text.index("[[agents]]", text.index("# The agents of the first start"))
    own, named = text[:agents] + text[text.index("[ui]") :], text[text.index("# The agents") :]
    lines = own.splitlines()
    for above, line in pairwise(lines):
        if " = " in line and not line.startswith("#"):
            assert above.startswith("# "), f"no comment above {line}"
    for field in AgentConfig.__struct_fields__:
        assert f"#   {field} " in named


def test_layers_override_one_another_key_by_key(tmp_path: Path) -> None:
    file = write(tmp_path, '[engine]\nn_ctx = 1024\nthreads = 2\n[ui.keys]\nsend = "f2"\n')
    env = {
        "HALO_ENGINE_N_CTX": "2048",
        "HALO_ENGINE_MMAP": "off",
        "HALO_DEBUG": "1",
        "HALO_MODEL_FOLDERS": "/a,/b",
        "HALO_SAMPLING_STOP": '["x"]',
        "HOME": "/",
    }
    config = load(file, env=env, overrides=["engine.n_ctx=4096", "ui.keys.quit=ctrl+c"])
    assert (config.engine.n_ctx, config.engine.threads, config.engine.mmap) == (4096, 2, False)
    assert config.model.folders == ["/a", "/b"]
    assert config.sampling.stop == ("x",)
    assert config.ui.keys == {"send": "f2", "quit": "ctrl+c"}
    assert config.source("engine.threads") == f"{file}:3"
    assert config.source("engine.mmap") == "environment variable HALO_ENGINE_MMAP"
    assert config.source("engine.n_ctx") == "--set engine.n_ctx=4096"
    assert config.source("engine.n_batch") == "default"


def test_no_file_is_fine_but_a_file_that_was_asked_for_must_exist(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HALO_TUI_HOME", str(tmp_path))
    assert load(env={}).file == ""
    with pytest.raises(ConfigError, match=r"nowhere\.toml does not exist"):
        load(tmp_path / "nowhere.toml", env={})
    write(tmp_path, "[chat]\nhandover_limit = 1\n")
    assert load(env={}).chat.handover_limit == 1


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("[engine]\n# cells\nn_cxt = 1\n", 3, ["engine.n_cxt", "no such key", "'n_ctx'"]),
        ("\n[enginee]\nn_ctx = 1024\n", 2, ["enginee", "no such section", "'engine'"]),
        ("[engine]\n\nn_ctx = 'many'\n", 3, ["'many'", "a whole number from 0"]),
        ("[engine]\nn_ctx = 100\n", 2, ["100 is too small", "256"]),
        ("[engine]\nmmap = 1\n", 2, ["engine.mmap", "true or false"]),
        ("[engine]\ntype_k = 'q8'\n", 2, ["'q8'", "'q8_0'", "one of f32, f16"]),
        ("[engine]\nflash_attention = 'off'\ntype_v = 'q8_0'\n", 3, ["needs flash attention"]),
        ("[engine]\nn_batch = 64\nn_ubatch = 128\n", 3, ["128 is more than n_batch"]),
        ("engine = 3\n", 1, ["engine", "a table"]),
        ("[sampling]\ntemperature = -1\n", 2, ["sampling.temperature", "a number from 0 to 10"]),
        ("[sampling]\ntop_p = 0\n", 2, ["above 0, up to 1"]),
        ("[sampling]\nstop = [\n 'a',\n 1,\n]\n", 2, ["sampling.stop", "a list of texts"]),
        ("[sampling]\ngrammar = 'a'\njson_schema = 'b'\n", 3, ["a grammar is set as well"]),
        ("[[agents]]\nname = 'ada'\n\n[[agents]]\nname = 'b c'\n", 5, ["agents.1.name", "letters"]),
        ("[[agents]]\nname = 'a'\n[[agents]]\nname = 'A'\n", 4, ["two of them"]),
        ("[[agents]]\nname = 'all'\n", 2, ["'all'", "meaning of its own"]),
        ("[[agents]]\nsystem = 'x'\n", 1, ["'name' is missing"]),
        ("[[agents]]\nname = 'a'\ncolour = '#12'\n", 3, ["agents.0.colour", "#rrggbb"]),
        ("[[agents]]\nname='a'\nsampling={ temprature=1 }\n", 3, ["temprature", "'temperature'"]),
        ("[[agents]]\nname='a'\n[agents.sampling]\ntop_k='x'\n", 4, ["sampling.top_k"]),
        ("agents = []\n", 1, ["the list is empty"]),
        ("[ui.keys]\nsend = 3\n", 2, ["ui.keys.send", "Give a text"]),
        ("[ui]\nkeys = 3\n", 2, ["ui.keys", "a table of texts"]),
        ("[engine\n", 1, ["not TOML"]),
        ("[engine]\nn_ctx = \n", 2, ["not TOML"]),
        ("[engine]\nn_ctx = 1024\nn_ctx = 2048\n", 3, ["not TOML"]),
    ],
)
def test_faults_are_named_with_their_line(
    tmp_path: Path, text: str, line: int, words: list[str]
) -> None:
    error = refused(tmp_path, text)
    assert error.line == line
    assert error.file == str(tmp_path / "config.toml")
    assert f"config.toml:{line}: " in error.what
    assert error.remedy
    for word in words:
        assert word in str(error)


def test_text_that_looks_like_keys_is_not_taken_for_them(tmp_path: Path) -> None:
    text = '[[agents]]\nname = "a"\nsystem = """\n[engine]\nn_ctx = 1\n"""\n[engine]\nn_ctx = 5\n'
    assert refused(tmp_path, text).line == 8


@pytest.mark.parametrize(
    ("env", "words"),
    [
        ({"HALO_ENGINE_NCTX": "1024"}, ["HALO_ENGINE_NCTX", "'n_ctx'"]),
        ({"HALO_ENGINE_N_CTX": "lots"}, ["HALO_ENGINE_N_CTX", "'lots'", "whole number"]),
        ({"HALO_UI_THEME": ""}, []),
    ],
)
def test_environment(env: dict[str, str], words: list[str], tmp_path: Path) -> None:
    file = write(tmp_path, "")
    if not words:
        assert load(file, env=env).ui.theme == ""
        return
    with pytest.raises(ConfigError) as caught:
        load(file, env=env)
    assert caught.value.line == 0
    assert all(word in str(caught.value) for word in words)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("engine.n_ctx", ["section.key=value"]),
        ("n_ctx=3", ["section.key=value"]),
        ("engine.n_ctx=x", ["--set engine.n_ctx=x", "whole number"]),
        ("motor.n_ctx=3", ["no such section"]),
        ("agents.name=x", ["[[agents]]"]),
    ],
)
def test_overrides_that_do_not_fit(override: str, words: list[str], tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(write(tmp_path, ""), env={}, overrides=[override])
    assert all(word in str(caught.value) for word in words)


def test_a_file_that_is_not_utf8_or_not_a_file(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_bytes(b"[ui]\ntheme = '\xff'\n")
    with pytest.raises(ConfigError, match=r"config\.toml:2: the text is not UTF-8"):
        load(file, env={})
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path, env={})


def test_windows_line_ends_and_byte_order_mark(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_bytes("\ufeff[engine]\r\nn_ctx = 512\r\n".encode())
    assert load(file, env={}).engine.n_ctx == 512


def test_an_agents_sampling_goes_over_the_common_one() -> None:
    config = Config(sampling=Sampling(temperature=0.5, top_k=10))
    merged = config.sampling_for({"temperature": 0, "stop": ["x"]})
    assert merged == Sampling(temperature=0.0, top_k=10, stop=("x",))
    with pytest.raises(ConfigError, match="temprature"):
        config.sampling_for({"temprature": 0})


def test_the_settings_cross_to_the_core_unchanged() -> None:
    config = Config()
    config.engine.n_ctx = 4096
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(config), type=Config) == config


@given(
    st.sampled_from(["# x\n", "\n", "a = 1\n", "[t]\n", 's = """\nb = 1\n"""\n', "l = [\n1,\n]\n"]),
    st.integers(0, 5),
)
def test_the_line_of_a_key_is_where_it_stands(before: str, comments: int) -> None:
    text = before + "# note\n" * comments + "[wanted]\nkey = 1\n"
    import tomllib

    layer = Layer(tomllib.loads(text), "f", text)
    assert text.splitlines()[layer.line(("wanted", "key")) - 1] == "key = 1"


# --- changing the file ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", '[ui]\ntheme = "x"\n'),
        ("[ui]\nmouse = true\n", '[ui]\ntheme = "x"\nmouse = true\n'),
        ('[ui]\ntheme = "a#b"  # mine\n', '[ui]\ntheme = "x"  # mine\n'),
        ("# top\n[engine]\nn_ctx = 512", '# top\n[engine]\nn_ctx = 512\n\n[ui]\ntheme = "x"\n'),
        ('[ui]\ntheme = """\na"""\nmouse = true\n', '[ui]\ntheme = "x"\nmouse = true\n'),
    ],
)
def test_saving_a_value_changes_that_line_only(tmp_path: Path, before: str, after: str) -> None:
    file = write(tmp_path, before)
    save_value("ui.theme", "x", file)
    assert file.read_text() == after
    assert load(file, env={}).ui.theme == "x"
    assert [p.name for p in tmp_path.iterdir()] == ["config.toml"]


def test_saving_refuses_what_it_cannot_do_and_leaves_the_file(tmp_path: Path) -> None:
    file = write(tmp_path, 'ui = { theme = "a" }\n')
    with pytest.raises(ConfigError, match="by hand"):
        save_value("ui.theme", "x", file)
    with pytest.raises(ConfigError, match="no such key"):
        save_value("engine.colour", "x", file)
    assert file.read_text() == 'ui = { theme = "a" }\n'


def test_saving_makes_the_file_and_keeps_a_link(tmp_path: Path) -> None:
    made = tmp_path / "new" / "config.toml"
    save_value("ui.keys.quit", "ctrl+x", made)
    assert load(made, env={}).ui.keys == {"quit": "ctrl+x"}
    link = tmp_path / "link.toml"
    link.symlink_to(made)
    save_value("ui.mouse", False, link)
    assert link.is_symlink()
    assert not load(made, env={}).ui.mouse


@given(
    st.recursive(
        st.booleans()
        | st.integers(-(2**62), 2**62)
        | st.text()
        | st.floats(allow_nan=False, allow_infinity=False),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.text(min_size=1), inner, max_size=3)
        ),
        max_leaves=5,
    )
)
def test_dumped_values_are_toml(value: object) -> None:
    import tomllib

    assert tomllib.loads(f"v = {dump_value(value)}")["v"] == value

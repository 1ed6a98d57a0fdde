"""The settings: one schema whose defaults are those of config.toml.

`load` merges, in this order, the defaults, the user's file, HALO_<SECTION>_<KEY> variables and
`section.key=value` overrides, and names the place of whatever is wrong. Checking itself is in
`config_check`, so that this file reads as the schema.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from engine import paths, workers
from engine.config_check import Layer, assign, merge, parse_scalar, read_toml
from engine.errors import ConfigError
from engine.protocol import Sampling

CacheType = Literal["f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl"]
Whole = Annotated[int, msgspec.Meta(ge=0)]
AgentName = Annotated[str, msgspec.Meta(pattern=r"^\w[\w-]{0,31}$")]
COLOUR_PATTERN = r"^(#[0-9A-Fa-f]{3}|#[0-9A-Fa-f]{6}|[a-z][a-z0-9_]*)?$"
Colour = Annotated[str, msgspec.Meta(pattern=COLOUR_PATTERN)]

# What `Sampling`'s own types do not say; the wire accepts what the core can clamp, people's
# files are checked.
SAMPLING_TYPES: dict[str, Any] = {
    "temperature": Annotated[float, msgspec.Meta(ge=0, le=10)],
    "top_k": Whole,
    "top_p": Annotated[float, msgspec.Meta(gt=0, le=1)],
    "min_p": Annotated[float, msgspec.Meta(ge=0, le=1)],
    "repeat_penalty": Annotated[float, msgspec.Meta(gt=0, le=10)],
    "frequency_penalty": Annotated[float, msgspec.Meta(ge=-10, le=10)],
    "presence_penalty": Annotated[float, msgspec.Meta(ge=-10, le=10)],
    "penalty_last_n": Annotated[int, msgspec.Meta(ge=-1)],
    "loop_tokens": Annotated[int, msgspec.Meta(ge=0)],
    "seed": Annotated[int, msgspec.Meta(ge=-1, le=2**32 - 2)],
    "max_tokens": Annotated[int, msgspec.Meta(ge=1)],
    "logprobs": Annotated[int, msgspec.Meta(ge=0, le=20)],
}


class ModelConfig(msgspec.Struct, forbid_unknown_fields=True):
    """[model]: which GGUF file, and where to look for others."""

    path: str = ""
    folders: list[str] = msgspec.field(default_factory=lambda: ["~/models"])
    hf_cache: bool = True


class EngineConfig(msgspec.Struct, forbid_unknown_fields=True):
    """[engine]: the context and how the core works on it."""

    auto: bool = True  # what nobody sets is chosen for the machine (engine/auto)
    n_ctx: Annotated[int, msgspec.Meta(ge=0, le=2**24)] = 8192  # cells; 0 = as trained
    n_batch: Annotated[int, msgspec.Meta(ge=32, le=16384)] = 512
    n_ubatch: Annotated[int, msgspec.Meta(ge=32, le=16384)] = 512
    prefill_chunk: Annotated[int, msgspec.Meta(ge=16, le=16384)] = 256
    max_sessions: Annotated[int, msgspec.Meta(ge=1, le=256)] = 64
    threads: Annotated[int, msgspec.Meta(ge=0, le=512)] = 0
    threads_batch: Annotated[int, msgspec.Meta(ge=0, le=512)] = 0  # 0 = as threads
    type_k: CacheType = "f16"
    type_v: CacheType = "f16"
    flash_attention: Literal["auto", "on", "off"] = "auto"
    gpu_layers: Annotated[int, msgspec.Meta(ge=-1)] = -1
    rpc: list[str] = msgspec.field(default_factory=list)  # workers, "host:port"
    rpc_wait: Annotated[int, msgspec.Meta(ge=0, le=86400)] = 600  # seconds
    mmap: bool = True
    keep_closed: bool = True
    restarts: Annotated[int, msgspec.Meta(ge=0, le=60)] = 3


class CompactionConfig(msgspec.Struct, forbid_unknown_fields=True):
    """[compaction]: when old keys and values are replaced by fewer fitted ones, and how."""

    auto: bool = True
    threshold: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.85
    session_cells: Whole = 0  # a session's own limit; 0 = none
    method: Literal["am-attention", "am-omp", "evict-attention", "evict-recent"] = "am-omp"
    ratio: Annotated[float, msgspec.Meta(ge=0, le=1000)] = 0.0  # 0 = by max_error
    max_error: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.12
    warn_error: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.3
    max_ratio: Annotated[float, msgspec.Meta(ge=1, le=1000)] = 50.0
    beta: bool = True
    values: bool = True
    refine: bool = True
    keep_first: Whole = 4
    keep_recent: Annotated[int, msgspec.Meta(ge=1)] = 256
    min_span: Annotated[int, msgspec.Meta(ge=16)] = 256
    queries: Annotated[int, msgspec.Meta(ge=16, le=65536)] = 512
    study: Literal["recap", "off"] = "recap"
    study_tokens: Annotated[int, msgspec.Meta(ge=16, le=8192)] = 256
    study_samples: Annotated[int, msgspec.Meta(ge=0, le=16)] = 0  # 0 = by the span
    study_ahead: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.85  # of a limit; 1 = at the limit
    threads: Annotated[int, msgspec.Meta(ge=0, le=512)] = 0
    profile: str = ""  # a file of `halo-tui profile`: which heads need more cells


class SessionsConfig(msgspec.Struct, forbid_unknown_fields=True):
    """[sessions]: what is kept of sessions on disk, and where idle ones go when cells run short."""

    checkpoint: bool = True
    compress: bool = False
    swap: bool = True
    swap_memory_mib: Whole = 2048
    swap_disk_mib: Whole = 8192


class TelemetryConfig(msgspec.Struct, forbid_unknown_fields=True):
    """[telemetry]: how often the machine is looked at, and when to warn."""

    enabled: bool = True
    hz: Annotated[float, msgspec.Meta(ge=0.1, le=10)] = 1.0
    history: Annotated[int, msgspec.Meta(ge=30, le=86400)] = 300  # seconds
    warn_free: Annotated[float, msgspec.Meta(ge=0, le=0.5)] = 0.05  # share of the memory
    root: str = ""  # a recorded tree to read instead of /


class ExpertsModel(msgspec.Struct, forbid_unknown_fields=True):
    """One of [experts.models]: what differs for models whose architecture or name fits."""

    bonus: Annotated[float, msgspec.Meta(ge=-1, le=10)] = -1.0
    keep_top: Whole = 0


class ExpertsConfig(msgspec.Struct, forbid_unknown_fields=True):
    """[experts]: which experts of a mixture-of-experts model agents share while they decode."""

    policy: Literal["off", "static", "cache"] = "off"
    bonus: Annotated[float, msgspec.Meta(ge=-1, le=10)] = -1.0  # -1 = the model's own
    keep_top: Whole = 0  # 0 = the model's own
    recency: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.25
    min_agents: Annotated[int, msgspec.Meta(ge=1, le=64)] = 2
    guard: bool = True
    max_mass: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.15
    max_kl: Annotated[float, msgspec.Meta(gt=0, le=100)] = 0.02
    sample_every: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 64
    models: dict[str, ExpertsModel] = msgspec.field(default_factory=dict)


ENTITY_TYPES = (
    "person organisation location product event date quantity topic creative_work misc "
    "hardware gpu_feature optimization_technique algorithm software_framework performance_metric "
    "memory_pattern kernel_operation model_architecture constraint data_structure research_paper"
).split()
RELATION_TYPES = (
    "WORKS_AT LIVES_IN COMES_FROM KNOWS RELATED_TO LIKES DISLIKES OWNS MEMBER_OF LOCATED_IN "
    "BORN_ON PART_OF CREATED USES PLANS HAPPENED_ON VISITED STUDIES "
    "TARGETS IS_FEATURE_OF IMPLEMENTS IMPROVES REDUCES MEASURES LIMITS IS_PART_OF BUILDS_ON "
    "EXTENDS ENABLES REQUIRES INTRODUCES VALIDATES COMPETES_WITH OPTIMIZES ELIMINATES "
    "COULD_IMPROVE PORTS_TO"
).split()
TypeName = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,63}$")]


class MemoryConfig(msgspec.Struct, forbid_unknown_fields=True):
    """[memory]: what is remembered of what was said, where, and how agents get it."""

    enabled: bool = True
    url: str = ""  # "" = embedded in the data folder
    tls_ca: str = ""  # a CA file for falkors:// addresses
    your_name: str = ""
    extractor: str = ""  # folders; "" = those shipped
    embedder: str = ""
    threads: Annotated[int, msgspec.Meta(ge=1, le=64)] = 2
    min_confidence: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.5
    learn_from_agents: Literal["auto", "on", "off"] = "auto"
    auto_recall: Literal["auto", "on", "off"] = "auto"
    recall_tokens: Annotated[int, msgspec.Meta(ge=32, le=65536)] = 320
    query_seconds: Annotated[float, msgspec.Meta(gt=0, le=600)] = 5.0
    entity_types: list[TypeName] = msgspec.field(default_factory=lambda: list(ENTITY_TYPES))
    relation_types: list[TypeName] = msgspec.field(default_factory=lambda: list(RELATION_TYPES))
    functional: list[TypeName] = msgspec.field(
        default_factory=lambda: ["WORKS_AT", "LIVES_IN", "BORN_ON"]
    )
    opposites: list[str] = msgspec.field(default_factory=lambda: ["LIKES/DISLIKES"])


class ChatConfig(msgspec.Struct, forbid_unknown_fields=True):
    """[chat]: how people and agents talk."""

    handover_limit: Annotated[int, msgspec.Meta(ge=0, le=100)] = 4
    thinking: bool = True
    default_agent: str = ""


class ToolsConfig(msgspec.Struct, forbid_unknown_fields=True):
    """[tools]: what agents may call while they answer, and how far they may go with it."""

    offer: Literal["auto", "on", "off"] = "auto"
    choice: Literal["auto", "required"] = "auto"
    max_calls: Annotated[int, msgspec.Meta(ge=0, le=100)] = 4  # of one answer
    seconds: Annotated[float, msgspec.Meta(gt=0, le=600)] = 10.0  # of one call
    result_tokens: Annotated[int, msgspec.Meta(ge=64, le=65536)] = 512  # of one result


class AgentConfig(msgspec.Struct, forbid_unknown_fields=True):
    """[[agents]]: one agent of the first start."""

    name: AgentName
    system: str = ""
    colour: Colour = ""
    tools: list[str] = msgspec.field(default_factory=list)  # names of agents/tools
    sampling: dict[str, Any] = msgspec.field(default_factory=dict)  # keys of [sampling]
    memory: Literal["shared", "own", "sealed", "off"] = "shared"


class UiConfig(msgspec.Struct, forbid_unknown_fields=True):
    """[ui]: what the app looks like and how often it draws."""

    theme: str = "halo-dark"
    markdown_fps: Annotated[int, msgspec.Meta(ge=1, le=60)] = 10
    cell_map_hz: Annotated[int, msgspec.Meta(ge=1, le=10)] = 4
    notify: bool = True
    mouse: bool = True
    grid_columns: Annotated[int, msgspec.Meta(ge=0, le=6)] = 0
    history_window: Annotated[int, msgspec.Meta(ge=10, le=1000)] = 40
    keys: dict[str, str] = msgspec.field(default_factory=dict)


def _default_agents() -> list[AgentConfig]:
    people = (("ada", "cyan"), ("grace", "magenta"), ("alan", "yellow"))
    return [
        AgentConfig(
            name,
            f"You are {name.capitalize()}, a helpful assistant.",
            colour,
            ["recall", "now"],
        )
        for name, colour in people
    ]


class Config(msgspec.Struct, forbid_unknown_fields=True):
    """All settings. `sources` and `file` say where they came from and are no settings."""

    model: ModelConfig = msgspec.field(default_factory=ModelConfig)
    engine: EngineConfig = msgspec.field(default_factory=EngineConfig)
    sampling: Sampling = msgspec.field(default_factory=Sampling)
    compaction: CompactionConfig = msgspec.field(default_factory=CompactionConfig)
    experts: ExpertsConfig = msgspec.field(default_factory=ExpertsConfig)
    sessions: SessionsConfig = msgspec.field(default_factory=SessionsConfig)
    telemetry: TelemetryConfig = msgspec.field(default_factory=TelemetryConfig)
    memory: MemoryConfig = msgspec.field(default_factory=MemoryConfig)
    chat: ChatConfig = msgspec.field(default_factory=ChatConfig)
    tools: ToolsConfig = msgspec.field(default_factory=ToolsConfig)
    agents: list[AgentConfig] = msgspec.field(default_factory=_default_agents)
    ui: UiConfig = msgspec.field(default_factory=UiConfig)
    sources: dict[str, str] = msgspec.field(default_factory=dict)  # "engine.n_ctx" -> place
    file: str = ""  # the user's file that was read, "" when there was none

    def source(self, key: str) -> str:
        """Where the value of `key` ("engine.n_ctx") came from; "default" if nobody set it."""
        return self.sources.get(key, "default")

    def sampling_for(self, overrides: Mapping[str, Any]) -> Sampling:
        """[sampling] with an agent's own keys on top. Raises ConfigError on unknown ones."""
        return merge_sampling(self.sampling, overrides)


SECTIONS: dict[str, type[msgspec.Struct]] = {
    "model": ModelConfig,
    "engine": EngineConfig,
    "sampling": Sampling,
    "compaction": CompactionConfig,
    "experts": ExpertsConfig,
    "sessions": SessionsConfig,
    "telemetry": TelemetryConfig,
    "memory": MemoryConfig,
    "chat": ChatConfig,
    "tools": ToolsConfig,
    "ui": UiConfig,
}

# What a layer may contain, as `config_check` walks it.
SCHEMA: dict[str, Any] = {**SECTIONS, "agents": list[AgentConfig]}
TYPES: dict[tuple[str, str], Any] = {
    **{("Sampling", key): kind for key, kind in SAMPLING_TYPES.items()},
    ("AgentConfig", "sampling"): Sampling,
}


def merge_sampling(base: Sampling, overrides: Mapping[str, Any]) -> Sampling:
    """`base` with some of its keys replaced; the values are checked as those of a file are."""
    layer = Layer({"sampling": dict(overrides)}, "the agent's sampling")
    layer.check(SCHEMA, TYPES)
    return msgspec.convert({**msgspec.to_builtins(_full(base)), **overrides}, Sampling)


def _full(sampling: Sampling) -> dict[str, Any]:
    # to_builtins leaves defaults out (omit_defaults keeps frames small); here all are wanted.
    return {name: getattr(sampling, name) for name in Sampling.__struct_fields__}


def load(
    path: Path | str | None = None,
    env: Mapping[str, str] | None = None,
    overrides: Iterable[str] = (),
) -> Config:
    """Read the settings.

    `path` None means the user's own file, which need not exist; a path that was asked for must.
    `overrides` are `section.key=value` texts. Raises ConfigError, which names file and line.
    """
    asked = path is not None
    file = Path(path).expanduser() if path is not None else paths.config_file()
    layers: list[Layer] = []
    if asked or file.exists():
        layers.append(read_toml(file))
    layers.extend(_environment(os.environ if env is None else env))
    layers.extend(_override(text) for text in overrides)

    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for layer in layers:
        layer.check(SCHEMA, TYPES)
        merge(values, layer.values)
        sources.update(layer.sources())
    return together(values, sources, str(file) if asked or file.exists() else "")


def together(values: dict[str, Any], sources: dict[str, str], file: str) -> Config:
    """Settings of checked layers. Raises ConfigError for what only several keys can tell."""
    config = msgspec.convert(values, Config)
    config.sources = sources
    config.file = file
    _check_together(config)
    return config


def _check_together(config: Config) -> None:
    """What no single key can tell."""
    engine = config.engine
    if 0 < engine.n_ctx < 256:
        raise _refuse(
            config,
            "engine.n_ctx",
            f"{engine.n_ctx} is too small",
            "Give at least 256 cells, or 0 for the model's trained length.",
        )
    if engine.n_ubatch > engine.n_batch:
        raise _refuse(
            config,
            "engine.n_ubatch",
            f"{engine.n_ubatch} is more than n_batch",
            f"Set it to {engine.n_batch} or less, or raise engine.n_batch.",
        )
    if engine.flash_attention == "off" and engine.type_v not in ("f32", "f16", "bf16"):
        raise _refuse(
            config,
            "engine.type_v",
            f"'{engine.type_v}' needs flash attention",
            'Set engine.flash_attention to "auto", or engine.type_v to "f16".',
        )
    try:
        workers.check(engine.rpc)
    except ValueError as error:
        raise _refuse(
            config, "engine.rpc", str(error), 'For example: rpc = ["10.0.0.2:50052"].'
        ) from None
    if config.sampling.grammar and config.sampling.json_schema:
        raise _refuse(
            config, "sampling.json_schema", "a grammar is set as well", "Keep one of the two."
        )
    if not config.agents:
        raise _refuse(config, "agents", "the list is empty", "Define at least one [[agents]].")
    seen: set[str] = set()
    for index, agent in enumerate(config.agents):
        name = agent.name.casefold()
        if name in seen or name in ("all", "you"):
            why = "there are two of them" if name in seen else "it has a meaning of its own"
            raise _refuse(
                config,
                f"agents.{index}.name",
                f"'{agent.name}' cannot be used, {why}",
                "Choose another name.",
            )
        seen.add(name)
        if agent.sampling.get("grammar") and agent.sampling.get("json_schema"):
            raise _refuse(
                config,
                f"agents.{index}.sampling",
                "has a grammar and a JSON schema",
                "Keep one of the two.",
            )
    if config.chat.default_agent and config.chat.default_agent.casefold() not in seen:
        # The app may know more agents by then, so this is only checked for what cannot be a name.
        name = config.chat.default_agent
        if not name.replace("-", "").replace("_", "").isalnum():
            raise _refuse(
                config,
                "chat.default_agent",
                f"'{name}' is no agent's name",
                "Use letters, digits, - and _.",
            )


def _refuse(config: Config, key: str, why: str, remedy: str) -> ConfigError:
    place = config.sources.get(key) or config.sources.get(key.split(".")[0], "")
    file, _, line = place.rpartition(":")
    if not (file and line.isdigit()):
        file, line = place, "0"
    where = f"{place}: " if place else ""
    return ConfigError(f"{where}{key}: {why}.", remedy, file=file, line=int(line))


def _environment(env: Mapping[str, str]) -> Iterable[Layer]:
    """One layer for each HALO_<SECTION>_<KEY>; others that begin with HALO_ are not ours."""
    for variable, text in sorted(env.items()):
        for section, struct in SECTIONS.items():
            prefix = f"HALO_{section.upper()}_"
            if not variable.startswith(prefix):
                continue
            key = variable.removeprefix(prefix).lower()
            value = parse_scalar(text, TYPES.get((struct.__name__, key)) or _type(struct, key))
            yield Layer({section: {key: value}}, f"environment variable {variable}")


def _override(text: str) -> Layer:
    key, equals, value = text.partition("=")
    parts = key.strip().split(".")
    if not equals or len(parts) < 2 or not all(parts):
        raise ConfigError(
            f"--set {text}: this is not section.key=value.",
            "Write for example --set engine.n_ctx=4096.",
        )
    section, name = parts[0], parts[1]
    if section == "agents":
        raise ConfigError(
            f"--set {text}: agents cannot be set one key at a time.",
            "Define them as [[agents]] in a file and pass it with --config.",
        )
    kind: Any = None
    if section in SECTIONS:
        struct = SECTIONS[section]
        kind = str if len(parts) > 2 else TYPES.get((struct.__name__, name)) or _type(struct, name)
    values: dict[str, Any] = {}
    assign(values, parts, parse_scalar(value, kind))
    return Layer(values, f"--set {text}")


def _type(struct: type[msgspec.Struct], key: str) -> Any:
    return next((f.type for f in msgspec.structs.fields(struct) if f.name == key), None)

"""Models on this machine: which there are, what a file contains, where a name leads."""

from __future__ import annotations

import difflib
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from engine.config import Config
from engine.core.preflight import Header, read_header, read_tensor_table
from engine.errors import HaloError, ModelError

MINI = Path(__file__).parent / "assets" / "halo-mini.gguf"
MINI_NAME = "halo-mini"
DEPTH = 6  # folders below a configured one that are looked into


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A GGUF file found on this machine; `problem` says why it cannot be used, if so."""

    name: str
    path: Path
    size: int  # bytes, all parts
    source: str  # ships with halo-tui | folder | hugging face cache
    problem: str = ""


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What a GGUF file says of itself."""

    name: str
    path: str
    architecture: str
    parameters: int
    quantisation: str  # type that most of the weights have
    bytes_on_disk: int
    layers: int
    n_ctx_train: int
    n_embd: int
    n_head: int
    n_head_kv: int
    experts: int
    experts_used: int
    sliding_window: int
    chat_template: bool
    licence: str
    kv_bytes_per_cell_f16: int
    kv_bytes_per_cell_q8_0: int


def info(path: Path | str) -> ModelInfo:
    """Read a file's metadata and tensor table; loads nothing. Raises ModelError."""
    header = read_header(Path(path).expanduser())
    table = read_tensor_table(header)
    by_type: Counter[int] = Counter()
    for _, elements, kind in table:
        by_type[kind] += elements
    values = header.values
    return ModelInfo(
        name=str(values.get("general.name") or header.path.stem),
        path=str(header.path),
        architecture=header.architecture,
        parameters=sum(by_type.values()),
        quantisation=_type_name(by_type.most_common(1)[0][0]) if by_type else "none",
        bytes_on_disk=header.bytes_on_disk,
        layers=header.number("block_count"),
        n_ctx_train=header.number("context_length"),
        n_embd=header.number("embedding_length"),
        n_head=header.number("attention.head_count"),
        n_head_kv=header.number("attention.head_count_kv"),
        experts=header.number("expert_count"),
        experts_used=header.number("expert_used_count"),
        sliding_window=header.number("attention.sliding_window"),
        chat_template=bool(values.get("tokenizer.chat_template")),
        licence=str(values.get("general.license", "not stated")),
        kv_bytes_per_cell_f16=header.kv_bytes_per_cell("f16", "f16"),
        kv_bytes_per_cell_q8_0=header.kv_bytes_per_cell("q8_0", "q8_0"),
    )


def _type_name(kind: int) -> str:
    from gguf import GGMLQuantizationType

    try:
        return str(GGMLQuantizationType(kind).name)
    except ValueError:
        return f"type {kind}"


def list_models(config: Config) -> list[ModelFile]:
    """halo-mini, then the configured folders, then the Hugging Face cache; each file once.

    Broken files are listed with their problem. Projectors (mmproj) and later parts of split
    models are left out.
    """
    found = [_entry(MINI, "ships with halo-tui", MINI_NAME)]
    places = [(Path(folder).expanduser(), "folder") for folder in config.model.folders]
    if config.model.hf_cache:
        places.append((hub_cache(), "hugging face cache"))
    seen = {MINI.resolve()}
    for folder, source in places:
        for path in sorted(_gguf_files(folder)):
            real = path.resolve()
            if real not in seen:
                seen.add(real)
                found.append(_entry(path, source))
    return found


def hub_cache() -> Path:
    """Where huggingface_hub keeps files; read from the environment without importing it."""
    if cache := os.environ.get("HF_HUB_CACHE"):
        return Path(cache).expanduser()
    base = (
        os.environ.get("HF_HOME")
        or Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")) / "huggingface"
    )
    return Path(base).expanduser() / "hub"


def _gguf_files(folder: Path) -> Iterator[Path]:
    if not folder.is_dir():
        return
    base = len(folder.parts)
    for root, folders, names in os.walk(folder, followlinks=False):
        if len(Path(root).parts) - base >= DEPTH:
            folders.clear()
        for name in names:
            low = name.lower()
            later_part = "-of-" in low and "-00001-of-" not in low
            if low.endswith(".gguf") and not low.startswith("mmproj") and not later_part:
                yield Path(root) / name


def _entry(path: Path, source: str, name: str = "") -> ModelFile:
    try:
        header = read_header(path)
        return ModelFile(name or _label(header), path, header.bytes_on_disk, source)
    except HaloError as error:
        size = path.stat().st_size if path.exists() else 0
        return ModelFile(name or path.stem, path, size, source, error.what)


def _label(header: Header) -> str:
    return header.path.stem


def resolve(name: str, config: Config) -> Path:
    """The file a person means: "" or halo-mini, a path, or the name of a listed model.

    Raises ModelError with near names when there is none.
    """
    if name in ("", MINI_NAME):
        return MINI
    path = Path(name).expanduser()
    if path.exists():
        return path
    files = list_models(config)
    for file in files:
        if name.lower() in (file.name.lower(), file.path.name.lower()):
            return file.path
    meant = near(name, [file.name for file in files])
    hint = f"Did you mean {meant[0]}?" if meant else "`halo-tui models list` shows what there is."
    raise ModelError(f"There is no model '{name}' on this machine.", hint)


def near(name: str, names: Iterable[str]) -> list[str]:
    """Those of `names` that contain `name` or look like it, the nearest first; three at most."""
    lower = {known.lower(): known for known in names}
    name = name.lower()
    found = [known for low, known in lower.items() if len(name) > 1 and name in low]
    like = difflib.get_close_matches(name, lower, n=3, cutoff=0.4)
    return list(dict.fromkeys([*found, *(lower[low] for low in like)]))[:3]

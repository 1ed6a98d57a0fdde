"""GLiNER small with random weights, to be timed: its graph ships, its weights are made here."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from agents.memory.embed import SHIPPED as WORD_PIECES
from agents.memory.extract.gliner import GlinerExtractor
from engine.config import ENTITY_TYPES
from engine.errors import HaloError

SHAPE = Path(__file__).parents[2] / "assets" / "gliner-small-shape"
_CHUNK = 1 << 20  # numbers written at once


def load(cache: Path, threads: int) -> GlinerExtractor:
    """The peer, asked for the types of the schema; `cache` gets its weights (260 MB on disk).

    Word pieces are those of the shipped tokenizer, so that both contenders read the same tokens.
    Its spans are computed but none is told: sorting what random weights take for names is no work
    of a trained model. Its threads spin, as ONNX Runtime has it.
    """
    folder = cache / "gliner-small-shape"
    layout = json.loads((SHAPE / "gliner_config.json").read_text())["weights"]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("model.onnx", "gliner_config.json"):
            shutil.copyfile(SHAPE / name, folder / name)
        tokenizer = Tokenizer.from_file(str(WORD_PIECES / "tokenizer.json"))
        tokenizer.add_special_tokens(["<<ENT>>", "<<SEP>>"])
        tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
        weights = folder / "weights.bin"
        stamp = folder / "layout.json"
        if not stamp.is_file() or json.loads(stamp.read_text()) != layout or not weights.is_file():
            stamp.unlink(missing_ok=True)
            _write(weights, layout)
            stamp.write_text(json.dumps(layout))
    except OSError as error:
        raise HaloError(
            f"The weights of the peer cannot be written to {folder}: {error.strerror}.",
            "Free 260 MB there, or set XDG_CACHE_HOME to another disk.",
        ) from error
    return GlinerExtractor(folder, threads, ENTITY_TYPES, threshold=1.0, spin=True)


def _write(path: Path, layout: dict) -> None:
    """Normal numbers, scaled by the width; word vectors are a hole in the file, read as zeros."""
    random = np.random.default_rng(0)
    with path.open("wb") as file:
        for offset, size, scale in layout["random"]:
            file.seek(offset)
            left = size // 4
            while left:
                count = min(left, _CHUNK)
                numbers = random.standard_normal(count, np.float32) * np.float32(scale)
                file.write(numbers.tobytes())
                left -= count
        file.truncate(layout["bytes"])

"""Trained weights in files small enough to travel: word vectors as int8 by row, the rest float16."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from training.extractor.model import Config, Extractor

LARGEST = 16_500_000  # bytes in one file


def save(m: Extractor, folder: str) -> None:
    """Writes `words.safetensors`, `part0.safetensors` … and `model.json` into a folder."""
    out = Path(folder)
    out.mkdir(parents=True, exist_ok=True)
    for old in out.glob("*.safetensors"):
        old.unlink()
    state = {k: v.detach().float().cpu() for k, v in m.state_dict().items()}
    table = state.pop("bert.words.weight", None)
    if table is not None:
        scale = table.abs().amax(1, keepdim=True).clamp_min(1e-8) / 127
        save_file(
            {"q": (table / scale).round().to(torch.int8), "scale": scale}, out / "words.safetensors"
        )
    part: dict[str, torch.Tensor] = {}
    size = number = 0
    for name in sorted(state):
        value = state[name].half()
        if part and size + value.numel() * 2 > LARGEST:
            save_file(part, out / f"part{number}.safetensors")
            part, size, number = {}, 0, number + 1
        part[name] = value.contiguous()
        size += value.numel() * 2
    save_file(part, out / f"part{number}.safetensors")
    (out / "model.json").write_text(json.dumps(m.c.to_dict()), encoding="utf-8")


def load(folder: str) -> Extractor:
    """The model that `save` wrote."""
    path = Path(folder)
    m = Extractor(Config(**json.loads((path / "model.json").read_text("utf-8"))))
    state: dict[str, torch.Tensor] = {}
    for part in sorted(path.glob("part*.safetensors")):
        state |= {k: v.float() for k, v in load_file(part).items()}
    if (path / "words.safetensors").is_file():
        words = load_file(path / "words.safetensors")
        state["bert.words.weight"] = words["q"].float() * words["scale"]
    m.load_state_dict(state)
    return m.eval()

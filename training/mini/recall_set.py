"""Writes the dialogues that `halo-tui bench compaction --recall` asks about: names held out."""

from __future__ import annotations

import argparse
import gzip
import json

from training.mini import generator

SETS = {2000: (24, 8), 6000: (10, 12)}  # tokens: dialogues, facts told first
FIRST_SEED = 5000


def questions(dialogue: list[dict]) -> tuple[list[dict], list[list]]:
    """The messages before the first question, and each question about a fact with its answers."""
    kinds = (None, "ack", "filler", "outside", "self")
    first = next(i for i, m in enumerate(dialogue) if m.get("kind") not in kinds) - 1
    asked = [
        [dialogue[i - 1]["content"], dialogue[i]["answer"]]
        for i in range(first + 1, len(dialogue), 2)
        if dialogue[i].get("answer") and dialogue[i]["kind"] not in generator.NOT_RECALL
    ]
    return dialogue[:first], asked


def main() -> None:
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("--out", default="engine/assets/recall.json.gz")
    a = ap.parse_args()
    out: dict[str, list] = {}
    for tokens, (count, told) in SETS.items():
        out[str(tokens)] = []
        seed = FIRST_SEED
        while len(out[str(tokens)]) < count:
            seed += 1
            messages, asked = questions(
                generator.dialogue(
                    seed, target_tokens=tokens, split="heldout", mode="gap", told=told
                )
            )
            if len(asked) >= 4:
                out[str(tokens)].append(
                    {
                        "messages": [[m["role"], m["content"]] for m in messages],
                        "questions": asked[:16],
                    }
                )
    with gzip.GzipFile(a.out, "wb", mtime=0) as f:  # the same bytes every time
        f.write(json.dumps(out, ensure_ascii=False).encode())


if __name__ == "__main__":
    main()

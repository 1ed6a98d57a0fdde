"""Makes the training set: public sentences, copies with other names, generated messages and posts.

    python -m training.extractor.prepare --data FOLDER --out training/out/all
    python -m training.extractor.prepare --data FOLDER --out training/out/hold --hold-out

`rows.pt` holds arrays by length, ready for the device; `exams.pkl` what is measured.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import random
import time
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from itertools import chain

import numpy as np
import torch

from training.extractor import encode, posts, public, schema
from training.extractor.encode import Encoded
from training.extractor.gazetteer import NAMES
from training.extractor.generator import Generator, held

LENGTHS = (16, 32, 48, 64, 96, 128, 192)
MOST_MENTIONS, MOST_RELATIONS, MOST_IGNORED = 20, 48, 96
GROUPS = ("generated", "posts", "wnut", "wnut_swapped", "crossner", "crossner_swapped", "redocred")
Packed = dict[int, dict[str, np.ndarray]]
_tok = None


def _start(path: str) -> None:
    global _tok
    _tok = encode.tokenizer(path)


def _encode(examples: list[public.Example]) -> list[Encoded]:
    return [e for e in (encode.encode(_tok, x) for x in examples) if e is not None]


def _generate(job: tuple[int, int, str, dict, bool]) -> list[Encoded]:
    seed, count, split, extra, as_posts = job
    g = Generator(seed, split, extra)
    make = g.posts.example if as_posts else g.example
    return _encode([make() for _ in range(count)])


def _rows(job: tuple[str, tuple]) -> Packed:
    """Rows of one group, packed where they are made."""
    group, (what, *rest) = job
    if what == "generate":
        found = _generate(tuple(rest))  # type: ignore[arg-type]
    elif what == "swap":
        seed, pairs, pools = rest
        r = random.Random(seed)
        found = _encode([posts.swapped(e, kinds, pools, r) for e, kinds in pairs])
    else:
        found = _encode(rest[0])
    return pack(GROUPS.index(group), found)


def flat(lists: Iterable[list]) -> list:
    return list(chain.from_iterable(lists))


def harvest(examples: list[public.Example]) -> dict[str, set[str]]:
    """Names by type from public sentences: they fill the templates too."""
    found: dict[str, set[str]] = {}
    for e in examples:
        for a, b, kind in e.spans:
            text = e.text[a:b]
            if kind and 2 < len(text) < 40 and not any(c in text for c in '@#/"()'):
                found.setdefault(kind, set()).add(text)
    return found


def pools(pairs: list[tuple[public.Example, list[str]]]) -> dict[str, list[str]]:
    """What each of a data set's own types is called in it."""
    found: dict[str, set[str]] = {}
    for e, kinds in pairs:
        for (a, b, _), kind in zip(e.spans, kinds, strict=True):
            found.setdefault(kind, set()).add(e.text[a:b])
    return {k: sorted(v) for k, v in found.items()}


def pack(group: int, rows: list[Encoded]) -> Packed:
    """By length: ids, shapes, labels [n, t]; spans [n, m, 2]; relations, ignored [n, k], -1 where none."""
    by: dict[int, list[Encoded]] = {t: [] for t in LENGTHS}
    for e in rows:
        by[next(t for t in LENGTHS if len(e.ids) <= t)].append(e)
    out = {}
    for t, some in by.items():
        n = len(some)
        if not n:
            continue
        a = {
            "ids": np.zeros((n, t), np.int16), "shapes": np.zeros((n, t), np.int8), "labels": np.full((n, t), -100, np.int16),
            "length": np.zeros(n, np.int16), "spans": np.zeros((n, MOST_MENTIONS, 2), np.int16),
            "relations": np.full((n, MOST_RELATIONS), -1, np.int16), "ignored": np.full((n, MOST_IGNORED), -1, np.int16),
            "source": np.zeros(n, np.int8), "related": np.zeros(n, bool), "group": np.full(n, group, np.int8),
        }  # fmt: skip
        for i, e in enumerate(some):
            k = len(e.ids)
            a["ids"][i, :k], a["shapes"][i, :k], a["labels"][i, :k], a["length"][i] = (
                e.ids,
                e.shapes,
                e.labels,
                k,
            )
            a["source"][i] = schema.SOURCES.index(e.source)
            m = min(MOST_MENTIONS, len(e.mentions))
            if m:
                a["spans"][i, :m] = e.mentions[:m]
            told = [
                (h * MOST_MENTIONS + j) * len(schema.RELATION_TYPES) + r
                for h, r, j in e.relations
                if h < m and j < m and h != j
            ][:MOST_RELATIONS]
            a["relations"][i, : len(told)] = told
            left = [h * MOST_MENTIONS + j for h, j in sorted(set(e.ignored)) if h < m and j < m]
            a["related"][i] = e.related and len(left) <= MOST_IGNORED
            a["ignored"][i, : len(left)] = left[:MOST_IGNORED]
        out[t] = a
    return out


def joined(parts: Iterable[Packed]) -> dict[int, dict[str, torch.Tensor]]:
    by: dict[int, list[dict[str, np.ndarray]]] = {}
    for part in parts:
        for t, a in part.items():
            by.setdefault(t, []).append(a)
    return {
        t: {k: torch.from_numpy(np.concatenate([a[k] for a in some])) for k in some[0]}
        for t, some in by.items()
    }


def main() -> None:
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("--data", default="../shared/data", help="folder of the labelled public data")
    ap.add_argument("--tokenizer", default="training/out/minilm-tokenizer.json")
    ap.add_argument("--out", default="training/out/all")
    ap.add_argument("--hold-out", action="store_true")
    ap.add_argument("--generated", type=int, default=160000)
    ap.add_argument("--posts", type=int, default=40000)
    ap.add_argument(
        "--copies", type=int, default=8, help="of each public sentence, with other names"
    )
    ap.add_argument("--processes", type=int, default=4)
    ap.add_argument("--seed", type=int, default=1)
    a = ap.parse_args()
    begin = time.time()
    root = public.folder(a.data)
    hold = a.hold_out
    pairs = {
        "wnut": public.wnut_kinds(root, "train"),
        "crossner": public.crossner_kinds(root, "train"),
    }
    if not hold:
        pairs["wnut"] += public.wnut_kinds(root, "dev")
        pairs["crossner"] += public.crossner_kinds(root, "dev")
    docs = public.redocred(root)
    kept = docs[::10] if hold else []
    docs = [d for i, d in enumerate(docs) if not hold or i % 10]
    extra = harvest([e for some in pairs.values() for e, _ in some] + docs)
    split = "train" if hold else "all"
    named = harvest(docs)
    swaps = {}
    for name, some in pairs.items():
        found = pools(some)
        if name == "wnut":
            for kind, words in NAMES.items():
                kind = {"creative_work": "creative-work"}.get(kind, kind)
                found[kind] = [
                    *found.get(kind, []) * 2,
                    *(w for w in words if not hold or not held(w)),
                ]
        for kind in ("person", "organisation", "location"):
            if name == "crossner":
                found[kind] = [*found.get(kind, []), *sorted(named.get(kind, set()))]
        swaps[name] = found
    with ProcessPoolExecutor(a.processes, initializer=_start, initargs=(a.tokenizer,)) as pool:
        chunk = 1000
        jobs: list[tuple[str, tuple]] = []
        for i in range(a.generated // chunk):
            jobs.append(("generated", ("generate", a.seed * 1000 + i, chunk, split, extra, False)))
        for i in range(a.posts // chunk):
            jobs.append(("posts", ("generate", a.seed * 1000 + 500 + i, chunk, split, extra, True)))
        for name, some in pairs.items():
            for i in range(0, len(some), 300):
                part = some[i : i + 300]
                jobs.append((name, ("read", [e for e, _ in part])))
                for copy in range(a.copies):
                    jobs.append((f"{name}_swapped", ("swap", i * 100 + copy, part, swaps[name])))
        for i in range(0, len(docs), 300):
            jobs.append(("redocred", ("read", docs[i : i + 300])))
        made = pool.map(_rows, jobs)
        exams = {
            "generated_heldout": pool.map(_encode, [public.exam()]),
            "generated_new": pool.map(_generate, [(7, 1500, "heldout", {}, False)]),
            "posts_heldout": pool.map(_generate, [(8, 1000, "heldout", {}, True)]),
        }
        if hold:
            exams["redocred_tenth"] = pool.map(_encode, [kept])
            exams["wnut"] = pool.map(_encode, [[e for e, _ in public.wnut_kinds(root, "dev")]])
            for d, some in public.crossner(root, "dev").items():
                exams[f"crossner-{d}"] = pool.map(_encode, [some])
        rows = joined(made)
        measured = {k: flat(v) for k, v in exams.items()}
    os.makedirs(a.out, exist_ok=True)
    torch.save(rows, f"{a.out}/rows.pt")
    with open(f"{a.out}/exams.pkl", "wb") as f:
        pickle.dump(measured, f)
    groups = torch.cat([s["group"] for s in rows.values()])
    count = {name: int((groups == i).sum()) for i, name in enumerate(GROUPS)}
    print(
        json.dumps(
            {
                **count,
                "exams": {k: len(v) for k, v in measured.items()},
                "seconds": round(time.time() - begin, 1),
            }
        )
    )


if __name__ == "__main__":
    main()

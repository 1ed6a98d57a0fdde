"""Measures exact recall on held-out dialogues, in PyTorch or llama.cpp.

In llama.cpp a reply counts when it holds every expected string as whole words. In PyTorch the whole
reply must be the expected one: every token is the model's first choice given the text before it, which
is what greedy decoding would write. Either way the context holds the reference replies.
"""

from __future__ import annotations

import argparse
import json
import re
import time
from collections import defaultdict
from collections.abc import Callable

from training.mini import generator

CHATML = "<|im_start|>{role}\n{content}<|im_end|>\n"


def holds(reply: str, answer: list[str]) -> bool:
    """Whether every answer string stands in the reply as whole words."""
    return all(re.search(rf"(?<!\w){re.escape(a)}(?!\w)", reply) for a in answer)


def summarise(rows: list[tuple[str, bool]]) -> dict:
    """Shares right: over all recalled facts, for never-told and outside questions, and by kind."""
    by: dict[str, list[bool]] = defaultdict(list)
    for kind, ok in rows:
        by[kind].append(ok)
    recall = [ok for kind, ok in rows if kind not in generator.NOT_RECALL]

    def share(v: list[bool]) -> float | None:
        return round(sum(v) / len(v), 4) if v else None

    return {
        "recall": share(recall),
        "questions": len(recall),
        "never_told": share(by["never"]),
        "outside": share(by["outside"]),
        "by_kind": {
            k: [share(v), len(v)] for k, v in sorted(by.items()) if k not in generator.NOT_RECALL
        },
    }


def torch_rows(
    checkpoint: str, tokenizer: str, dialogues: list[list[dict]]
) -> tuple[list[tuple[str, bool]], list[int]]:
    """One forward pass a dialogue."""
    import torch

    from training.mini.model import load
    from training.mini.tokenizer import Chat

    chat, (m, _) = Chat(tokenizer), load(checkpoint)
    rows, lengths = [], []
    with torch.no_grad():
        for d in dialogues:
            ids, _, spans = chat.encode(d, m.c.context)
            x = torch.tensor(ids)
            lengths.append(len(ids))
            h = m.hidden(x[None])[0]
            for a, b, msg in spans:
                if msg["kind"] in ("ack", "filler"):
                    continue
                rows.append(
                    (msg["kind"], bool((m.logits(h[a - 1 : b - 1]).argmax(-1) == x[a:b]).all()))
                )
    return rows, lengths


def llama_rows(
    model: str, dialogues: list[list[dict]], threads: int
) -> tuple[list[tuple[str, bool]], list[int]]:
    """Greedy replies of llama.cpp (LLAMA_CPP_LIB_PATH names its folder)."""
    import llama_cpp

    llm = llama_cpp.Llama(
        model, n_ctx=8192, n_threads=threads, n_threads_batch=threads, n_batch=512, verbose=False
    )
    rows, lengths = [], []
    for d in dialogues:
        text = ""
        n = 0
        for m in d:
            if m["role"] == "assistant" and m["kind"] not in ("ack", "filler"):
                prompt = llm.tokenize(
                    (text + "<|im_start|>assistant\n").encode(), add_bos=False, special=True
                )
                n = len(prompt)
                out = llm.create_completion(prompt, max_tokens=64, temperature=0.0)["choices"][0][
                    "text"
                ]
                rows.append(
                    (
                        m["kind"],
                        holds(out, m["answer"]) if m["answer"] else out.strip() == m["content"],
                    )
                )
            text += CHATML.format(**m)
        lengths.append(n)
    return rows, lengths


def evaluate(answer: Callable, lengths: list[int], count: int, modes: list[str]) -> dict:
    """Runs `answer(dialogues)` for each context length; seeds are fixed, so results compare."""
    out = {}
    for t in lengths:
        n = max(4, count * 512 // t) if count else 4
        ds = [
            generator.dialogue(
                1000 + i, target_tokens=t, split="heldout", mode=modes[i % len(modes)]
            )
            for i in range(n)
        ]
        start = time.time()
        rows, real = answer(ds)
        out[str(t)] = {
            **summarise(rows),
            "dialogues": n,
            "mean_tokens": round(sum(real) / len(real)),
            "seconds": round(time.time() - start, 1),
        }
    return out


def dump_logits(checkpoint: str, tokenizer: str, path: str, tokens: int) -> dict:
    """Writes PyTorch's logits [tokens, vocab] over one held-out dialogue, for `compare_logits`."""
    import numpy as np
    import torch

    from training.mini.model import load
    from training.mini.tokenizer import Chat

    chat, (m, _) = Chat(tokenizer), load(checkpoint)
    text = "".join(
        CHATML.format(**x) for x in generator.dialogue(5, target_tokens=tokens, split="heldout")
    )
    ids = chat.tok.encode(text).ids[:tokens]
    with torch.no_grad():
        logits = m.logits(m.hidden(torch.tensor([ids])))[0].numpy()
    np.savez(path, ids=np.array(ids), logits=logits, text=np.array(text))
    return {"tokens": len(ids), "written": path}


def compare_logits(path: str, model: str, threads: int) -> dict:
    """How far llama.cpp's logits are from the dumped ones, and whether the token ids agree."""
    import llama_cpp
    import numpy as np

    z = np.load(path)
    ids, want = z["ids"].tolist(), z["logits"]
    llm = llama_cpp.Llama(
        model,
        n_ctx=8192,
        n_threads=threads,
        n_threads_batch=threads,
        logits_all=True,
        verbose=False,
    )
    same = llm.tokenize(str(z["text"]).encode(), add_bos=False, special=True)[: len(ids)] == ids
    llm.eval(ids)
    got = np.array(llm.scores[: len(ids)])
    gap = np.abs(got - want)
    return {
        "tokens": len(ids),
        "same_token_ids": same,
        "max": round(float(gap.max()), 4),
        "mean": round(float(gap.mean()), 5),
        "largest_logit": round(float(np.abs(want).max()), 2),
        "same_first_choice": round(float((got.argmax(-1) == want.argmax(-1)).mean()), 5),
    }


def main() -> None:
    ap = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    ap.add_argument("--backend", choices=("torch", "llama"), default="torch")
    ap.add_argument("--checkpoint", default="training/out/mini/last.pt")
    ap.add_argument("--tokenizer", default="training/out/tokenizer.json")
    ap.add_argument("--model", default="engine/assets/halo-mini.gguf")
    ap.add_argument("--lengths", default="512,2048,6144")
    ap.add_argument(
        "--count",
        type=int,
        default=80,
        help="dialogues at 512 tokens; longer contexts get fewer, at least 4",
    )
    ap.add_argument("--modes", default="gap,dense,document,chat,speakers")
    ap.add_argument("--threads", type=int, default=2)
    ap.add_argument("--dump-logits", metavar="NPZ")
    ap.add_argument("--compare-logits", metavar="NPZ")
    ap.add_argument("--out", help="also write the JSON here")
    a = ap.parse_args()
    if a.dump_logits:
        result = dump_logits(a.checkpoint, a.tokenizer, a.dump_logits, 1024)
    elif a.compare_logits:
        result = compare_logits(a.compare_logits, a.model, a.threads)
    else:
        lengths = [int(x) for x in a.lengths.split(",")]
        if a.backend == "torch":
            import torch

            torch.set_num_threads(a.threads)
            result = evaluate(
                lambda ds: torch_rows(a.checkpoint, a.tokenizer, ds),
                lengths,
                a.count,
                a.modes.split(","),
            )
        else:
            result = evaluate(
                lambda ds: llama_rows(a.model, ds, a.threads), lengths, a.count, a.modes.split(",")
            )
    text = json.dumps(result, indent=1)
    print(text)
    if a.out:
        with open(a.out, "w", encoding="utf-8") as f:
            f.write(text + "\n")


if __name__ == "__main__":
    main()

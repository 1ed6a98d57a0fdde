"""The byte-level BPE tokenizer, trained on generated dialogues, and ChatML encoding with it."""

from __future__ import annotations

import argparse

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from training.mini import generator

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
# How much predicting a message counts; what the model cannot know (which filler reply) counts little.
WEIGHT = {"ack": 0.5, "filler": 0.1, "self": 0.6, "never": 1.2, "outside": 0.5, "recap": 0.5}


def train(path: str, vocab: int = 4096, dialogues: int = 3000) -> Tokenizer:
    """Learns the merges (pre-tokenizer as llama.cpp's "gpt-2") and writes the tokenizers JSON."""
    tok = Tokenizer(models.BPE())
    tok.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tok.decoder = decoders.ByteLevel()
    learn = trainers.BpeTrainer(
        vocab_size=vocab,
        special_tokens=SPECIAL,
        min_frequency=30,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    texts = (
        text
        for i in range(dialogues)
        for m in generator.dialogue(10_000_000 + i, target_tokens=600)
        for text in (m["role"], m["content"])
    )
    tok.train_from_iterator(texts, learn)
    tok.save(path)
    return tok


class Chat:
    """ChatML encoding of messages, piece by piece as the template writes them."""

    def __init__(self, path: str) -> None:
        self.tok = Tokenizer.from_file(path)
        self.start, self.end = (self.tok.token_to_id(s) for s in ("<|im_start|>", "<|im_end|>"))
        self.newline = self.tok.encode("\n").ids
        self.heads = {
            r: [self.start, *self.tok.encode(r + "\n").ids] for r in ("system", "user", "assistant")
        }

    def encode(
        self, messages: list[dict], limit: int = 1 << 30
    ) -> tuple[list[int], list[float], list[tuple[int, int, dict]]]:
        """Ids, each id's loss weight as a target, (first, last + 1, message) of each assistant text.

        Stops before the message that would pass `limit` ids.
        """
        ids: list[int] = []
        weights: list[float] = []
        spans: list[tuple[int, int, dict]] = []
        for m in messages:
            head, body = self.heads[m["role"]], self.tok.encode(m["content"]).ids
            if len(ids) + len(head) + len(body) + 1 + len(self.newline) > limit:
                break
            k = WEIGHT.get(m.get("kind", ""), 1.0) if m["role"] == "assistant" else 0.0
            if k:
                spans.append((len(ids) + len(head), len(ids) + len(head) + len(body) + 1, m))
            ids += head + body + [self.end] + self.newline
            weights += [0.0] * len(head) + [k] * (len(body) + 1) + [0.0] * len(self.newline)
        return ids, weights, spans


def main() -> None:
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("--out", default="training/out/tokenizer.json")
    ap.add_argument("--vocab", type=int, default=4096)
    ap.add_argument("--dialogues", type=int, default=3000)
    a = ap.parse_args()
    print(train(a.out, a.vocab, a.dialogues).get_vocab_size(), "tokens")


if __name__ == "__main__":
    main()

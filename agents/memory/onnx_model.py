"""A folder with an ONNX model and its tokenizer, opened for ONNX Runtime on CPU threads."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from tokenizers import Tokenizer

from engine.errors import HaloError

Feeds = Mapping[str, NDArray[Any]]
Batch = TypeVar("Batch")
Done = TypeVar("Done")


class OnnxModel:
    """One `.onnx` file. Raises HaloError in one sentence where the folder does not hold one.

    Small models run whole batches side by side, each on one thread: `each` does that. `wide` ones
    have all threads work on one batch. Threads that wait for one another do not spin unless `spin`,
    because the language model computes on the same cores; without, small models gain nothing from a
    second thread.
    """

    def __init__(self, path: Path, threads: int, wide: bool = False, spin: bool = False) -> None:
        self.path = path
        self.threads = 1 if wide else threads  # batches at once
        self._pool: ThreadPoolExecutor | None = None
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads if wide else 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 4  # its news come as exceptions; stderr belongs to the screen
        options.add_session_config_entry("session.intra_op.allow_spinning", "1" if spin else "0")
        if not path.is_file():
            raise HaloError(f"{path.parent} has no {path.name}.", "Export the model to ONNX there.")
        try:
            self._session = onnxruntime.InferenceSession(
                str(path),
                options,
                providers=["CPUExecutionProvider"],
                # Its kernel on CPUs is slower than addition and norm apart: 14 % of MiniLM's time.
                disabled_optimizers=["SkipLayerNormFusion"],
            )
        except Exception as error:  # its exceptions share no class
            raise HaloError(
                f"ONNX Runtime cannot load {path}: {first_line(error)}.",
                "Export the model again, or copy it again if it is cut short.",
            ) from error
        self.inputs = {i.name: i for i in self._session.get_inputs()}
        self.outputs = {o.name: o for o in self._session.get_outputs()}

    def need(self, inputs: Iterable[str], outputs: Iterable[str], what: str) -> None:
        """Check names before the first run. Extra outputs do no harm, extra inputs do."""
        wanted = set(inputs)
        if set(self.inputs) != wanted:
            raise HaloError(
                f"{self.path} takes {_list(self.inputs)}, but {what} takes {_list(wanted)}.",
                "Export it with these inputs.",
            )
        missing = set(outputs) - set(self.outputs)
        if missing:
            raise HaloError(
                f"{self.path} gives {_list(self.outputs)}, but {what} gives {_list(outputs)}.",
                "Export it with these outputs.",
            )

    def run(self, names: Sequence[str], feeds: Feeds) -> list[NDArray[Any]]:
        """The outputs called `names`, in that order."""
        try:
            return list(self._session.run(list(names), dict(feeds)))
        except Exception as error:
            shapes = ", ".join(f"{name} {list(array.shape)}" for name, array in feeds.items())
            raise HaloError(
                f"{self.path} failed on {shapes}: {first_line(error)}.",
                "Export it with free batch and sequence lengths.",
            ) from error

    def each(self, work: Callable[[Batch], Done], batches: Sequence[Batch]) -> list[Done]:
        """`work` on every batch, as many at once as there are threads; results in order."""
        if len(batches) < 2 or self.threads < 2:
            return [work(batch) for batch in batches]
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self.threads, "onnx")
        return list(self._pool.map(work, batches))


def find_model(folder: Path) -> Path:
    """The `.onnx` file of a folder as exporters name it, the plain one first."""
    places = [folder / name for name in ("model.onnx", "onnx/model.onnx")]
    places += [folder / f"{sub}model_quantized.onnx" for sub in ("", "onnx/")]
    return next((path for path in places if path.is_file()), places[0])


def read_config(folder: Path, name: str = "config.json") -> dict[str, Any]:
    """A JSON object of a model folder."""
    path = folder / name
    try:
        content = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise HaloError(f"{folder} has no {name}.", "Copy the whole exported folder.") from None
    except (OSError, ValueError) as error:
        raise HaloError(f"{path} cannot be read: {error}.", "Export the model again.") from error
    if not isinstance(content, dict):
        raise HaloError(f"{path} is no JSON object.", "Export the model again.")
    return content


def read_tokenizer(folder: Path) -> Tokenizer:
    """`tokenizer.json` of a model folder, without padding and truncation of its own."""
    path = folder / "tokenizer.json"
    if not path.is_file():
        raise HaloError(
            f"{folder} has no tokenizer.json.",
            "Save the fast tokenizer beside the model: tokenizer.save_pretrained(folder).",
        )
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:
        raise HaloError(
            f"{path} cannot be read: {first_line(error)}.", "Save the fast tokenizer again."
        ) from error
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def batches(lengths: Sequence[int], tokens: int, threads: int = 1) -> Iterator[list[int]]:
    """Indices by falling length, in batches of at most `tokens` padded tokens (at least one each);
    smaller ones where some of the threads would have none."""
    if threads > 1 and lengths:
        tokens = min(tokens, -(-sum(lengths) // threads) + max(lengths) // 2)
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if batch and (len(batch) + 1) * lengths[batch[0]] > tokens:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def padded(rows: Sequence[Sequence[int]], fill: int = 0) -> NDArray[np.int64]:
    """[n, longest] int64."""
    out = np.full((len(rows), max(map(len, rows), default=0)), fill, np.int64)
    for i, row in enumerate(rows):
        out[i, : len(row)] = row
    return out


def first_line(error: Exception) -> str:
    """What an exception of a library says, as part of a sentence."""
    text = str(error).strip()
    return (text.splitlines()[0] if text else type(error).__name__).rstrip(".")


def _list(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "nothing"


def chosen_folder(wanted: str, shipped: Path, what: str, key: str) -> Path:
    """The folder that `[memory] key` names, or the one that ships. Raises HaloError when it is not
    there."""
    folder = Path(wanted).expanduser() if wanted else shipped
    if not folder.is_dir():
        raise HaloError(
            f"The folder of {what}, {folder}, does not exist.",
            f"Correct `[memory] {key}`, or leave it empty for the one that ships.",
        )
    return folder

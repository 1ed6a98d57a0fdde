"""Downloads GGUF files from a Hugging Face hub: resumed, checked, explained in sentences.

`huggingface_hub` does the work, so HF_ENDPOINT, HF_TOKEN, HF_HOME and proxies hold as everywhere.
"""

from __future__ import annotations

import difflib
import fnmatch
import hashlib
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.errors import ModelError
from engine.models import hub_cache

Progress = Callable[[int, int], Any]
SPARE_BYTES = 512 * 1024 * 1024  # left free on the disk after a download


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A GGUF file in a repository of the hub."""

    name: str
    size: int  # bytes
    sha256: str  # "" when the hub does not tell


def list_files(repo: str) -> list[RemoteFile]:
    """GGUF files of a repository, smallest first. Raises ModelError."""
    from huggingface_hub import HfApi

    try:
        found = HfApi(endpoint=_endpoint()).model_info(repo, files_metadata=True)
    except Exception as error:
        raise _explained(error, repo) from error
    files = [
        RemoteFile(s.rfilename, s.size or 0, (s.lfs.sha256 if s.lfs else "") or "")
        for s in found.siblings or []
        if s.rfilename.lower().endswith(".gguf")
    ]
    return sorted(files, key=lambda file: (file.size, file.name))


def choose(files: list[RemoteFile], wanted: str | None, repo: str) -> RemoteFile:
    """The file meant by a name, a pattern or a quantisation such as Q4_K_M. Raises ModelError."""
    if not files:
        raise ModelError(
            f"{repo} has no GGUF files.", "Choose a repository whose name ends in GGUF."
        )
    names = [file.name for file in files]
    if wanted is None:
        if len(files) == 1:
            return files[0]
        raise ModelError(
            f"{repo} has {len(files)} GGUF files: {', '.join(names[:12])}.", "Name one of them."
        )
    low = wanted.lower()
    exact = [f for f in files if f.name.lower() == low]
    matches = exact or [
        f for f in files if fnmatch.fnmatch(f.name.lower(), low) or low in f.name.lower()
    ]
    if len(matches) == 1:
        return matches[0]
    if matches:
        listed = ", ".join(f.name for f in matches[:8])
        raise ModelError(f"'{wanted}' fits {len(matches)} files: {listed}.", "Name one of them.")
    near = difflib.get_close_matches(wanted, names, n=3, cutoff=0.3) or names[:6]
    raise ModelError(f"{repo} has no file '{wanted}'.", f"It has: {', '.join(near)}.")


def pull(repo: str, file: str | None = None, progress: Progress | None = None) -> Path:
    """Download one file into the Hugging Face cache and return its path.

    `file` is a name, a pattern or a quantisation. An interrupted download goes on where it
    stopped; the SHA-256 the hub states is checked, a wrong file is removed. `progress` is called
    with (bytes here, bytes in total) and may raise to cancel. Raises ModelError.
    """
    # Plain HTTP resumes by ranges and works with every hub; the chunk protocol needs its own.
    os.environ.setdefault("HF_HUB_DISABLE_XET", "1")
    from huggingface_hub import hf_hub_download, try_to_load_from_cache

    remote = choose(list_files(repo), file, repo)
    known = try_to_load_from_cache(repo, remote.name, cache_dir=hub_cache())
    if isinstance(known, str):
        return _checked(Path(known), remote)
    _check_space(hub_cache(), remote)
    try:
        path = hf_hub_download(
            repo, remote.name, endpoint=_endpoint(), cache_dir=hub_cache(),
            tqdm_class=_bar(progress, remote.size),
        )  # fmt: skip
    except Exception as error:
        raise _explained(error, repo, remote.name) from error
    if progress:
        progress(remote.size, remote.size)
    return _checked(Path(path), remote)


def _endpoint() -> str | None:
    """Read now: huggingface_hub fixes its own at its first import."""
    return os.environ.get("HF_ENDPOINT") or None


def _check_space(folder: Path, remote: RemoteFile) -> None:
    existing = next(p for p in (folder, *folder.parents) if p.exists())
    free = shutil.disk_usage(existing).free
    if free < remote.size + SPARE_BYTES:
        raise ModelError(
            f"{remote.name} needs {remote.size / 1e9:.1f} GB and {free / 1e9:.1f} GB are free.",
            f"Free some space, or set HF_HOME to another disk (now {folder}).",
        )


def _checked(path: Path, remote: RemoteFile) -> Path:
    """The path, if the file is what the hub says; else it is removed."""
    if remote.size and path.stat().st_size != remote.size:
        problem = f"has {path.stat().st_size:,} bytes instead of {remote.size:,}"
    elif remote.sha256 and _sha256(path) != remote.sha256:
        problem = "has another checksum than the hub states"
    else:
        return path
    path.resolve().unlink(missing_ok=True)
    path.unlink(missing_ok=True)
    raise ModelError(f"{remote.name} {problem}; it was removed.", "Download it again.")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _bar(progress: Progress | None, total: int) -> Any:
    """A tqdm class that reports to `progress` and draws nothing."""
    from tqdm.auto import tqdm

    class Bar(tqdm):  # type: ignore[misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            self.here = int(kwargs.get("initial") or 0)
            kwargs.pop("name", None)
            super().__init__(*args, **{**kwargs, "disable": True})

        def update(self, n: float | None = 1) -> bool | None:
            self.here += int(n or 0)
            if progress:
                progress(min(self.here, total), total)
            return None

    return Bar


def _explained(error: Exception, repo: str, file: str = "") -> ModelError:
    """The sentence for what went wrong on the way to the hub."""
    from huggingface_hub import errors

    if isinstance(error, ModelError):
        return error
    status = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(error, errors.GatedRepoError) or status in (401, 403):
        return ModelError(
            f"The hub does not give {repo} to everyone.",
            "Accept its terms on the hub's page, then set HF_TOKEN to your token.",
        )
    if isinstance(error, errors.RepositoryNotFoundError):
        return ModelError(f"The hub has no repository {repo}.", "Check owner/name.")
    if isinstance(error, errors.HFValidationError):
        return ModelError(f"'{repo}' is not a repository name.", "Write it as owner/name.")
    if isinstance(error, errors.EntryNotFoundError) and not isinstance(
        error, errors.LocalEntryNotFoundError
    ):
        return ModelError(f"{repo} has no file {file}.", "`halo-tui models pull REPO` lists them.")
    if isinstance(error, OSError) and error.errno == 28:
        return ModelError("The disk is full.", "Free some space; the download goes on from there.")
    hub = _endpoint()
    if hub is not None and not hub.startswith(("http://", "https://")):
        return ModelError(
            f"HF_ENDPOINT is '{hub}', which is no address.", "Write https://… in it, or unset it."
        )
    if "Connect" in type(error).__name__:  # requests' and httpx' errors of that kind
        return ModelError(
            f"{hub or 'The hub'} cannot be reached.",
            "Check the network and HF_ENDPOINT, then try again; it goes on where it stopped.",
        )
    what = f"of {file} " if file else ""
    return ModelError(
        f"The download {what}from the hub failed: {type(error).__name__}.",
        "Check the network and HF_ENDPOINT, then try again; it goes on where it stopped.",
    )

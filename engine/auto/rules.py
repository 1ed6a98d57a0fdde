"""The rules: what suits a machine and a model, each with its reason. docs/auto.md says where from.

A key that somebody set is never touched: by name, or by a value that is not the default. Nothing here
reads the machine; the same facts always give the same choices.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import msgspec

from engine.auto.facts import Facts
from engine.config import CompactionConfig, EngineConfig
from engine.protocol import Chosen, Hint
from engine.telemetry.advice import gib

MIB = 1024**2
GPU_THREADS = 4  # CPU threads beside a GPU that holds all layers
SPARE = 0.06  # of the GPU's memory is left for compute buffers and others
SPARE_LEAST = 512 * MIB
UBATCH, UBATCH_MOST = 512, 2048
ROWS = 64  # tokens of a ubatch that each expert should get on average
MASK_SHARE = 0.02  # of the GPU's memory for the attention mask of compacted sessions
BUILDS = {"amdgpu": ("vulkan", "hip"), "nvidia": ("cuda", "vulkan")}


class Decision(msgspec.Struct, frozen=True):
    """What was chosen, what the process needs in its environment, and what people should know."""

    chosen: tuple[Chosen, ...] = ()
    environment: dict[str, str] = {}
    hints: tuple[Hint, ...] = ()


def decide(
    facts: Facts,
    engine: EngineConfig,
    compaction: CompactionConfig | None = None,
    given: Collection[str] = (),
) -> Decision:
    """Choose what nobody set. `given`: keys that somebody did, "engine.mmap"."""
    if not engine.auto:
        return Decision()
    return _Rules(facts, engine, compaction or CompactionConfig(), given).decide()


def apply(
    decision: Decision, engine: EngineConfig, compaction: CompactionConfig
) -> tuple[EngineConfig, CompactionConfig]:
    """The settings with what was chosen in place."""
    by_section: dict[str, dict[str, Any]] = {"engine": {}, "compaction": {}}
    for one in decision.chosen:
        section, _, key = one.key.partition(".")
        if section in by_section:
            by_section[section][key] = one.value
    return (
        msgspec.structs.replace(engine, **by_section["engine"]),
        msgspec.structs.replace(compaction, **by_section["compaction"]),
    )


class _Rules:
    def __init__(
        self,
        facts: Facts,
        engine: EngineConfig,
        compaction: CompactionConfig,
        given: Collection[str],
    ) -> None:
        self.facts = facts
        self.engine = engine
        self.given = set(given)
        for section, now in (("engine", engine), ("compaction", compaction)):
            plain = type(now)()
            self.given |= {
                f"{section}.{name}"
                for name in now.__struct_fields__
                if getattr(now, name) != getattr(plain, name)
            }
        self.chosen: list[Chosen] = []
        self.hints: list[Hint] = []
        self.environment: dict[str, str] = {}

    def decide(self) -> Decision:
        if self.facts.fault:
            self.hints.append(
                Hint(
                    f"The machine could not be looked at: {self.facts.fault}.",
                    "Settings are the defaults; `halo-tui doctor` may say more.",
                )
            )
        whole = self._offload()
        self._memory(whole)
        self._mmap(whole)
        self._threads(whole)
        self._batches(whole)
        self._flash_attention(whole)
        self._cells()
        if whole is not None:
            self._environment()
        return Decision(tuple(self.chosen), self.environment, tuple(self.hints))

    def choose(self, key: str, value: Any, why: str) -> Any:
        """Set a key unless somebody did; the value that holds."""
        section, _, name = key.partition(".")
        if key in self.given:
            return getattr(self.engine, name) if section == "engine" else None
        default = getattr(EngineConfig() if section == "engine" else CompactionConfig(), name)
        self.chosen.append(Chosen(key, value, why, value != default))
        return value

    # --- where the layers go --------------------------------------------------------------------

    def _offload(self) -> bool | None:
        """Choose gpu_layers. True: all layers on the GPU; False: some; None: none."""
        facts = self.facts
        if self.engine.gpu_layers == 0:
            return None
        if self.engine.rpc:  # split by what workers have free, which is asked when they are there
            return True if facts.devices else None
        if not facts.backends:
            if facts.gpu is not None:
                first, second = BUILDS.get(facts.gpu.driver, BUILDS["amdgpu"])
                self.hints.append(
                    Hint(
                        f"{facts.gpu.name} is not used: this build of llama.cpp computes on the "
                        "CPU only.",
                        f"make run BACKEND={first}, or BACKEND={second}; `halo-tui doctor` says "
                        "what to install before.",
                    )
                )
            return None
        if not facts.devices:
            self.hints.append(
                Hint(
                    f"This build can use a GPU ({', '.join(facts.backends)}), but llama.cpp found "
                    "none; the CPU computes.",
                    "`halo-tui doctor` says why.",
                )
            )
            return None
        fits = self._layers_that_fit()
        if "engine.gpu_layers" in self.given:
            wanted = self.engine.gpu_layers
            return wanted < 0 or wanted > facts.layers
        name = facts.gpu.name if facts.gpu is not None else "the GPU"
        if fits is None:
            self.choose("engine.gpu_layers", -1, f"{name} takes all layers: a GPU is faster")
            return True
        free = gib(facts.gpu_free or 0)
        if fits < 0:
            why = f"model and cells, {gib(facts.needed)}, fit into {free} of {name}"
            self.choose("engine.gpu_layers", -1, why)
            return True
        why = f"model and cells, {gib(facts.needed)}, do not fit into {free} of {name}"
        self.choose("engine.gpu_layers", fits, f"{why}; {fits} of {facts.layers} layers do")
        return False if fits else None

    def _layers_that_fit(self) -> int | None:
        """Layers the GPU has room for; -1: all; None: nobody says how much there is."""
        facts = self.facts
        free, total = facts.gpu_free, facts.gpu_total
        if free is None or not facts.layers or not facts.needed:
            return None
        if self._managed():  # HIP's managed memory is the host's, and pages as that does
            free = max(free, facts.available)
        room = free - max(SPARE_LEAST, int(SPARE * (total or free)))
        if facts.needed <= room:
            return -1
        # Cells lie with their layer; what is not a layer (embeddings, output) counts as one more.
        each = facts.needed / (facts.layers + 1)
        return max(0, min(facts.layers - 1, int(room / each)))

    def _managed(self) -> bool:
        """Whether HIP should take managed memory: else it may be held in the carve-out."""
        return "hip" in self.facts.backends[:1] and self.facts.unified

    def _memory(self, whole: bool | None) -> None:
        facts = self.facts
        if whole is False and facts.unified:
            self.hints.append(
                Hint(
                    f"The GPU may hold {gib(facts.gpu_total or 0)} of the unified memory, and "
                    f"{gib(facts.gpu_free or 0)} of it are free: layers are left to the CPU.",
                    "Raise ttm.pages_limit (`halo-tui doctor` says how), close other programs, or "
                    "take fewer cells (engine.n_ctx).",
                )
            )
        if whole is None and facts.needed > facts.available and not self.engine.rpc:
            self.hints.append(
                Hint(
                    f"Model and cells need {gib(facts.needed)}, {gib(facts.available)} are free.",
                    "Lower engine.n_ctx, set engine.type_k and type_v to q8_0 (never chosen by "
                    "itself), or take a smaller model.",
                )
            )

    # --- how it computes ------------------------------------------------------------------------

    def _mmap(self, whole: bool | None) -> None:
        facts = self.facts
        if whole:
            why = "the GPU holds all layers; pages of the file would only be copied"
            if facts.unified:
                why += ", and lie beside them in the same memory"
            self.choose("engine.mmap", False, why)
        elif whole is False and "hip" in facts.backends[:1]:
            self.choose("engine.mmap", False, "HIP copies from mapped pages slowly, or stalls")
        else:
            self.choose("engine.mmap", True, "the CPU reads the weights where they are")

    def _threads(self, whole: bool | None) -> None:
        cores = self.facts.cores
        if whole:
            few = min(GPU_THREADS, cores)
            why = f"the GPU computes: beside it {few} of {cores} cores do, more only take its power"
            if self.choose("engine.threads", few, why) < cores:
                half = max(1, cores // 2)
                self.choose("compaction.threads", half, f"the solver runs on {cores} idle cores")
        else:
            self.choose(
                "engine.threads",
                0,
                f"{cores} physical cores for prompts (two threads of a core share what computes); "
                "for answers as many as measure fastest",
            )

    def _batches(self, whole: bool | None) -> None:
        facts, engine = self.facts, self.engine
        ubatch, why = UBATCH, "llama.cpp's own size; `halo-tui tune` measures others"
        if whole and facts.experts and facts.experts_used:
            rows = ROWS * facts.experts / facts.experts_used
            ubatch = UBATCH
            while ubatch < min(rows, UBATCH_MOST):
                ubatch *= 2
            limit = self._mask_limit()
            while ubatch > UBATCH and ubatch > limit:
                ubatch //= 2
            if ubatch > UBATCH:
                share = ubatch * facts.experts_used // facts.experts
                why = (
                    f"each of {facts.experts} experts gets {share} tokens of it, enough for the "
                    "GPU's matrix units"
                )
        if "engine.n_batch" in self.given:
            ubatch = min(ubatch, engine.n_batch)
        ubatch = self.choose("engine.n_ubatch", ubatch, why)
        batch = max(EngineConfig().n_batch, ubatch)
        self.choose(
            "engine.n_batch",
            batch,
            "as small as the ubatch allows: a new prompt, or Esc, waits for the step before it",
        )

    def _mask_limit(self) -> float:
        """Tokens whose mask (cells x heads x 2 bytes each) takes its share of the memory."""
        total, row = self.facts.gpu_total, 2 * self.facts.n_ctx * max(1, self.facts.heads)
        return MASK_SHARE * total / row if total and row else float("inf")

    def _flash_attention(self, whole: bool | None) -> None:
        why = "llama.cpp takes it where the device has it; forced, it may end up on the CPU"
        if whole is None:
            why = "llama.cpp takes it on the CPU wherever the model allows"
        self.choose("engine.flash_attention", "auto", why)

    def _cells(self) -> None:
        why = "exact; quantised cells change answers, so that only you choose them"
        self.choose("engine.type_k", "f16", why)
        self.choose("engine.type_v", "f16", why)

    def _environment(self) -> None:
        if "hip" not in self.facts.backends[:1]:
            return
        self._set("ROCBLAS_USE_HIPBLASLT", "hipBLASLt has the tuned kernels of RDNA 3.5")
        if self._managed():
            self._set(
                "GGML_CUDA_ENABLE_UNIFIED_MEMORY",
                "else HIP may stay within the carve-out; the memory is the same",
            )

    def _set(self, name: str, why: str) -> None:
        self.environment[name] = "1"
        self.chosen.append(Chosen(f"env.{name}", "1", why, True))

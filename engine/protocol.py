"""The messages that cross between the app and the engine core.

Every message is a msgspec struct, sent as one msgpack frame (4-byte big-endian length, then the
body) over a socketpair. A reader of this file knows everything the two processes say to each
other: `Request` travels down to the core, `Event` travels up.

Conversations are *stateless* on the wire: `Generate` carries the whole message list, the core
renders it with the model's chat template, and reuses every KV cell whose tokens are unchanged.
Edit, regenerate, fork and crash recovery are therefore the same request with another list.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from typing import Any

import msgspec

PROTOCOL_VERSION = 5
MAX_FRAME_BYTES = 64 * 1024 * 1024


# --- shared parts -------------------------------------------------------------------------------


class Tool(msgspec.Struct, omit_defaults=True, frozen=True):
    """A function that the model may call."""

    name: str
    description: str
    parameters: dict[str, Any]  # JSON schema of its arguments, an object


class ToolCall(msgspec.Struct, omit_defaults=True, frozen=True):
    """A call that the model wrote."""

    name: str
    arguments: str  # JSON text of an object
    fault: str = ""  # why it cannot be read, one sentence; `arguments` is empty then
    id: str = ""  # nine letters or digits, chosen by the app; ties the result to it


class Message(msgspec.Struct, omit_defaults=True, frozen=True):
    """One chat message as the chat template sees it.

    The tools that a conversation has stand with its first message, a system one (whose content
    may be empty): they are part of what the model reads, as the rest of the messages is.
    """

    role: str  # system | user | assistant | tool
    content: str
    name: str = ""  # of a tool's result: the tool
    thinking: str = ""  # the assistant's folded reasoning, given back as `reasoning_content`
    tools: tuple[Tool, ...] = ()
    calls: tuple[ToolCall, ...] = ()  # the assistant's; results follow as messages of role tool
    call_id: str = ""  # of a tool's result: the call's


class Sampling(msgspec.Struct, omit_defaults=True, frozen=True):
    """Sampler chain of one sequence; the defaults are llama-server's."""

    temperature: float = 0.8  # 0 = greedy
    top_k: int = 40  # 0 = off
    top_p: float = 0.95  # 1 = off
    min_p: float = 0.05  # 0 = off
    repeat_penalty: float = 1.0
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    penalty_last_n: int = 64
    loop_tokens: int = 256  # end an answer whose newest tokens only repeat themselves; 0 = never
    seed: int = -1  # -1 = drawn at random; the drawn value is reported in Done
    max_tokens: int = 1024
    stop: tuple[str, ...] = ()
    grammar: str = ""  # GBNF, start rule `root`
    json_schema: str = ""  # JSON text; converted to a grammar; excludes `grammar`
    logprobs: int = 0  # report that many alternatives per token
    ignore_eos: bool = False  # go on after the model's end token, up to max_tokens


# --- requests: app -> core ----------------------------------------------------------------------


class Request(msgspec.Struct, tag_field="t", frozen=True):
    """Base of all requests. `id` is echoed in the `Reply`, 0 asks for none."""

    id: int


class Open(Request, tag="open", omit_defaults=True, frozen=True):
    """Make a session known under a name chosen by the app. Reply: None."""

    session: str


class Generate(Request, tag="generate", omit_defaults=True, frozen=True):
    """Answer the last message. Replies at once (accepted or refused); the rest are events.

    One generation at a time per session; a second one is refused with `busy`.
    """

    session: str
    messages: tuple[Message, ...]
    sampling: Sampling = Sampling()
    thinking: bool = True  # passed to the template as `enable_thinking`
    must_call: bool = False  # a grammar makes it call one of the tools of the messages
    resume: tuple[int, ...] = ()  # tokens already generated before a crash; continued, not repeated


class Cancel(Request, tag="cancel", frozen=True):
    """Stop the running or queued generation of a session within one step."""

    session: str


class Close(Request, tag="close", frozen=True):
    """Forget a session. Its cells stay as reusable prefix until they are needed."""

    session: str


class Focus(Request, tag="focus", frozen=True):
    """The session the user looks at: its work is scheduled first. "" = none."""

    session: str


class Tokenize(Request, tag="tokenize", omit_defaults=True, frozen=True):
    """Reply: number of tokens of the rendered messages; without messages, of `text` as it stands."""

    messages: tuple[Message, ...] = ()
    text: str = ""


class Configure(Request, tag="configure", omit_defaults=True, frozen=True):
    """Change a setting while running. Reply: None."""

    key: str
    value: bool | int | float | str


class Compact(Request, tag="compact", omit_defaults=True, frozen=True):
    """Replace old keys and values of a session by fewer fitted ones (engine/compaction).

    Reply: the span's cells when it was accepted, or a refusal (code `nothing`, `busy`, ...);
    `Compaction` events follow. Zeros and "" mean what is configured.
    """

    session: str
    ratio: float = 0.0  # cells before / after; -1 = by the error bound
    method: str = ""


class CancelCompaction(Request, tag="cancel_compaction", frozen=True):
    """Give up a session's compaction that has not landed yet. Reply: whether there was one."""

    session: str


class Save(Request, tag="save", omit_defaults=True, frozen=True):
    """Write a session's snapshot: its cells as they are now, and what the app says of it.

    Replies when the file is on disk (bytes written), or with why it is not; answers go on
    meanwhile. A session that holds no cells is refused with `nothing`.
    """

    session: str
    path: str
    talk: bytes  # JSON of the app: the agent and its messages; written as it is
    about: dict[str, str | int | float | bool | None] = {}  # for lists of snapshots


class Restore(Request, tag="restore", frozen=True):
    """Give an open, idle session what a snapshot holds. Replies with its tokens when it is read.

    The cells are taken at once where they are free, else when the session is asked next; a
    `Generate` may follow without waiting. Refused with `other_model`, `other_cache`, `damaged`...
    """

    session: str
    path: str


class Fork(Request, tag="fork", frozen=True):
    """Give the open, idle, empty `session` all that `source` holds. Replies with its tokens."""

    session: str
    source: str


class Swap(Request, tag="swap", frozen=True):
    """Take an idle session's cells out of the cache, or bring them back. Reply: cells moved."""

    session: str
    out: bool


class Pin(Request, tag="pin", frozen=True):
    """Keep the cells of a session in the cache even while it is idle, or no longer."""

    session: str
    on: bool


class GetStats(Request, tag="stats", frozen=True):
    """Reply with nothing; a `CacheMap` and a `Stats` event follow at once."""


class Shutdown(Request, tag="shutdown", frozen=True):
    """Finish the step in progress, free the context and exit with code 0."""


AnyRequest = (
    Open | Generate | Cancel | Close | Focus | Tokenize | Configure | Compact | CancelCompaction
    | Save | Restore | Fork | Swap | Pin | GetStats | Shutdown
)  # fmt: skip


# --- events: core -> app ------------------------------------------------------------------------


class Event(msgspec.Struct, tag_field="t", frozen=True):
    """Base of all events."""


class Loading(Event, tag="loading", frozen=True):
    """Progress of loading the model, 0..1."""

    fraction: float
    what: str


class Chosen(msgspec.Struct, array_like=True, frozen=True):
    """A setting that was chosen for this machine and model (docs/auto.md)."""

    key: str  # engine.n_ubatch; env.NAME is a variable of the core's environment
    value: bool | int | float | str
    why: str
    changed: bool  # it is not the default


class Hint(msgspec.Struct, array_like=True, frozen=True):
    """Something about machine and settings that people should know, and what to do about it."""

    what: str
    remedy: str


class Ready(Event, tag="ready", frozen=True):
    """The model is loaded and the core takes requests. Sent once per process."""

    protocol: int
    pid: int
    model: str  # general.name or the file's stem
    path: str
    architecture: str
    parameters: int
    model_bytes: int
    n_ctx: int  # KV cells in total, shared by all sessions
    n_ctx_train: int
    n_seq_max: int
    n_vocab: int
    n_layer: int
    kv_bytes_per_cell: int
    backend: str
    devices: tuple[str, ...]
    type_k: str
    type_v: str
    flash_attention: bool
    threads: int
    build: str
    hooks: dict[str, bool]
    load_seconds: float
    n_expert: int = 0  # of a layer; 0 = a dense model
    chosen: tuple[Chosen, ...] = ()  # by `engine.auto`
    hints: tuple[Hint, ...] = ()
    call_format: str = ""  # how tool calls stand in answers, see engine/core/calls.py
    knows_tools: bool = False  # the chat template tells of tools; else they are told in words


class Failed(Event, tag="failed", frozen=True):
    """The core cannot start and exits; nothing follows. kind: model | engine."""

    kind: str
    what: str
    remedy: str


class Reply(Event, tag="reply", omit_defaults=True, frozen=True):
    """Answer to the request with the same id."""

    id: int
    ok: bool
    value: bool | int | float | str | None = None
    code: str = ""  # busy | unknown_session | bad_request | too_long | ...
    what: str = ""
    remedy: str = ""


class State(Event, tag="state", omit_defaults=True, frozen=True):
    """A session changed state.

    state: idle | queued | prefill | decode. `reason` (one sentence for the user) is set while queued,
    and while one that runs has to wait for cells. `done`/`total` are prompt tokens during prefill;
    `cached` of them were reused.
    """

    session: str
    state: str
    reason: str = ""
    done: int = 0
    total: int = 0
    cached: int = 0


class TokenProb(msgspec.Struct, array_like=True, frozen=True):
    """One token with its natural-log probability after temperature-free softmax."""

    token: int
    text: str
    logprob: float


class Delta(msgspec.Struct, omit_defaults=True, frozen=True):
    """New text of one session in one step. `text` is valid UTF-8; may be empty."""

    session: str
    text: str
    tokens: tuple[int, ...] = ()
    thinking: bool = False
    logprobs: tuple[tuple[TokenProb, ...], ...] = ()
    calling: bool = False  # a tool call is being written, of which no text is shown


class Deltas(Event, tag="deltas", frozen=True):
    """Everything the sessions said in one step (or in a few steps, when steps are short)."""

    items: tuple[Delta, ...]


class Done(Event, tag="done", omit_defaults=True, frozen=True):
    """A generation ended.

    reason: stop (end token or stop string) | length (max_tokens or context full) | loop (it only
    repeated itself) | cancelled | error. `text`/`thinking` hold the complete answer, so that nothing
    depends on the deltas.
    """

    session: str
    reason: str
    text: str
    thinking: str = ""
    prompt_tokens: int = 0
    cached_tokens: int = 0
    tokens: int = 0
    seed: int = 0
    queue_seconds: float = 0.0
    prefill_seconds: float = 0.0  # from start of prefill to first token
    decode_seconds: float = 0.0
    cells: int = 0  # KV cells the session holds afterwards
    what: str = ""
    remedy: str = ""
    calls: tuple[ToolCall, ...] = ()  # tools that the model wants called before it goes on
    repeated: int = 0  # of a loop: characters at the end of `text` that say the same again
    ended_at: float = 0.0  # when, on the machine's monotonic clock, s; 0 = the core did not see it


class CellRuns(msgspec.Struct, array_like=True, frozen=True):
    """Who owns the cells, run-length coded by index: `lengths[i]` cells of `owners[codes[i]]`.

    owner: a session's name; "" = free; "*" = shared by several; "~" = kept prefix of closed ones.
    Answers that grow side by side make as many runs as cells, so that these are arrays in the
    machine's byte order and no structs.
    """

    owners: tuple[str, ...]
    codes: bytes  # uint16 [n]
    lengths: bytes  # uint32 [n]

    @classmethod
    def of(cls, *runs: tuple[str, int]) -> CellRuns:
        """Code (owner, cells)."""
        owners = tuple(dict.fromkeys(owner for owner, _ in runs))
        codes = array("H", (owners.index(owner) for owner, _ in runs))
        return cls(owners, codes.tobytes(), array("I", (n for _, n in runs)).tobytes())

    def __iter__(self) -> Iterator[tuple[str, int]]:
        """(owner, cells), with neighbours of one owner together."""
        last, count = "", 0
        for code, length in zip(array("H", self.codes), array("I", self.lengths), strict=True):
            owner = self.owners[code]
            if owner != last and count:
                yield last, count
                count = 0
            last, count = owner, count + length
        if count:
            yield last, count


class Stretch(msgspec.Struct, array_like=True, frozen=True):
    """`length` neighbouring cells from index `start`."""

    start: int
    length: int


class Away(msgspec.Struct, array_like=True, frozen=True):
    """A session's cells out of the cache."""

    cells: int
    bytes: int
    place: str  # memory | disk


class CacheMap(Event, tag="cache", omit_defaults=True, frozen=True):
    """The real KV cells, run-length coded by index. At most 4 a second, only on change."""

    total: int
    used: int
    highest: int  # index of the highest used cell + 1: what attention has to read
    shared: int
    kept: int
    cells: dict[str, int]  # session -> cells it refers to (shared ones counted for each)
    runs: CellRuns
    solving: tuple[Stretch, ...] = ()  # cells of spans being compacted now
    compacted: tuple[Stretch, ...] = ()  # cells that hold fitted keys and values
    folded: dict[str, tuple[int, int]] = {}  # session -> tokens compacted, cells they have now
    away: dict[str, Away] = {}  # sessions whose cells are out of the cache
    pinned: tuple[str, ...] = ()


class Stats(Event, tag="core_stats", frozen=True):
    """Speed over the last window (about one second). At most 2 a second."""

    decode_tok_s: float
    prefill_tok_s: float
    running: int
    prefilling: int
    queued: int
    step_ms: float  # mean
    steps: int  # since start
    by_session: dict[str, float]  # decode tok/s


class Note(Event, tag="note", omit_defaults=True, frozen=True):
    """Something worth a line in the event log: eviction of a kept prefix, preemption..."""

    level: str  # info | warning | error
    kind: str  # cache | scheduler | model | engine | ...
    text: str
    session: str = ""


URGENT = ("pressure", "positions")  # triggers of compactions without which an answer cannot go on


class Compaction(Event, tag="compaction", omit_defaults=True, frozen=True):
    """Progress of one compaction; every one ends with done, failed or cancelled.

    phase: started | study (the model is made to look back) | solve | done | failed | cancelled.
    Errors are relative errors of the attention output on queries the fit has not seen, averaged
    over heads: 0 = as the full span, 1 = as if it were gone.
    """

    session: str
    number: int  # counts the compactions of the core
    phase: str
    trigger: str = "manual"  # manual | threshold | session | pressure | positions
    method: str = ""
    start: int = 0  # first token of the span
    end: int = 0  # behind its last
    cells_before: int = 0  # cells of the span
    cells_after: int = 0  # from `solve` on; of the ratio in hand while one is looked for
    done: int = 0  # layers solved at this ratio, or tokens studied
    total: int = 0
    progress: float = 0.0  # 0 to 1 over all that has to be done; never goes back
    ratio: float = 0.0  # tokens of the span / cells after: over all rounds
    error: float = 0.0
    error_evict: float = 0.0  # of plain eviction to as many cells, on the same queries
    by_layer: tuple[float, ...] = ()  # error of each attention layer, first to last
    beta_min: float = 0.0
    beta_max: float = 0.0
    norm_ratio: float = 0.0  # largest fitted value / largest value of the span
    queries: int = 0  # reference queries for each head
    source: str = ""  # where they came from: later | recap, joined by +
    seconds: float = 0.0
    stall_ms: float = 0.0  # the longest that other sessions' steps were held up
    what: str = ""  # of a failure
    remedy: str = ""


class Studied(Event, tag="studied", frozen=True):
    """A session was studied, then solved, before it is compacted: its compaction lands soon after its
    start, then at once."""

    session: str
    tokens: int  # of the session, which the study saw or the solution ends at
    queries: int  # for each head; 0 when solved
    seconds: float
    solved: bool = False


class Held(msgspec.Struct, frozen=True):
    """Bytes of one ggml buffer type, by llama.cpp's own accounting."""

    buffer: str  # CPU, CPU_Mapped, Vulkan0, ROCm0, ...
    device: str  # of a worker: host:port
    kind: str  # of the device: cpu | gpu | igpu | accel | meta | rpc (a worker's, elsewhere)
    host: bool  # the CPU can address it; of a GPU's device: pinned memory of the host
    mapped: bool  # pages of the model's file, which the system can drop and read again
    model: int
    cells: int  # KV cells, recurrent states, output rows
    compute: int


class Holdings(Event, tag="holdings", frozen=True):
    """What llama.cpp holds on each device. Sent when it changed, and with `GetStats`."""

    held: tuple[Held, ...]


class Experts(Event, tag="experts", omit_defaults=True, frozen=True):
    """Expert routing over the last window (half a second), while it acts or somebody looks.

    Sent for models with experts only. `heat` holds one byte for each layer of `layers` and expert:
    how often decoding steps used it lately, 255 = every step.
    """

    policy: str
    bonus: float  # share of the scores' range, before the guard
    keep: int
    active: bool  # a step of the window had a bonus
    layers: tuple[int, ...]  # indices of the layers with experts
    n_expert: int
    n_used: int
    heat: bytes
    guard: str  # off | waiting | ok | lowered | stopped
    scale: float  # share of the bonus that the guard allows
    mass: float = 0.0  # replaced router mass, mean of the samples
    kl: float = 0.0  # nats
    samples: int = 0
    steps: float = 0.0
    agents: float = 0.0  # decoding together, mean
    distinct: float = 0.0  # experts a layer reads in a step, mean
    distinct_without: float = 0.0  # what it would have read without a bonus; 0 = not sampled
    reuse: float = 0.0  # share of a step's experts that the step before had read too
    bytes_per_token: float = 0.0  # of expert weights
    bytes_per_token_without: float = 0.0
    ab: str = ""  # "" | runs | done: a comparison with and without, in turns
    ab_share: float = 0.0
    ab_factor: float = 0.0  # tokens a second with the policy over those without
    ab_tok_s: float = 0.0  # tokens a second of the comparison, with and without
    ab_tok_s_without: float = 0.0
    recording: str = ""  # file


AnyEvent = (
    Loading | Ready | Failed | Reply | State | Deltas | Done | CacheMap | Stats | Note | Compaction
    | Holdings | Experts | Studied
)  # fmt: skip

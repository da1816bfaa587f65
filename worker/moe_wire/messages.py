"""Everything that gateways, heads and ranks say to each other, as plain values.

The order of the fields is their order on the wire. Nothing here knows sockets, bytes on the wire, torch or who answers
what: framing.py packs these, handshake.py judges the first three, and the protocol gives the rest their meaning. Nobody
changes any of them; those made thousands of times a second are not frozen all the same, as that takes five times as
long.
"""

from dataclasses import dataclass, field
from enum import IntEnum

WIRE_VERSION = 4
NO_TOKEN = 0xFFFF_FFFF
"""In Tokens: the model gave no finite number for what comes next, so no token can be chosen."""
NOT_FINITE = "not_finite"
"""The code of a Refused for that reason: nobody's mistake, and no other lane would do better."""


class DType(IntEnum):
    """What one number of a payload is; the wire carries the code."""

    FLOAT32 = 1
    BFLOAT16 = 2
    FLOAT16 = 3
    INT64 = 4


@dataclass(slots=True)
class Payload:
    """A dense row-major array, its first dimension being tokens; the only tensor that wire and protocol know."""

    dtype: DType
    shape: tuple[int, ...]
    data: bytes | memoryview

    @property
    def num_rows(self) -> int:
        return self.shape[0]


# A connection begins with these three.


@dataclass(frozen=True, slots=True)
class Challenge:
    """The acceptor's first word: the dialler's proof must cover this nonce."""

    nonce: bytes


@dataclass(frozen=True, slots=True)
class Hello:
    """The dialler's answer: who it is (`kind` is "rank" or "gateway"), proved with the deployment's secret.

    A gateway's `rank` is -1, its `pod_uid` its own pod's.
    """

    version: int
    kind: str
    deployment: str
    replica: int
    rank: int
    pod_uid: str
    incarnation: int
    epoch: int
    nonce: bytes
    proof: bytes


@dataclass(frozen=True, slots=True)
class Welcome:
    """The acceptor accepts, and proves in turn that it knows the secret (over the dialler's nonce)."""

    rank: int
    pod_uid: str
    incarnation: int
    epoch: int
    proof: bytes


# Between the ranks of one stage: requester -> host, answered on the same connection.


@dataclass(slots=True)
class Dispatch:
    """Run this expert over these rows. (lane, term, step, layer, expert, attempt) names the sub-batch and the try."""

    lane: int
    term: int
    step: int
    layer: int
    expert: int
    attempt: int
    rows: Payload


@dataclass(slots=True)
class Result:
    """The expert's output for the rows of the Dispatch of the same name, in the same order."""

    lane: int
    term: int
    step: int
    layer: int
    expert: int
    attempt: int
    rows: Payload


@dataclass(frozen=True, slots=True)
class NotHere:
    """The host neither holds the expert nor is loading it."""

    lane: int
    term: int
    step: int
    layer: int
    expert: int
    attempt: int


# Along a lane: from its rank in one stage to its rank in the next; the last stage's next is the first.


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next token is drawn; temperature 0 takes the likeliest. The defaults switch every filter off.

    Repetition penalty looks at prompt and generated tokens, presence and frequency penalty at the generated ones only
    (those from position `num_prompt` on). `logit_bias`: (token, added to its logit). `logprobs`: -1 for none, else how
    many of the likeliest tokens are told beside the chosen one's.
    """

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    seed: int = 0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logit_bias: tuple[tuple[int, float], ...] = ()
    logprobs: int = -1
    num_prompt: int = 0

    @property
    def needs_history(self) -> bool:
        """Whether the last stage must know the sequence's tokens, not only its logits."""
        return self.repetition_penalty != 1.0 or self.presence_penalty != 0.0 or self.frequency_penalty != 0.0


@dataclass(frozen=True, slots=True)
class Logprobs:
    """Natural logarithms of probabilities before temperature and filters: the chosen token's, and (token, logprob) of
    the likeliest."""

    chosen: float
    top: tuple[tuple[int, float], ...]


@dataclass(frozen=True, slots=True)
class Scoring:
    """What the model thought of tokens that it was given: after each of a segment's first rows, the logprob of the one
    of `targets` that came next, and the `num_top` likeliest."""

    num_top: int
    targets: tuple[int, ...]


@dataclass(slots=True)
class Segment:
    """`count` tokens of one sequence from position `start` on.

    `new_blocks` are appended to the sequence's block table before attention. A sequence's first segment may begin above
    position 0: what is before lies in the cache already, in the first of its new blocks (a prefix that others had).
    `sampling` is set where the segment ends at the sequence's last known token, so that the last stage draws the next
    one. `history` are the sequence's tokens that the last stage has not been told yet, up to start + count, where its
    sampling needs them; else empty. `scoring` is set where logprobs of the prompt's own tokens are wanted.
    """

    sequence: int
    start: int
    count: int
    new_blocks: tuple[int, ...]
    sampling: Sampling | None
    history: tuple[int, ...] = ()
    scoring: Scoring | None = None


@dataclass(slots=True)
class Step:
    """One micro-batch of a lane on its way through the stages. Rows of `hidden` follow the segments in order.

    `freed` names sequences whose blocks return to the lane's pool before the segments are looked at. `packed` are
    segments and freed as they lay on the wire, where the step came over it: who passes it on need not pack them again.
    """

    lane: int
    term: int
    step: int
    segments: tuple[Segment, ...]
    freed: tuple[int, ...]
    hidden: Payload
    packed: bytes = field(default=b"", compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Tokens:
    """The last stage has finished a step: (sequence, token) for each segment that asked for a sample.

    `logprobs` is empty, or has one for each of the tokens (None where nobody asked). `scored`: for each segment with
    targets the sequence and theirs.
    """

    lane: int
    term: int
    step: int
    tokens: tuple[tuple[int, int], ...]
    logprobs: tuple[Logprobs | None, ...] = ()
    scored: tuple[tuple[int, tuple[Logprobs, ...]], ...] = ()


@dataclass(frozen=True, slots=True)
class Reset:
    """A new life of the lane begins: drop its KV cache, refuse lower terms, pass this on around the ring."""

    lane: int
    term: int


@dataclass(frozen=True, slots=True)
class Broken:
    """The lane's life `term` cannot go on. Travels against the ring, as an answer, until it reaches the head."""

    lane: int
    term: int


# Between a gateway and a head.


@dataclass(frozen=True, slots=True)
class Submit:
    """Continue this request. `generated` are tokens that were emitted before (facts); `max_tokens` counts them too.

    Of those that wait, the highest `priority` is admitted first, and the lowest is put back first. `prompt_logprobs`:
    -1, else how many of the likeliest tokens are told beside each of the prompt's own, all of them before the first
    new token. `name` is the client's id for it, for people who read logs; nobody says that it is the only one.
    """

    request: bytes
    prompt: tuple[int, ...]
    generated: tuple[int, ...]
    sampling: Sampling
    max_tokens: int
    stop_tokens: tuple[int, ...]
    priority: int = 0
    prompt_logprobs: int = -1
    name: str = ""


@dataclass(frozen=True, slots=True)
class Cancel:
    """The client has gone away."""

    request: bytes


@dataclass(frozen=True, slots=True)
class Emitted:
    """Token number `position` of the generated ones (from 0). `finish` is "", "stop" or "length"."""

    request: bytes
    position: int
    token: int
    finish: str
    logprobs: Logprobs | None = None


@dataclass(frozen=True, slots=True)
class Scored:
    """Of the prompt's tokens from number `position` on, whose first (0) has none. What was told may come again."""

    request: bytes
    position: int
    logprobs: tuple[Logprobs, ...]


@dataclass(frozen=True, slots=True)
class Returned:
    """This head cannot go on with the request; another lane may, from the tokens emitted so far."""

    request: bytes
    reason: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The user's mistake, with value, rule and remedy in `message`; or code "overloaded": too many wait already."""

    request: bytes
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Load:
    """What all lanes of this head have to do, said now and then to every gateway: requests, KV blocks, and how many of
    the tokens admitted since its start were in the cache already."""

    waiting: int
    running: int
    blocks: int
    blocks_used: int
    tokens_admitted: int
    tokens_found: int


# Between any two ranks of which one has dialled the other.


@dataclass(frozen=True, slots=True)
class Ping:
    """Nothing has been heard of the peer for a while: it is to give a sign of life."""


@dataclass(frozen=True, slots=True)
class Pong:
    """The peer's loop turns. `service_us`: microseconds that a small batch of rows took an expert there, at the least,
    in the last seconds; 0 where there was none."""

    service_us: int


# Between two ranks, about payloads that do not travel on the connection itself.


@dataclass(frozen=True, slots=True)
class Source:
    """Whoever reads this may fetch parcels from `num_bytes` of the sender's memory at `address`, with the agent that
    `metadata` describes. The parcel at `offset`, of no bytes, is there to find out whether that works.
    """

    metadata: bytes
    address: int
    num_bytes: int
    offset: int
    stamp: int


@dataclass(frozen=True, slots=True)
class Parcel:
    """A message in its place among the others whose payload lies at `offset` of the sender's memory, under `stamp`.

    `head` is the message's frame without the payload. No two parcels of a process have the same stamp.
    """

    head: bytes
    offset: int
    stamp: int


@dataclass(frozen=True, slots=True)
class Fetched:
    """The memory of the parcel with this stamp is the sender's again. 0: the Source cannot be read from here."""

    stamp: int


Greeting = Challenge | Hello | Welcome
LifeMessage = Ping | Pong
ExpertMessage = Dispatch | Result | NotHere
LaneMessage = Step | Tokens | Reset | Broken
RequestMessage = Submit | Cancel | Emitted | Scored | Returned | Refused | Load
ParcelMessage = Source | Parcel | Fetched
Message = Greeting | LifeMessage | ExpertMessage | LaneMessage | RequestMessage | ParcelMessage

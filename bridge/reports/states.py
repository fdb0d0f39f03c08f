"""The states of a report, their allowed moves and the words for them: one table for code, SQL and pages.

The Open311, CRM and mySociety words follow the map in docs/glossary.md.
"""

from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """Where a report stands. The bridge owns the report; the registered case is only mirrored."""

    RECEIVED = "received"
    ACKNOWLEDGED = "acknowledged"
    NEEDS_COMPLETION = "needs_completion"
    REGISTERED = "registered"
    CLOSED = "closed"


class Outcome(StrEnum):
    """Why a report was closed: a closed list, so that the monthly recap can count it."""

    SETTLED = "settled"
    GRANTED = "granted"
    REJECTED = "rejected"
    LAPSED = "lapsed"
    NOT_COMPETENT = "not_competent"
    REFERRED = "referred"
    INCOMPLETE = "incomplete"
    DUPLICATE = "duplicate"
    WITHDRAWN = "withdrawn"


class Move(StrEnum):
    """What a person (or the citizen, through the city app) does to a report."""

    ACKNOWLEDGE = "acknowledge"
    ASK_COMPLETION = "ask_completion"
    RESUME = "resume"
    REGISTER = "register"
    CLOSE = "close"
    REOPEN = "reopen"
    WITHDRAW = "withdraw"


#: move -> (states it may start from, state it leads to)
MOVES: dict[Move, tuple[frozenset[Status], Status]] = {
    Move.ACKNOWLEDGE: (frozenset({Status.RECEIVED}), Status.ACKNOWLEDGED),
    Move.ASK_COMPLETION: (frozenset({Status.ACKNOWLEDGED}), Status.NEEDS_COMPLETION),
    Move.RESUME: (frozenset({Status.NEEDS_COMPLETION}), Status.ACKNOWLEDGED),
    Move.REGISTER: (frozenset({Status.ACKNOWLEDGED, Status.NEEDS_COMPLETION}), Status.REGISTERED),
    Move.CLOSE: (
        frozenset({Status.ACKNOWLEDGED, Status.NEEDS_COMPLETION, Status.REGISTERED}),
        Status.CLOSED,
    ),
    Move.REOPEN: (frozenset({Status.CLOSED}), Status.RECEIVED),
    # The citizen may withdraw at any time before the end, also before anybody looked.
    Move.WITHDRAW: (frozenset(Status) - {Status.CLOSED}, Status.CLOSED),
}

#: Outcomes a report can have before it is a registered case; the others are decisions of the body.
BEFORE_REGISTRATION = frozenset(
    {
        Outcome.NOT_COMPETENT,
        Outcome.REFERRED,
        Outcome.INCOMPLETE,
        Outcome.DUPLICATE,
        Outcome.WITHDRAWN,
        Outcome.SETTLED,
    }
)


@dataclass(frozen=True)
class Words:
    """How one state is said: to people in two languages, as a colour, and to other systems."""

    id: str
    en: str
    colour: str  # merah, kuning, hijau: the three colours the city's people know since 2016
    crm: str
    open311: str
    mysociety: str


WORDS: dict[Status, Words] = {
    Status.RECEIVED: Words(
        "Diterima, menunggu BPSK", "Received, waiting for BPSK", "merah", "Menunggu", "open", "open"
    ),
    Status.ACKNOWLEDGED: Words(
        "Ditelaah BPSK", "Being reviewed by BPSK", "kuning", "Koordinasi", "open", "investigating"
    ),
    Status.NEEDS_COMPLETION: Words(
        "Perlu dilengkapi", "Needs completion by you", "kuning", "Koordinasi", "open", "action_scheduled"
    ),
    Status.REGISTERED: Words(
        "Terdaftar sebagai perkara", "Registered as a case", "kuning", "Proses", "open", "in_progress"
    ),
    Status.CLOSED: Words("Selesai", "Closed", "hijau", "Selesai", "closed", "closed"),
}

OUTCOME_WORDS: dict[Outcome, Words] = {
    Outcome.SETTLED: Words("Perdamaian tercapai", "Settled", "hijau", "Selesai", "closed", "fixed"),
    Outcome.GRANTED: Words("Gugatan dikabulkan", "Granted", "hijau", "Selesai", "closed", "closed"),
    Outcome.REJECTED: Words("Gugatan ditolak", "Rejected", "hijau", "Selesai", "closed", "closed"),
    Outcome.LAPSED: Words("Gugur", "Lapsed", "hijau", "Selesai", "closed", "closed"),
    Outcome.NOT_COMPETENT: Words(
        "Bukan wewenang BPSK",
        "Not within BPSK's competence",
        "hijau",
        "Selesai",
        "closed",
        "not_councils_responsibility",
    ),
    Outcome.REFERRED: Words(
        "Dirujuk ke lembaga lain", "Referred elsewhere", "hijau", "Selesai", "closed", "internal_referral"
    ),
    Outcome.INCOMPLETE: Words(
        "Ditutup karena tidak dilengkapi", "Closed as incomplete", "hijau", "Selesai", "closed", "no_further_action"
    ),
    Outcome.DUPLICATE: Words("Duplikat", "Duplicate", "hijau", "Selesai", "closed", "duplicate"),
    Outcome.WITHDRAWN: Words("Dicabut pelapor", "Withdrawn by the reporter", "hijau", "Selesai", "closed", "cancelled"),
}


class MoveRefused(Exception):
    """The move is not allowed from the report's present state; `allowed` lists what is."""

    def __init__(self, move: Move, status: Status, *, why: str = "") -> None:
        self.move, self.status, self.allowed = move, status, moves_from(status)
        reason = why or f"a report that is {status} can only: {', '.join(self.allowed) or 'nothing'}"
        super().__init__(f"cannot {move}: {reason}")


def moves_from(status: Status) -> list[Move]:
    """Return the moves allowed from `status`, in the order of `Move`."""
    return [move for move, (start, _) in MOVES.items() if status in start]


def after(move: Move, status: Status, *, outcome: Outcome | None = None) -> Status:
    """Return the state `move` leads to from `status`.

    Raises:
        MoveRefused: not allowed from there, or closing without an outcome that fits the state.
    """
    start, target = MOVES[move]
    if status not in start:
        raise MoveRefused(move, status)
    if move is Move.CLOSE:
        _check_outcome(status, outcome)
    return target


def words_for(status: Status, outcome: Outcome | None = None) -> Words:
    """Return the words for a state; a closed report is named by its outcome."""
    return OUTCOME_WORDS[outcome] if status is Status.CLOSED and outcome is not None else WORDS[status]


def _check_outcome(status: Status, outcome: Outcome | None) -> None:
    if outcome is None:
        raise MoveRefused(Move.CLOSE, status, why="closing needs an outcome: " + ", ".join(Outcome))
    if status is not Status.REGISTERED and outcome not in BEFORE_REGISTRATION:
        allowed = ", ".join(sorted(BEFORE_REGISTRATION))
        raise MoveRefused(Move.CLOSE, status, why=f"{outcome} needs a registered case; before that: {allowed}")

"""What reports and clocks must look like, told from the append-only tables alone: history and the escalation log.

Pure, and written from the meaning of the events, not from the code that writes them: that is what makes it a check.
Due times follow by the arithmetic of clocks, which is proved against a minute-by-minute walk.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from bridge.reports.clocks import Policy, timed
from bridge.storage.rows import obligation_of
from config.calendars import calendar_from

Row = Mapping[str, Any]

#: The clocks of the office that stand still while the citizen is asked.
STAND_STILL = ("acknowledge", "triage")
#: Event -> the clocks it meets; the end of a report cancels all others.
MEETS = {
    "acknowledge": ("acknowledge",),
    "resume": ("completion",),
    "register": ("triage", "completion"),
    "close": ("triage", "decision"),
}
#: Event -> the state it leads to.
LEADS_TO = {
    "received": "received",
    "acknowledge": "acknowledged",
    "ask_completion": "needs_completion",
    "resume": "acknowledged",
    "register": "registered",
    "close": "closed",
    "withdraw": "closed",
    "reopen": "received",
    "merged": "closed",
}
_ENDED = ("met", "cancelled")


@dataclass
class Clock:
    """An obligation, as the log tells it."""

    kind: str
    cycle: int
    started_at: datetime
    earlier_steps: int
    policy_version: str
    calendar_version: str
    state: str = "running"
    pauses: list[dict[str, Any]] = field(default_factory=list)
    ended_at: datetime | None = None
    ended_by: str | None = None
    step: int = 0
    level: int = 0
    #: Steps it is past without having fired them: another clock's, taken over in a merge.
    passed: int = 0
    #: In which state a merge found it.
    stopped_in: str | None = None

    def end(self, state: str, line: Row) -> None:
        """End it, unless it has ended."""
        if self.state not in _ENDED:
            self.state, self.ended_at, self.ended_by = state, line["at"], line["actor"]

    def stop_for_a_merge(self, line: Row) -> None:
        """End, so that it can go on."""
        self.stopped_in = self.state if self.state not in _ENDED else None
        self.end("cancelled", {**line, "actor": f"merged:{line['data']['into']}"})

    def go_on(self, line: Row) -> None:
        """Go on after a merge that was taken back: what ran has not run between."""
        if self.stopped_in is None:
            return
        if self.stopped_in == "running":
            assert self.ended_at is not None
            away = {"since": self.ended_at, "until": max(line["at"], self.ended_at)}
            self.pauses.append({**away, "by": line["actor"], "reason": "merged"})
        self.state, self.stopped_in, self.ended_at, self.ended_by = self.stopped_in, None, None, None

    def take_over(self, other: "Clock", line: Row) -> None:
        """Go on with the start and the pauses of another report's clock, which stands still no more; who waits waits on."""
        waits = [{**self.pauses[-1], "since": line["at"]}] if self.state == "paused" else []
        pauses = [{**p, "until": p["until"] or max(line["at"], p["since"])} for p in other.pauses]
        self.started_at, self.pauses = other.started_at, pauses + waits
        self.policy_version, self.calendar_version = other.policy_version, other.calendar_version

    def take_rules(self, data: Row) -> None:
        """Be computed by other rules from now on, if open."""
        if self.state not in _ENDED:
            self.policy_version = data.get("policy", self.policy_version)
            self.calendar_version = data["calendar"]

    def pause(self, line: Row) -> None:
        """Let it stand still from now, if it runs."""
        if self.state == "running":
            self.state = "paused"
            reason = "; ".join(line["data"].get("missing", ()))
            self.pauses.append({"since": line["at"], "until": None, "by": line["actor"], "reason": reason})

    def resume(self, line: Row) -> None:
        """Let it run again, if it stands still; a clock set back meanwhile takes nothing off."""
        if self.state == "paused":
            self.state = "running"
            self.pauses[-1]["until"] = max(line["at"], self.pauses[-1]["since"])

    def stood_still(self, line: Row) -> None:
        """Give back the time by which its citizen was told late."""
        since = datetime.fromisoformat(line["data"]["since"])
        self.pauses.append({"since": since, "until": line["at"], "by": line["actor"], "reason": "told_late"})


@dataclass
class Report:
    """A report, as the log tells it."""

    report_id: str
    status: str = ""
    outcome: str | None = None
    cycle: int = 1
    office: str = ""
    assignee: str | None = None
    case_number: str | None = None
    missing: list[str] = field(default_factory=list)
    merged_into: str | None = None
    missing_before: list[str] = field(default_factory=list)
    clocks: dict[str, Clock] = field(default_factory=dict)

    def read(self, line: Row) -> None:
        """Go one line of history further."""
        event, data = line["event"], line["data"]
        self.cycle = line["cycle"]
        self.status = LEADS_TO.get(event, self.status)
        self.office = data.get("office", self.office)
        if event in ("routed", "reassigned", "acknowledge") and "to" in data:
            self.assignee = data["to"]
        if event == "transferred":
            self.office, self.assignee = data["to"], data["desk"]
        self._what_it_says(event, data)
        self._ends(event, line)
        for kind, policy in data.get("clocks", {}).items():
            earlier = data.get("earlier_steps", {}).get(kind, 0)
            self.clocks[kind] = Clock(kind, line["cycle"], line["at"], earlier, policy, data["calendar"])

    def _what_it_says(self, event: str, data: Row) -> None:
        if event == "merged":
            self.missing_before = self.missing
        if event == "unmerged":
            self.status, self.missing = data["status"], self.missing_before
        if event in ("close", "withdraw", "reopen", "merged", "unmerged"):
            said = {"close": data.get("outcome"), "withdraw": "withdrawn", "merged": "duplicate"}
            self.outcome, self.merged_into = said.get(event), data.get("into")
        if event == "register":
            self.case_number = data["case_number"].strip()
        if event in LEADS_TO:
            self.missing = list(data.get("missing", ())) if event == "ask_completion" else []

    def _ends(self, event: str, line: Row) -> None:
        for clock in self.clocks.values():
            if clock.kind in MEETS.get(event, ()) or (event == "met" and line["data"]["kind"] == clock.kind):
                clock.end("met", line)
            if event in ("close", "withdraw"):
                clock.end("cancelled", line)
            if event in _TO_ALL:
                _TO_ALL[event](clock, line)
            if clock.kind in STAND_STILL and event in _TO_THOSE_THAT_WAIT:
                _TO_THOSE_THAT_WAIT[event](clock, line)
            if event == "transferred":
                clock.take_rules(line["data"])
            if line["data"].get("kind") == clock.kind and event in _TO_ONE:
                _TO_ONE[event](clock, line)


def _renewed(clock: Clock, line: Row) -> None:
    clock.take_rules(line["data"])


#: Event -> what it does to the clock it names, to every clock of the report, and to those that wait for the citizen.
_TO_ONE = {"told_late": Clock.stood_still, "due_moved": _renewed, "rules_renewed": _renewed}
_TO_ALL = {"merged": Clock.stop_for_a_merge, "unmerged": Clock.go_on}
_TO_THOSE_THAT_WAIT = {"ask_completion": Clock.pause, "resume": Clock.resume}


def rebuilt(history: Iterable[Row], log: Iterable[Row]) -> dict[str, Report]:
    """Return every report with its clocks, by id, from the lines of both tables."""
    found: dict[str, Report] = {}
    for line in sorted(history, key=lambda line: line["id"]):
        found.setdefault(line["report_id"], Report(line["report_id"])).read(line)
        for taken in line["data"].get("deadlines", ()) if line["event"] == "took_over" else ():
            own = found[line["report_id"]].clocks[taken["kind"]]
            other = found[line["data"]["report_id"]].clocks[taken["kind"]]
            own.take_over(other, line)
            own.passed = taken["step"]
    for fired in sorted(log, key=lambda row: row["id"]):
        clock = found[fired["report_id"]].clocks[fired["kind"]]
        if fired["cycle"] == clock.cycle and fired["step"] > clock.earlier_steps:
            clock.step = fired["step"] - clock.earlier_steps if clock.passed else clock.step + 1
            clock.level = max(clock.level, fired["level"])
    for clock in (clock for report in found.values() for clock in report.clocks.values()):
        clock.step = max(clock.step, clock.passed)
    return found


def differences(rows: Mapping[str, Iterable[Row]]) -> list[str]:
    """Return where the live tables `reports` and `obligations` are not what the log says; empty if they are."""
    told = rebuilt(rows["history"], rows["escalations"])
    faults = [f"{row['ticket']} has no history" for row in rows["reports"] if row["report_id"] not in told]
    live = {row["report_id"]: row for row in rows["reports"]}
    faults += [f"{report_id} has a history and is not there" for report_id in told.keys() - live.keys()]
    for report_id in told.keys() & live.keys():
        faults += _differing(live[report_id]["ticket"], told[report_id], live[report_id], _REPORT)
    clocks = {(r.report_id, kind): clock for r in told.values() for kind, clock in r.clocks.items()}
    owed = {(row["report_id"], row["kind"]): row for row in rows["obligations"]}
    faults += [f"clock {key}: the log says {key in clocks}, the table {key in owed}" for key in clocks.keys() ^ owed]
    for key in clocks.keys() & owed.keys():
        row = {**owed[key], "pauses": [_with_instants(pause) for pause in owed[key]["pauses"]]}
        faults += _differing(f"{key[1]} of {key[0]}", clocks[key], row, _CLOCK)
    return faults or [fault for row in owed.values() for fault in _otherwise_due(row, rows)]


def _otherwise_due(row: Row, rows: Mapping[str, Iterable[Row]]) -> list[str]:
    """Return where a clock's times are not what its start, pauses, steps and rules give: those the log has told."""
    versions = {one["version"]: one["definition"] for one in rows["versions"]}
    name = row["calendar_version"].rpartition("@")[0]
    policy = Policy.from_definition(row["policy_version"], dict(versions[row["policy_version"]]))
    calendar = calendar_from(name, versions[row["calendar_version"]], row["calendar_version"])
    fresh = timed(obligation_of(row), policy, calendar)
    stuck = any(
        line["event"] == "clock_stuck" and line["report_id"] == row["report_id"] and line["actor"].endswith(row["kind"])
        for line in rows["history"]
    )
    names = ("deadline_at",) if stuck else ("deadline_at", "next_due")  # a stuck one is put off
    return [
        f"{row['kind']} of {row['report_id']}: {name} is {row[name]}, its rules give {getattr(fresh, name)}"
        for name in names
        if row[name] != getattr(fresh, name)
    ]


_REPORT = ("status", "outcome", "cycle", "office", "assignee", "case_number", "missing", "merged_into")
_CLOCK = (
    "cycle",
    "state",
    "started_at",
    "earlier_steps",
    "step",
    "level",
    "pauses",
    "ended_at",
    "ended_by",
    "policy_version",
    "calendar_version",
)


def _differing(what: str, told: Report | Clock, live: Row, names: Iterable[str]) -> list[str]:
    return [
        f"{what}: {name} is {live[name]!r}, the log says {getattr(told, name)!r}"
        for name in names
        if getattr(told, name) != live[name]
    ]


def _with_instants(pause: Row) -> dict[str, Any]:
    instants = {name: datetime.fromisoformat(pause[name]) for name in ("since", "until") if pause[name]}
    return {**pause, **instants}

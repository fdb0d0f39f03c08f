"""The invariants of the clocks, judged from rows alone: one function each, named after its number.

Each takes what stands in the database (and what stood there before, if it is about a change) and returns what breaks
the invariant, in words; nothing if it holds. No clock, no database, no code of the engine but the arithmetic of a
plan, which is proved against a minute-by-minute walk in tests/unit/test_calendars_walked.py.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from itertools import pairwise
from typing import Any

from bridge.reports.clocks import Policy, plan, resume
from bridge.storage.rows import obligation_of
from config.calendars import calendar_from
from tests.invariants import rebuild

Row = Mapping[str, Any]
Rows = Mapping[str, Sequence[Row]]
#: What a person is told of a clock.
TOLD_OF_CLOCKS = ("warning", "escalation", "digest")
ENDED = ("met", "cancelled")
#: Lines of history that give clocks other times than those they were started with.
MOVED = ("took_over", "transferred", "due_moved", "rules_renewed", "unmerged")


@dataclass(frozen=True)
class Facts:
    """Every row of every table at one moment; `steady` is False once the database's clock has been set back."""

    rows: Rows
    steady: bool = True

    @cached_property
    def log(self) -> list[Row]:
        """Return the escalation log in the order of its sequence."""
        return sorted(self.rows["escalations"], key=lambda row: row["id"])

    @cached_property
    def clocks(self) -> dict[tuple[str, str], Row]:
        """Return the obligations by (report id, kind)."""
        return {(row["report_id"], row["kind"]): row for row in self.rows["obligations"]}

    @cached_property
    def reports(self) -> dict[str, Row]:
        """Return the reports by id."""
        return {row["report_id"]: row for row in self.rows["reports"]}

    @cached_property
    def policies(self) -> dict[str, Row]:
        """Return the definitions of policies by version."""
        return {row["version"]: row["definition"] for row in self.rows["versions"] if row["what"] == "policy"}

    @cached_property
    def chains(self) -> dict[tuple[str, str, int], list[Row]]:
        """Return what has fired by (report id, kind, cycle), in the order of the log."""
        found: dict[tuple[str, str, int], list[Row]] = defaultdict(list)
        for row in self.log:
            found[row["report_id"], row["kind"], row["cycle"]].append(row)
        return found

    def fired(self, clock: Row) -> list[Row]:
        """Return what an obligation has fired since it was started."""
        chain = self.chains.get((clock["report_id"], clock["kind"], clock["cycle"]), [])
        return [row for row in chain if row["step"] > clock["earlier_steps"]]

    def happened(self, report_id: str, *events: str) -> list[Row]:
        """Return the lines of a report's history that say one of these."""
        return [line for line in self.rows["history"] if line["report_id"] == report_id and line["event"] in events]

    @cached_property
    def disturbed(self) -> set[tuple[str, str]]:
        """Return the clocks whose due time is not their plan's: put off as stuck, or moved by a new rule."""
        stuck = {
            (line["report_id"], line["actor"].removeprefix("clock:"))
            for line in self.rows["history"]
            if line["event"] == "clock_stuck"
        }
        moved = {line["report_id"] for line in self.rows["history"] if line["event"] in MOVED}
        return stuck | {key for key in self.clocks if key[0] in moved}


def i1_nothing_fires_after_the_end(facts: Facts) -> Iterator[str]:
    """I1 No fired row commits after the ack/meet/cancel of the same cycle commits; at send time the state is re-read."""
    for clock in facts.clocks.values():
        if clock["state"] not in ENDED or not facts.steady:
            continue
        late = [row["step"] for row in facts.fired(clock) if row["fired_at"] > clock["ended_at"]]
        if late:
            yield f"{_name(clock)}: steps {late} fired after it was {clock['state']}"
        for notice in facts.rows["deliveries"]:
            if not _is_about(notice, clock) or notice["state"] != "delivered":
                continue
            begun = [a["at"] for a in facts.rows["delivery_attempts"] if a["delivery_id"] == notice["delivery_id"]]
            if begun and max(begun) > clock["ended_at"]:
                yield f"{_name(clock)}: step {notice['step']} was told to {notice['recipient']} after the end"


def i2_fires_at_most_once(facts: Facts) -> Iterator[str]:
    """I2 Each (obligation, cycle, level) fires at most once: unique key, not a check."""
    counted = Counter((row["report_id"], row["kind"], row["cycle"], row["step"]) for row in facts.log)
    yield from (f"{key} fired {count} times" for key, count in counted.items() if count > 1)


def i3_steps_rise_by_one(facts: Facts) -> Iterator[str]:
    """I3 Levels rise by exactly 1: fired(k) ⇒ fired(k−1) committed earlier in the same cycle."""
    for key, chain in facts.chains.items():
        steps = [row["step"] for row in chain]
        taken_over = facts.happened(key[0], "took_over")
        if steps != (sorted(set(steps)) if taken_over else list(range(1, len(steps) + 1))):
            yield f"{key} fired in the order {steps}"


def i4_nothing_fires_early(facts: Facts) -> Iterator[str]:
    """I4 Nothing fires early, by the database clock; and due_at was the current plan's value when it fired."""
    for row in facts.log:
        late_s = (row["fired_at"] - row["due_at"]).total_seconds()
        if late_s < 0:
            yield f"{_name(row)}: step {row['step']} fired {-late_s} s early"
        elif abs(row["lateness_s"] - late_s) > 0.001:
            yield f"{_name(row)}: step {row['step']} was {late_s} s late and says {row['lateness_s']}"
    for key, clock in facts.clocks.items():
        if facts.steady and key not in facts.disturbed:
            yield from _not_as_planned(facts, clock)


def _not_as_planned(facts: Facts, clock: Row) -> Iterator[str]:
    before: Row | None = None
    for row in facts.fired(clock):
        policy = Policy.from_definition(row["policy_version"], dict(facts.policies[row["policy_version"]]))
        whole = replace(obligation_of(clock), step=0)
        steps = plan(whole, policy, _calendar(facts, row["calendar_version"]))
        planned = {steps[row["step"] - clock["earlier_steps"] - 1][1]}
        if before is not None and _found_nobody(before):
            planned.add(before["fired_at"])  # at once
        if row["due_at"] not in planned and row["remark"] != "hurried":  # a person's word is no plan
            yield f"{_name(clock)}: step {row['step']} was due at {row['due_at']}, planned at {planned}"
        before = row


def i5_log_state_and_outbox_agree(facts: Facts) -> Iterator[str]:
    """I5 fired row ⇔ outbox row ⇔ state change: all three or none (any crash point)."""
    for clock in facts.clocks.values():
        fired = len(facts.fired(clock))
        if clock["step"] != fired and not facts.happened(clock["report_id"], "took_over"):
            yield f"{_name(clock)}: at step {clock['step']}, but {fired} are in the log"
    yield from _notices_unlike_the_log(facts)


def _notices_unlike_the_log(facts: Facts) -> Iterator[str]:
    notices = _notices(facts)
    for row in facts.log:
        for person in row["told"]:
            covering = [n for n in notices[row["report_id"], row["kind"]] if _covers(n, row, person)]
            if len(covering) != 1:
                yield f"{_name(row)}: step {row['step']} has {len(covering)} notices for {person}"
    for of_one_clock in notices.values():
        for notice in of_one_clock:
            if not _has_its_row(facts, notice):
                yield f"{_name(notice)}: {notice['recipient']} is told of step {notice['step']}, which the log has not"


def _notices(facts: Facts) -> dict[tuple[str, str], list[Row]]:
    found: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for delivery in facts.rows["deliveries"]:
        if delivery["event"] in TOLD_OF_CLOCKS:
            found[delivery["report_id"], delivery["kind"]].append(delivery)
    return found


def _covers(notice: Row, row: Row, person: str) -> bool:
    # One notice may tell of several steps that fired together; it bears the number of the last.
    same = notice["recipient"] == person and notice["created_at"] == row["fired_at"]
    return bool(same and notice["cycle"] == row["cycle"] and notice["step"] >= row["step"])


def _has_its_row(facts: Facts, notice: Row) -> bool:
    chain = facts.chains.get((notice["report_id"], notice["kind"], notice["cycle"]), [])
    rows = [row for row in chain if row["step"] == notice["step"] and row["fired_at"] == notice["created_at"]]
    # Nobody on the last rung: the admins are told in their place.
    return any(notice["recipient"] in row["told"] or row["did"] == "no_target" for row in rows) or any(
        notice["recipient"] in row["told"] for row in chain if rows and row["fired_at"] == notice["created_at"]
    )


def i6_one_due_time_or_none(facts: Facts) -> Iterator[str]:
    """I6 At most one pending due time per obligation; next_due IS NULL ⇔ state ≠ running or chain finished."""
    for clock in facts.clocks.values():
        finished = clock["step"] >= len(facts.policies[clock["policy_version"]]["steps"])
        still = clock["state"] != "running" or finished
        if (clock["next_due"] is None) != still:
            what = f"{clock['state']}, step {clock['step']}"
            yield f"{_name(clock)}: {what}, next due {clock['next_due']}"


def i7_nothing_fires_while_paused(facts: Facts) -> Iterator[str]:
    """I7 While paused nothing fires; a pause that commits before the tick wins."""
    for clock in facts.clocks.values():
        for pause in clock["pauses"] if facts.steady else ():
            since = datetime.fromisoformat(pause["since"])
            until = datetime.fromisoformat(pause["until"]) if pause["until"] else None
            within = [
                r["step"] for r in facts.fired(clock) if since < r["fired_at"] and (not until or r["fired_at"] < until)
            ]
            if within:
                yield f"{_name(clock)}: steps {within} fired while it stood still"


def i9_no_more_than_the_chain_has(facts: Facts) -> Iterator[str]:
    """I9 Repeats are bounded by the policy: total fires ≤ levels × (repeats+1) per cycle (each repeat is a step)."""
    for clock in facts.clocks.values():
        most = len(facts.policies[clock["policy_version"]]["steps"])
        if len(facts.fired(clock)) > most and not facts.happened(clock["report_id"], "took_over"):
            yield f"{_name(clock)}: {len(facts.fired(clock))} fired, the chain has {most}"


def i10_each_deadline_notifies_once(facts: Facts) -> Iterator[str]:
    """I10 Two different deadlines on one day both notify; the same one never twice because a date rolled over."""
    of_clocks = [d for d in facts.rows["deliveries"] if d["event"] in TOLD_OF_CLOCKS]
    told = Counter((d["report_id"], d["kind"], d["cycle"], d["step"], d["recipient"]) for d in of_clocks)
    yield from (f"{key} is told {count} times" for key, count in told.items() if count > 1)
    for key, chain in facts.chains.items():
        for row in chain:
            if row["told"] and not any(
                d["kind"] == row["kind"] and d["report_id"] == row["report_id"] for d in of_clocks
            ):
                yield f"{key}: nobody is told of step {row['step']}"


def i14_nobody_at_a_level_goes_on_at_once(facts: Facts) -> Iterator[str]:
    """I14 A level that resolves to nobody advances at once and is logged as no_target; last level empty ⇒ alarm."""
    for key, clock in facts.clocks.items():
        fired = facts.fired(clock)
        for row, following in pairwise(fired):
            waited = following["due_at"] > row["fired_at"] and following["did"] != "close"
            if _found_nobody(row) and waited and key not in facts.disturbed:
                yield f"{_name(row)}: step {row['step']} found nobody, the next waited until {following['due_at']}"
        if not fired or not _found_nobody(fired[-1]) or clock["state"] != "running":
            continue
        coming = facts.policies[clock["policy_version"]]["steps"][clock["step"] :][:1]
        closes = any(step["do"] == "close" for step in coming)
        late = clock["next_due"] is not None and clock["next_due"] > fired[-1]["fired_at"] and not closes
        if late and not clock["pauses"] and key not in facts.disturbed:
            yield f"{_name(clock)}: found nobody at {fired[-1]['fired_at']}, goes on only at {clock['next_due']}"


def i15_nothing_leaves_silently(facts: Facts) -> Iterator[str]:
    """I15 A finished chain without ack stays visible until met; nothing leaves the watcher's list unexplained."""
    for clock in facts.clocks.values():
        if clock["state"] not in ENDED:
            continue
        lines = facts.happened(clock["report_id"], *rebuild.LEADS_TO, "met")
        by = {line["actor"] for line in lines if line["at"] == clock["ended_at"]}
        by |= {f"merged:{line['data']['into']}" for line in lines if line["event"] == "merged"}
        if clock["ended_by"] not in by:
            yield f"{_name(clock)} is {clock['state']} by {clock['ended_by']}, which the history does not know"


#: State of a report -> the clock that must run in it.
NEXT_CLOCK = {
    "received": "acknowledge",
    "acknowledged": "triage",
    "needs_completion": "completion",
    "registered": "decision",
}


def i16_acknowledging_stops_one_clock_only(facts: Facts) -> Iterator[str]:
    """I16 Acked but no progress by the next clock ⇒ that clock runs by itself (ack only stops the ack clock)."""
    for report in facts.reports.values():
        clock = facts.clocks.get((report["report_id"], NEXT_CLOCK.get(report["status"], "")))
        if clock is not None and (clock["state"], clock["cycle"]) != ("running", report["cycle"]):
            yield f"{report['ticket']} is {report['status']}, but its {clock['kind']} clock is {clock['state']}"


def i29_chain_never_stalls(facts: Facts) -> Iterator[str]:
    """I29 Deleting a level/person/policy in use: the chain continues, never stalls."""
    known = {row["version"] for row in facts.rows["versions"]}
    for row in (*facts.clocks.values(), *facts.log):
        missing = {row["policy_version"], row["calendar_version"]} - known
        if missing:
            yield f"{_name(row)} needs {missing}, which nobody kept"
    yield from (
        f"{line['report_id']}: {line['data']}" for line in facts.rows["history"] if line["event"] == "clock_stuck"
    )


def i30_reopening_is_a_new_cycle(facts: Facts) -> Iterator[str]:
    """I30 Reopen ⇒ cycle+1, level 0, new base; late messages/acks of cycle c never touch cycle c+1."""
    for report in facts.reports.values():
        report_id = report["report_id"]
        reopened = {line["cycle"]: line["at"] for line in facts.happened(report_id, "reopen")}
        if report["cycle"] != len(reopened) + 1:
            yield f"{report['ticket']} is in cycle {report['cycle']} after {len(reopened)} reopenings"
        for kind in ("acknowledge", "triage"):
            clock = facts.clocks.get((report_id, kind))
            if clock is not None and clock["cycle"] != report["cycle"]:
                yield f"{report['ticket']}: its {kind} clock is of cycle {clock['cycle']}, not {report['cycle']}"
        mine = [row for row in facts.log if row["report_id"] == report_id]
        cycles = [row["cycle"] for row in mine]
        if cycles != sorted(cycles) or any(cycle > report["cycle"] for cycle in cycles):
            yield f"{report['ticket']} fired for cycles {cycles}"
        early = [
            row["step"]
            for row in mine
            if facts.steady and row["fired_at"] < reopened.get(row["cycle"], row["fired_at"])
        ]
        if early:
            yield f"{report['ticket']}: steps {early} fired before the cycle began"


def i34_order_comes_from_a_sequence(facts: Facts) -> Iterator[str]:
    """I34 Clock −Δ: nothing fires twice, no level skipped; log order comes from a sequence, not from timestamps."""
    number = {seal["escalation_id"]: seal["seq"] for seal in facts.rows["escalation_seals"]}
    for key, chain in facts.chains.items():
        sealed = [number[row["id"]] for row in chain if row["id"] in number]
        if sealed != sorted(sealed):
            yield f"{key} is sealed in the order {sealed}"


def i38_acknowledged_once_a_cycle(facts: Facts) -> Iterator[str]:
    """I38 Duplicate ack, early ack, ack of another cycle: defined result, logged, never an error loop."""
    counted = Counter(
        (line["report_id"], line["cycle"]) for line in facts.rows["history"] if line["event"] == "acknowledge"
    )
    yield from (f"{key} was acknowledged {count} times" for key, count in counted.items() if count > 1)


def i40_state_follows_from_the_log(facts: Facts) -> Iterator[str]:
    """I40 Log is append-only and sequence-checked; state can be rebuilt from the log."""
    numbers = sorted(seal["seq"] for seal in facts.rows["escalation_seals"])
    if numbers != list(range(1, len(numbers) + 1)):
        yield f"the seals are numbered {numbers}"
    yield from rebuild.differences(facts.rows)


# -- what only a change can show: before it, after it ----------------------------------------------------------------


def i1_ended_clocks_fire_nothing_more(before: Facts, after: Facts) -> Iterator[str]:
    """I1 No fired row commits after the ack/meet/cancel of the same cycle commits ("after" = commit order)."""
    yield from _fired_though(before, after, ENDED)


def i7_paused_clocks_fire_nothing(before: Facts, after: Facts) -> Iterator[str]:
    """I7 While paused nothing fires; a pause that commits before the tick wins."""
    yield from _fired_though(before, after, ("paused",))


def _fired_though(before: Facts, after: Facts, states: Sequence[str]) -> Iterator[str]:
    for row in _new(before, after):
        clock = before.clocks.get((row["report_id"], row["kind"]))
        if clock and clock["state"] in states and clock["cycle"] == row["cycle"]:
            yield f"{_name(row)}: step {row['step']} fired although it was {clock['state']}"


def i14_empty_last_level_alarms(before: Facts, after: Facts) -> Iterator[str]:
    """I14 A level that resolves to nobody is logged as no_target; last level empty ⇒ alarm."""
    admins = {person["person_id"] for person in after.rows["people"] if person["role"] == "admin" and person["active"]}
    for row in _new(before, after):
        clock = after.clocks[row["report_id"], row["kind"]]
        if (
            not _found_nobody(row)
            or row not in after.fired(clock)[-1:]
            or (clock["state"], clock["next_due"]) != ("running", None)
        ):
            continue
        told = {
            d["recipient"]
            for d in after.rows["deliveries"]
            if _is_about(d, clock) and d["created_at"] == row["fired_at"]
        }
        if admins - told:
            yield f"{_name(row)}: the last step {row['step']} found nobody, and no admin is told"


#: Lines of history that say of which clock a time or a rule changed; a pause that ended says it of those that waited.
SAYS_OF_ONE = ("due_moved", "rules_renewed", "told_late")


def i27_every_move_is_written_down(before: Facts, after: Facts) -> Iterator[str]:
    """I27 Every move writes old → new, reason, actor, calendar version. Announced promises never move silently."""
    known = {line["id"] for line in before.rows["history"]}
    said = [line for line in after.rows["history"] if line["id"] not in known]
    names = ("deadline_at", "policy_version", "calendar_version")
    for key, clock in before.clocks.items():
        now = after.clocks[key]
        again = (now["cycle"], now["earlier_steps"]) != (clock["cycle"], clock["earlier_steps"])
        if again or clock["state"] in ENDED or all(now[name] == clock[name] for name in names):
            continue
        of_it = [line for line in said if line["report_id"] == key[0]]
        lines = [line for line in of_it if line["event"] in SAYS_OF_ONE and line["data"]["kind"] == key[1]]
        # Another office's calendar may leave the time where it was: then the transfer says which calendar counts.
        same_time = now["deadline_at"] == clock["deadline_at"]
        calendars = [line["data"]["calendar"] for line in of_it if line["event"] == "transferred" and same_time]
        told = now["calendar_version"] in calendars or any(line["event"] == "resume" for line in of_it)
        if not lines and not told:
            yield f"{_name(now)}: {[clock[n] for n in names]} became {[now[n] for n in names]}, and no line says so"
        for line in lines[-1:]:
            last = line["data"].get("deadline_now", now["deadline_at"].isoformat())
            if datetime.fromisoformat(last) != now["deadline_at"] or not line["actor"]:
                yield f"{_name(now)}: due at {now['deadline_at']}, {line['actor']!r} says {last}"


def i16_acknowledged_stays_so_in_its_cycle(before: Facts, after: Facts) -> Iterator[str]:
    """I16 Ack only stops the ack clock; nobody takes it back: the next clock runs by itself."""
    names = ("state", "cycle", "ended_at", "ended_by")
    for (report_id, kind), clock in before.clocks.items():
        now, report = after.clocks[report_id, kind], after.reports[report_id]
        if kind != "acknowledge" or clock["state"] != "met" or clock["cycle"] != report["cycle"]:
            continue
        if report["status"] == "received" or any(now[name] != clock[name] for name in names):
            yield f"{_name(now)} was met by {clock['ended_by']}, and is {now['state']}, its report {report['status']}"


def i31_earlier_clock_survives(before: Facts, after: Facts) -> Iterator[str]:
    """I31 Merge: one surviving clock, the earlier due time; the other cancelled with a link."""
    known = {line["id"] for line in before.rows["history"]}
    for line in after.rows["history"]:
        if line["event"] != "took_over" or line["id"] in known:
            continue
        survivor, duplicate = line["report_id"], line["data"]["report_id"]
        link = f"merged:{after.reports[survivor]['ticket']}"
        for (_, kind), given_up in (pair for pair in before.clocks.items() if pair[0][0] == duplicate):
            now, own = after.clocks[duplicate, kind], before.clocks.get((survivor, kind))
            if given_up["state"] not in ENDED and (now["state"], now["ended_by"]) != ("cancelled", link):
                yield f"{_name(now)} is {now['state']} by {now['ended_by']}, not cancelled with a link"
            if own is None or {own["state"], given_up["state"]} & set(ENDED):
                continue
            ends = [_going_on(before, clock, line["at"]) for clock in (own, given_up)]
            kept = after.clocks[survivor, kind]
            if kept["state"] != own["state"] or _going_on(after, kept, line["at"]) != min(ends):
                yield f"{_name(kept)} is {kept['state']}, due {kept['deadline_at']}; the two were due {ends}"


def _going_on(facts: Facts, clock: Row, now: datetime) -> datetime:
    """Return when a clock's span ends if it runs on now, whether it waits or not."""
    policy = Policy.from_definition(clock["policy_version"], dict(facts.policies[clock["policy_version"]]))
    calendar = _calendar(facts, clock["calendar_version"])
    return resume(obligation_of(clock), policy, calendar, now=now).deadline_at


def i30_old_cycles_are_left_alone(before: Facts, after: Facts) -> Iterator[str]:
    """I30 Late messages/acks of cycle c never touch cycle c+1, and nothing more is logged for cycle c."""
    for row in _new(before, after):
        report = before.reports.get(row["report_id"])
        if report and row["cycle"] != report["cycle"]:
            yield f"{_name(row)}: step {row['step']} fired for cycle {row['cycle']} in cycle {report['cycle']}"


def i32_running_clocks_keep_their_start(before: Facts, after: Facts) -> Iterator[str]:
    """I32 Reassign keeps the clock: no reset by ping-pong."""
    for key, clock in before.clocks.items():
        now = after.clocks[key]
        if len(after.happened(key[0], "took_over")) > len(before.happened(key[0], "took_over")):
            continue  # a merge: the earlier deadline may have the later start
        same = all(now[name] == clock[name] for name in ("cycle", "earlier_steps"))
        if same and clock["state"] not in ENDED and now["started_at"] > clock["started_at"]:
            yield f"{_name(clock)} started at {clock['started_at']}, and now at {now['started_at']}"


def i40_log_only_grows(before: Facts, after: Facts) -> Iterator[str]:
    """I40 Log is append-only."""
    for table in ("history", "escalations", "escalation_seals"):
        present = [dict(row) for row in after.rows[table]]
        lost = [row for row in before.rows[table] if dict(row) not in present]
        if lost:
            yield f"{table} lost or changed {lost}"


#: What holds at any moment, and what holds of any change.
ALWAYS: tuple[Callable[[Facts], Iterator[str]], ...] = (
    i1_nothing_fires_after_the_end,
    i2_fires_at_most_once,
    i3_steps_rise_by_one,
    i4_nothing_fires_early,
    i5_log_state_and_outbox_agree,
    i6_one_due_time_or_none,
    i7_nothing_fires_while_paused,
    i9_no_more_than_the_chain_has,
    i10_each_deadline_notifies_once,
    i14_nobody_at_a_level_goes_on_at_once,
    i15_nothing_leaves_silently,
    i16_acknowledging_stops_one_clock_only,
    i29_chain_never_stalls,
    i30_reopening_is_a_new_cycle,
    i34_order_comes_from_a_sequence,
    i38_acknowledged_once_a_cycle,
    i40_state_follows_from_the_log,
)
ON_CHANGE: tuple[Callable[[Facts, Facts], Iterator[str]], ...] = (
    i1_ended_clocks_fire_nothing_more,
    i7_paused_clocks_fire_nothing,
    i14_empty_last_level_alarms,
    i16_acknowledged_stays_so_in_its_cycle,
    i27_every_move_is_written_down,
    i31_earlier_clock_survives,
    i30_old_cycles_are_left_alone,
    i32_running_clocks_keep_their_start,
    i40_log_only_grows,
)


def violations(facts: Facts, before: Facts | None = None) -> list[str]:
    """Return all that breaks an invariant, each with the name of the one it breaks."""
    found = [f"{check.__name__}: {fault}" for check in ALWAYS for fault in check(facts)]
    if before is not None:
        found += [f"{check.__name__}: {fault}" for check in ON_CHANGE for fault in check(before, facts)]
    return found


def i11_overdue(facts: Facts, now: datetime) -> list[str]:
    """I11 Once ticks run again, every overdue level fires: what is still due by `now` has been overlooked."""
    due = [clock for clock in facts.clocks.values() if clock["next_due"] and clock["next_due"] <= now]
    return [f"{_name(clock)}: due at {clock['next_due']}, and did not fire" for clock in due]


def _new(before: Facts, after: Facts) -> list[Row]:
    known = {row["id"] for row in before.log}
    return [row for row in after.log if row["id"] not in known]


def _found_nobody(row: Row | None) -> bool:
    return row is not None and row["did"] == "no_target" and row["level"] > 0


def _is_about(delivery: Row, clock: Row) -> bool:
    same = all(delivery[name] == clock[name] for name in ("report_id", "kind", "cycle"))
    return bool(same and delivery["step"] and delivery["step"] > clock["earlier_steps"])


def _calendar(facts: Facts, version: str) -> Any:
    (definition,) = [row["definition"] for row in facts.rows["versions"] if row["version"] == version]
    return calendar_from(version.rpartition("@")[0], definition, version)


def _name(row: Row) -> str:
    return f"{row['kind']} of {row.get('ticket') or row['report_id']}, cycle {row['cycle']}"

"""A whole office under everything that can happen to it, with the model beside it: the machine hypothesis drives."""

from collections import Counter
from datetime import timedelta
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from bridge.casework import EscalatedSince, NothingOwed, StaleCycle
from bridge.reports.clocks import Kind
from bridge.reports.escalation import NothingToHurry
from bridge.reports.merging import NotPossible
from bridge.reports.moves import Actor, Details
from bridge.reports.recompute import CalendarChange, PolicyChange
from bridge.reports.states import Move, MoveRefused, Outcome
from bridge.storage import escalations, people
from bridge.storage.database import Database
from bridge.storage.reports import NoSuchReport
from consumers.relay_outbox import RelayOutbox
from consumers.report_back import ReportBack
from consumers.watch_clocks import WatchClocks
from tests.invariants import model
from tests.invariants.checker import Facts, Rows, i11_overdue, violations
from tests.invariants.clock import MONDAY, DatabaseClock
from tests.invariants.town import Post, Queue, apply_rules, edited, facts_of, policies, use
from tests.storage.crashes import Killed, killed_before
from tests.storage.office import LINKS, PEOPLE, SOURCE, Office, body, by_mail, id_of, webhook

MOST_REPORTS = 5
WORKERS = 3
ACTORS = {person.person_id: Actor(f"person:{person.person_id}", person) for person in PEOPLE}
DETAILS = Details(outcome=Outcome.REFERRED, case_number="17/BPSK", missing=("KTP",), reason="uji")
#: Longer than any lease, shorter than any rung.
A_LEASE_S = 100
BY_OFFICE = [move for move in Move if move is not Move.WITHDRAW]
LONG_AGO = MONDAY - timedelta(days=365)
which = st.integers(0, MOST_REPORTS - 1)
statement = st.integers(1, 25)


class Machine(RuleBasedStateMachine):
    """The engine on one database; `database` comes from the test."""

    database: Database
    #: What all runs together have seen: proof that they were about something.
    seen: ClassVar[Counter[str]] = Counter()

    def __init__(self) -> None:
        super().__init__()
        self.clock = DatabaseClock(self.database)
        self.office = Office(self.database)
        self.day, self.calendar = 0, self.office.rules.book.calendar_for("bpsk-dki")
        self.model = model.Office(self._rules(), {p.person_id: p.role for p in PEOPLE})
        self.use()
        self.queue, self.post = Queue(), Post()
        self.tellers: dict[str, Any] = {
            "notice.due": by_mail(self.office, self.post),
            "callback.due": ReportBack(self.database, {SOURCE: self.post}, LINKS),  # type: ignore[dict-item]
        }
        self.handled: list[dict[str, Any]] = []
        self.tickets: list[str] = []
        self.steady, self.back, self.may_fire, self.crashes = True, 0, False, 0
        self.before: Facts | None = None
        self.failed = False

    # -- the city ------------------------------------------------------------------------------------------------

    @initialize()
    def begin(self) -> None:
        """Start with a few reports: nothing can happen to none."""
        for _ in range(3):
            self.submit()

    @precondition(lambda self: len(self.tickets) < MOST_REPORTS)
    @rule()
    def submit(self) -> None:
        """A citizen reports."""
        self._take_in(webhook(body(self._next_id()), f"msg-{self._next_id()}"))

    @precondition(lambda self: len(self.tickets) < MOST_REPORTS)
    @rule(at=statement)
    def submit_to_a_worker_that_dies(self, at: int) -> None:
        """The worker dies in front of a statement; nobody acknowledged the message, so it comes again."""
        message = webhook(body(self._next_id()), f"msg-{self._next_id()}")
        self._killed(at, lambda: self.office.take_in.handle([message]))
        self._take_in(message)

    def _next_id(self) -> str:
        return f"Q-{len(self.tickets)}"

    def _take_in(self, message: dict[str, Any]) -> None:
        self.handled.append(message)
        self.office.handle([message])
        (report,) = self.office.rows("reports", report_id=id_of(self._next_id()))
        taken_in = model.Report(report["ticket"], report["assignee"], cycle_began=self.clock.at)
        taken_in.start(model.ON_RECEIPT, self.model.rules, self.clock.at)
        self.model.reports[report["report_id"]] = taken_in
        self.tickets.append(report["ticket"])

    @rule(number=st.integers(0, 30))
    def same_webhook_comes_again(self, number: int) -> None:
        """The queue delivers a message a second time: nothing changes."""
        self.office.handle([self.handled[number % len(self.handled)]])

    @rule(number=which)
    def same_webhook_id_comes_with_another_body(self, number: int) -> None:
        """It is set aside, and changes nothing."""
        number %= len(self.tickets)
        self.office.handle([webhook(body(f"Q-{number}", "report.withdrawn"), f"msg-Q-{number}")])

    @rule(number=which, earlier=st.sampled_from([True, True, False]))
    def citizen_withdraws(self, number: int, earlier: bool) -> None:
        """Now, or in a message that was long on its way: what is older than the cycle changes nothing."""
        report = self._report(number)
        at = MONDAY - timedelta(days=1) if earlier else self.clock.at
        message = webhook(
            body(f"Q-{number % len(self.tickets)}", "report.withdrawn", at=at.isoformat()), f"msg-w-{len(self.handled)}"
        )
        self.handled.append(message)
        self.office.handle([message])
        late = report.cycle > 1 and report.cycle_began is not None and at < report.cycle_began
        if report.allows("withdraw") and not late:
            report.move("withdraw", self.model.rules, self.clock.at)

    # -- people --------------------------------------------------------------------------------------------------

    @rule(
        number=which,
        who=st.sampled_from(["ani", "budi", "kartika"]),
        cycle=st.sampled_from(["any", "this", "other", "unknown"]),
    )
    def acknowledge(self, number: int, who: str, cycle: str) -> None:
        """In time, early, a second time, with the link of another cycle, or of a ticket nobody was given."""
        report = self._report(number)
        wanted = {"any": None, "this": report.cycle, "other": report.cycle + 1, "unknown": None}[cycle]
        ticket = "0000-0000-0000" if cycle == "unknown" else report.ticket
        try:
            changed = self.office.casework.acknowledge(ticket, ACTORS[who], cycle=wanted).changed
        except (StaleCycle, NoSuchReport) as error:
            assert cycle == ("other" if isinstance(error, StaleCycle) else "unknown")
            return
        assert changed == report.allows("acknowledge")
        if changed:
            self._moved(report, Move.ACKNOWLEDGE, who)

    @rule(number=which, choice=st.integers(0, 5))
    def go_on(self, number: int, choice: int) -> None:
        """A move that is allowed."""
        self._move(number, self._allowed(number, choice))

    @rule(number=which, move=st.sampled_from(BY_OFFICE))
    def move(self, number: int, move: Move) -> None:
        """Any move: an allowed one is made, any other refused."""
        self._move(number, move)

    @rule(choices=st.lists(st.integers(0, 5), min_size=1, max_size=MOST_REPORTS))
    def people_work(self, choices: list[int]) -> None:
        """As on any day: a move at some reports."""
        for number, choice in enumerate(choices):
            self.go_on(number, choice)
            self.every_invariant_holds()

    @rule(number=which, times=st.integers(1, 2), seconds=st.sampled_from([1800, 3600]))
    def citizen_is_asked_and_is_slow(self, number: int, times: int, seconds: int) -> None:
        """Asked, reminded, answers; and perhaps once more in the same cycle."""
        report = self._report(number)
        for move in (Move.ACKNOWLEDGE, *(Move.ASK_COMPLETION, Move.RESUME) * times):
            if report.allows(move):
                self._move(number, move)
                self.every_invariant_holds()
                self.time_passes_and_the_engine_works(seconds, 1)

    def _allowed(self, number: int, choice: int) -> Move:
        allowed = [move for move in BY_OFFICE if self._report(number).allows(move)]
        return allowed[choice % len(allowed)]

    def _move(self, number: int, move: Move) -> None:
        report = self._report(number)
        try:
            self.office.casework.move(move, report.ticket, ACTORS["ani"], DETAILS)
        except MoveRefused:
            assert not report.allows(move)
            return
        assert report.allows(move)
        self._moved(report, move, "ani")

    @rule(number=which, choice=st.integers(0, 5), at=statement)
    def move_by_a_process_that_dies(self, number: int, choice: int, at: int) -> None:
        """The desk dies in front of a statement: the move is made whole, or not at all."""
        report, move = self._report(number), self._allowed(number, choice)
        if not self._killed(at, lambda: self.office.casework.move(move, report.ticket, ACTORS["ani"], DETAILS)):
            self._moved(report, move, "ani")

    def _moved(self, report: model.Report, move: Move, who: str) -> None:
        takes = who if ACTORS[who].person.role == "officer" else ""  # type: ignore[union-attr]
        report.move(move, self.model.rules, self.clock.at, by=takes, outcome="referred")

    @rule(number=which, kind=st.sampled_from(list(Kind)))
    def meet(self, number: int, kind: Kind) -> None:
        """Something was done outside; what only a move ends is refused."""
        report = self._report(number)
        clock = report.clocks.get(kind)
        allowed = kind in (Kind.SUMMONS, Kind.FIRST_HEARING) and clock is not None and clock.state == "running"
        try:
            self.office.casework.meet(kind, report.ticket, ACTORS["ani"])
        except NothingOwed:
            assert not allowed
            return
        assert allowed and clock
        clock.end("met")

    @rule(number=which, who=st.sampled_from(["ani", "budi", "citra"]))
    def reassign(self, number: int, who: str) -> None:
        """Somebody gives the report to somebody."""
        report = self._report(number)
        try:
            self.office.casework.assign(report.ticket, ACTORS[who].person, ACTORS["kartika"], "uji")  # type: ignore[arg-type]
        except MoveRefused:
            assert report.status == "closed"
            return
        assert report.status != "closed"
        report.tried |= {report.assignee} if report.assignee else set()
        report.assignee = who

    @rule(number=which, into=which)
    def merge(self, number: int, into: int) -> None:
        """Somebody finds that two reports are of one grievance."""
        report, other = self._report(number), self._report(into)
        possible = report is not other and "closed" not in (report.status, other.status)
        possible = possible and (report.status != "registered" or other.status == "registered")
        try:
            self.office.casework.merge(report.ticket, other.ticket, ACTORS["kartika"], "uji")
        except NotPossible:
            assert not possible
            return
        assert possible
        report.merge_into(other, self.clock.at)

    @rule(number=which)
    def transfer(self, number: int) -> None:
        """Somebody gives the report to the other office: it lies on a desk there, in that office's time."""
        report = self._report(number)
        to = model.OFFICE if report.office == model.OTHER_OFFICE else model.OTHER_OFFICE
        try:
            self.office.casework.transfer(report.ticket, to, ACTORS["kartika"], "uji")
        except NotPossible:
            assert report.status == "closed"
            return
        assert report.status != "closed"
        report.tried |= {report.assignee} if report.assignee else set()
        (row,) = self.office.rows("reports", ticket=report.ticket)
        there = self.model.officers(to)
        assert row["assignee"] in there if there else row["assignee"] is None
        report.office, report.assignee = to, row["assignee"]
        for clock in report.clocks.values():
            clock.take_calendar(self.calendar)

    @rule(number=which, kind=st.sampled_from([Kind.ACKNOWLEDGE, Kind.TRIAGE, Kind.COMPLETION]), stale=st.booleans())
    def send_up(self, number: int, kind: Kind, stale: bool) -> None:
        """Somebody sends the report up before its time; on a page from before, nothing happens."""
        report = self._report(number)
        clock = report.clocks.get(kind)
        owed = clock is not None and clock.cycle == report.cycle
        rung = clock.next_rung() if clock and owed else None
        seen = (report.cycle, -1) if stale else None
        try:
            self.office.casework.hurry(report.ticket, ACTORS["kartika"], "uji", kind=kind, seen=seen)
        except (EscalatedSince, NothingOwed, NothingToHurry) as error:
            assert (stale or rung is None) and isinstance(error, NothingOwed) == (not owed)
            return
        assert not stale and clock and rung is not None
        clock.sent_up, self.may_fire = (rung, self.clock.at), True

    @rule(who=st.sampled_from([p.person_id for p in PEOPLE]), how=st.sampled_from(["away", "gone", "back"]))
    def person_comes_or_goes(self, who: str, how: str) -> None:
        """On leave, gone for good, or back."""
        with self.database.write() as connection:
            people.set_absence(connection, who, LONG_AGO if how == "away" else None, None)
        self.office.set("people", {"active": int(how != "gone")}, person_id=who)
        if how == "back":
            self.model.present[who] = ACTORS[who].person.role  # type: ignore[union-attr]
        else:
            self.model.present.pop(who, None)

    # -- rules ---------------------------------------------------------------------------------------------------

    @rule()
    def policies_are_edited(self) -> None:
        """Clocks that run keep the policies they were started with."""
        self.day += 1
        self.use()

    @rule(how=st.integers(0, 3), holiday=st.integers(0, 3))
    def calendar_is_edited(self, how: int, holiday: int) -> None:
        """Clocks that run keep the calendar they were started with."""
        self.calendar = edited(self.calendar, how, (MONDAY + timedelta(days=holiday)).date())
        self.use()

    @rule(what=st.sampled_from([CalendarChange, PolicyChange]))
    def rules_are_applied(self, what: type[CalendarChange | PolicyChange]) -> None:
        """An operator gives the clocks that run the calendar, or the policies, of today."""
        apply_rules(self.office, what)
        for clock in (clock for report in self.model.reports.values() for clock in report.clocks.values()):
            if what is CalendarChange:
                clock.take_calendar(self.calendar)
            else:
                clock.take_policy(self.model.rules.policies[clock.kind])

    def use(self) -> None:
        """Go on with the rules of today."""
        self.model.rules = self._rules()
        use(self.office, self.model.rules.policies, self.calendar)
        self._start_workers()

    def _rules(self) -> model.Rules:
        return model.Rules(policies(self.day), self.calendar)

    # -- the clockwork -------------------------------------------------------------------------------------------

    def _start_workers(self) -> None:
        self.workers = [WatchClocks(self.database, self.office.rules) for _ in range(WORKERS)]

    @rule(worker=st.integers(0, WORKERS - 1), most=st.sampled_from([1, 2, 100]))
    def tick(self, worker: int, most: int) -> None:
        """One batch by one worker."""
        self.may_fire = True
        self.workers[worker].most = most
        self.workers[worker].tick()

    @rule(worker=st.integers(0, WORKERS - 1), at=statement)
    def tick_by_a_worker_that_dies(self, worker: int, at: int) -> None:
        """The batch fires whole, or nothing of it does; another process takes its place."""
        self.may_fire = not self._killed(at, self.workers[worker].tick)
        self._start_workers()

    @rule()
    def fire_all_that_is_due(self) -> None:
        """Ticks until nothing is due: afterwards nothing is overdue."""
        self.may_fire = True
        while any(worker.tick() for worker in self.workers):
            pass
        overdue = i11_overdue(facts_of(self.database), self.clock.at)
        assert not overdue, overdue

    @rule(most=st.sampled_from([1, 1000]))
    def seal(self, most: int) -> None:
        """Seal some of the log, or all."""
        with self.database.write() as connection:
            escalations.seal(self.database, connection, most=most)

    @rule(seconds=st.sampled_from([1, 600, 1800, 3600, 3600, 7200, 20_000, 100_000]))
    def time_passes(self, seconds: int) -> None:
        """A while, or an outage."""
        self.clock.move(seconds)
        self._start_workers()

    @rule(seconds=st.sampled_from([600, 1800, 3600, 3600, 7200]), again=st.integers(1, 3))
    def time_passes_and_the_engine_works(self, seconds: int, again: int) -> None:
        """As on any day."""
        for _ in range(again):
            self.time_passes(seconds)
            self.fire_all_that_is_due()
            self.every_invariant_holds()

    @rule(seconds=st.sampled_from([3600, 100_000]))
    def clock_jumps_and_comes_back(self, seconds: int) -> None:
        """Somebody sets the database's clock forward, and back again: meanwhile nothing fires."""
        self.tick(0, 100)
        self.every_invariant_holds()
        self.clock.move(seconds)
        assert [worker.tick() for worker in self.workers] == [0] * WORKERS
        self.every_invariant_holds()
        self.clock.move(-seconds)
        self.tick(0, 100)
        (row,) = self.office.rows("engine")
        assert row["held_since"] is None

    @rule(seconds=st.sampled_from([1, 600, 3600, 7200]))
    def clock_is_set_back(self, seconds: int) -> None:
        """Somebody sets the database's clock back."""
        self.clock.move(-seconds)
        self.steady, self.back = False, self.back + seconds
        self._start_workers()

    # -- messages ------------------------------------------------------------------------------------------------

    @rule()
    def relay(self) -> None:
        """What is in the outbox goes to the queue."""
        RelayOutbox(self.database, self.queue).relay()

    @rule(when=st.sampled_from(["before", "after"]))
    def relay_that_dies_between_commit_and_publish_or_after_it(self, when: str) -> None:
        """The queue has none of the messages, or all: they must still be in the outbox, and come (again)."""

        def die() -> None:
            raise Killed

        setattr(self.queue, when, die)
        try:
            RelayOutbox(self.database, self.queue).relay()
        except Killed:
            self.crashes += 1
        self.queue.before = self.queue.after = lambda: None

    @precondition(lambda self: self.queue.taken)
    @rule(number=st.integers(0, 200))
    def message_is_delivered(self, number: int) -> None:
        """Some message, in whatever order: for the first time or again."""
        message = self.queue.taken[number % len(self.queue.taken)]
        self.tellers[message.type].handle([{"type": message.type, "data": message.data}])

    @precondition(lambda self: self.queue.taken)
    @rule(number=st.integers(0, 200), at=statement)
    def message_is_delivered_to_a_worker_that_dies(self, number: int, at: int) -> None:
        """It may die after sending, before it says so: then the same id is sent once more."""
        message = self.queue.taken[number % len(self.queue.taken)]
        self._killed(at, lambda: self.tellers[message.type].handle([{"type": message.type, "data": message.data}]))
        self._start_tellers()

    def _start_tellers(self) -> None:
        for teller in self.tellers.values():
            teller._unsent.clear()
            teller._unrecorded.clear()

    # -- the judge -----------------------------------------------------------------------------------------------

    @invariant()
    def every_invariant_holds(self) -> None:
        """The rows keep every invariant, and are what the model says."""
        self.failed = True
        facts = facts_of(self.database, steady=self.steady)
        known = {row["id"] for row in self.before.log} if self.before else set()
        fresh = [row for row in facts.log if row["id"] not in known]
        assert self.may_fire or not fresh, f"fired by nobody: {fresh}"
        self._follow(facts, fresh)
        faults = violations(facts, self.before) + _as_modelled(facts, self.model)
        assert not faults, faults
        self.before, self.may_fire, self.failed = facts, False, False

    def _follow(self, facts: Facts, fresh: list[Any]) -> None:
        """Let the model fire what the engine fired, oldest due first."""
        known = {line["id"] for line in self.before.rows["history"]} if self.before else set()
        handed = [h for h in facts.rows["history"] if h["id"] not in known and h["actor"] == "clock"]
        for row in fresh:
            report = self.model.reports[row["report_id"]]
            clock = report.clocks[Kind(row["kind"])]
            self.model.fire(row, self.clock.at)
            changes_hands = row["did"] in ("reassign", "both")
            if changes_hands and (line := _handed_over(handed, row, report)):
                handed.remove(line)
                assert line["data"]["to"] in row["told"], "handed over to somebody who was not told"
                self.model.hand_over(report, line["data"]["to"])
            elif changes_hands:
                assert report.assignee in row["told"], f"{clock.kind}: nobody took over"
        assert handed == [], "handed over without a rung"

    def _report(self, number: int) -> model.Report:
        return self.model.reports[id_of(f"Q-{number % len(self.tickets)}")]

    def _killed(self, at: int, work: Any) -> bool:
        before = facts_of(self.database).rows
        killed = killed_before(self.database, at, work)
        if killed:
            self.crashes += 1
            assert self._facts_kept(before), "a transaction left something behind"
        return killed

    def _facts_kept(self, before: Rows) -> bool:
        # Deliveries are told in transactions of their own; each is judged by the invariants.
        apart = ("deliveries", "delivery_attempts", "outbox", "destinations", "paces")
        now = facts_of(self.database).rows
        return all(now[name] == rows for name, rows in before.items() if name not in apart)

    def teardown(self) -> None:
        """Whatever happened: once everything works again nothing is overdue, nobody overlooked, nothing told twice."""
        try:
            if not self.failed and self.tickets:
                self.time_passes(self.back)  # what was written before it was set back waits until then
                self.fire_all_that_is_due()
                self.every_invariant_holds()
                self._tell_everything()
                self.every_invariant_holds()
                self._count()
        finally:
            self.clock.close()

    def _count(self) -> None:
        facts = facts_of(self.database)
        self.seen.update(["runs", *(["with the clock set back"] if not self.steady else [])])
        self.seen.update(f"fired: {row['did']}" for row in facts.log)
        self.seen.update(f"history: {line['event']}" for line in facts.rows["history"])
        self.seen.update(f"notice: {row['state']}" for row in facts.rows["deliveries"])
        self.seen.update({"deaths": self.crashes, "pauses": sum(len(c["pauses"]) for c in facts.rows["obligations"])})

    def _tell_everything(self) -> None:
        for _ in range(60):
            RelayOutbox(self.database, self.queue).relay()
            for message in self.queue.taken:
                self.tellers[message.type].handle([{"type": message.type, "data": message.data}])
            self.clock.move(A_LEASE_S)
            if not self.office.rows("deliveries", finished_at=None):
                break
        told = self.office.rows("deliveries")
        unended = [row for row in told if row["state"] not in ("delivered", "suppressed", "given_up")]
        assert not unended, unended
        assert self.post.in_order(), "an older state overtook a newer one"
        for row in told:
            times = sum(self.post.sent.count(one) for one in (row["delivery_id"], row["digest_id"]) if one)
            assert times <= 1 + self.crashes, f"told {times} times, {self.crashes} crashes"
            assert row["state"] != "delivered" or times or row["channel"] == "desk", "delivered, and nobody was told"
            assert row["state"] == "delivered" or times == 0 or self.crashes, f"told although {row['state']}"


def _handed_over(handed: list[Any], row: Any, report: model.Report) -> Any:
    of_this = (h for h in handed if h["report_id"] == row["report_id"] and h["data"]["level"] == row["level"])
    line = next(of_this, None)
    return line if line and line["data"]["of"] == report.assignee else None


def _as_modelled(facts: Facts, office: model.Office) -> list[str]:
    faults = []
    for report_id, told in office.reports.items():
        live = facts.reports[report_id]
        if any(live[name] != getattr(told, name) for name in ("status", "outcome", "cycle", "assignee")):
            faults.append(f"{told.ticket} is {live}, the model says {told}")
        for kind, clock in told.clocks.items():
            row = facts.clocks[report_id, kind]
            found = (row["cycle"], row["state"], row["step"], row["earlier_steps"], row["next_due"])
            wanted = (clock.cycle, clock.state, clock.fired, clock.earlier, clock.due)
            if found != wanted:
                faults.append(f"{kind} of {told.ticket} is {found}, the model says {wanted}")
    return faults

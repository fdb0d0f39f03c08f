"""What people of the office do to reports, and whether they are there at all."""

from datetime import timedelta

from hypothesis import strategies as st
from hypothesis.stateful import rule

from bridge.casework import EscalatedSince, NothingOwed, StaleCycle
from bridge.reports.clocks import Kind
from bridge.reports.escalation import NothingToHurry
from bridge.reports.merging import NotPossible
from bridge.reports.moves import Details
from bridge.reports.states import Move, MoveRefused, Outcome
from bridge.storage import people
from bridge.storage.reports import NoSuchReport
from tests.invariants import model
from tests.invariants.acts.clockwork import Clockwork
from tests.invariants.clock import MONDAY
from tests.invariants.judged import ACTORS, MOST_REPORTS, statement, which
from tests.storage.office import PEOPLE

DETAILS = Details(outcome=Outcome.REFERRED, case_number="17/BPSK", missing=("KTP",), reason="uji")
BY_OFFICE = [move for move in Move if move is not Move.WITHDRAW]
LONG_AGO = MONDAY - timedelta(days=365)


class People(Clockwork):
    """Officers, the chair, and who is away."""

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
            clock.take_calendar(self.model.rules.calendar)

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

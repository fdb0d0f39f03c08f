"""One report: what the citizen wrote, its state and clocks, the moves there are, and one line of everything."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any

import structlog
from flask import Blueprint, abort, g, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from bridge.auth import EVERYBODY, OVERSEERS, acting, needs
from bridge.awards import dates_after_award
from bridge.clock_words import ladder, ledger, local, office_names, span_words
from bridge.comparing import BUSINESS_DAYS, about_business, alike
from bridge.desk.bar import bar
from bridge.desk.deliveries import shown
from bridge.desk.shown import actor_name, facts_of, happened, shown_report, used_percent
from bridge.looking import needs_contact, revealed, veiled
from bridge.pages import language
from bridge.reports.clocks import Kind
from bridge.reports.desk_time import Stay, by_desk, stays
from bridge.reports.escalation import Desk
from bridge.reports.explaining import Account, What, accounts
from bridge.reports.moves import Details
from bridge.reports.people import Role
from bridge.reports.report import Report
from bridge.reports.rulebook import Rulebook
from bridge.reports.states import BEFORE_REGISTRATION, OUTCOME_WORDS, Move, Outcome, Status, Words, moves_from
from bridge.service import Service
from bridge.step_words import duration
from bridge.storage import attachments, escalations, looks, people
from bridge.storage import reports as stored
from bridge.storage import told as telling
from bridge.storage.rows import escalation_of, event_of
from bridge.vault import Unreadable

log = structlog.get_logger()

#: Who sees who looked at personal data.
SEE_LOOKS = (Role.CHAIR, Role.ADMIN)
#: What an application to BPSK must hold (SK 350/2001 art. 16, as cited in docs/glossary.md).
APPLICATION_NEEDS = (
    ("Nama dan alamat lengkap dengan bukti identitas", "Full name and address with proof of identity"),
    ("Nama dan alamat pelaku usaha", "Name and address of the business"),
    ("Barang atau jasa yang diadukan", "Goods or services complained of"),
    ("Bukti perolehan (bon, faktur, kwitansi)", "Proof of purchase (bill, invoice, receipt)"),
    ("Tempat, waktu, dan tanggal diperoleh", "Place, time and date obtained"),
    ("Saksi", "Witnesses"),
    ("Foto barang atau kegiatan jasa", "Photos of the goods or service"),
)


def blueprint(service: Service) -> Blueprint:
    """Return the report's page and its moves."""
    routes = Blueprint("report", __name__, template_folder="templates")

    @routes.get("/desk/reports/<ticket>")
    @needs(service, *EVERYBODY)
    def show(ticket: str) -> str:
        content = service.rules.deciding(lambda: _content(service, ticket))
        return render_template("desk/report.html", **content)

    @routes.post("/desk/reports/<ticket>/moves/<move>")
    @needs(service, Role.OFFICER, Role.SECRETARIAT, Role.CHAIR, Role.ADMIN)
    def make_move(ticket: str, move: str) -> Response:
        if move not in list(Move) or move == Move.WITHDRAW:
            abort(404, f"There is no move {move!r}.")
        service.casework.move(Move(move), ticket, acting(g.person), _details())
        return redirect(url_for("report.show", ticket=ticket))

    @routes.post("/desk/reports/<ticket>/met/<kind>")
    @needs(service, Role.OFFICER, Role.SECRETARIAT, Role.CHAIR, Role.ADMIN)
    def meet(ticket: str, kind: str) -> Response:
        if kind not in list(Kind):
            abort(404, f"There is no clock {kind!r}.")
        service.casework.meet(Kind(kind), ticket, acting(g.person))
        return redirect(url_for("report.show", ticket=ticket))

    return routes


def _details() -> Details:
    outcome = request.form.get("outcome", "")
    missing = tuple(item.strip() for item in request.form.getlist("missing") if item.strip())
    return Details(
        outcome=Outcome(outcome) if outcome in list(Outcome) else None,
        case_number=request.form.get("case_number", ""),
        missing=missing,
        reason=request.form.get("reason", ""),
    )


def _content(service: Service, ticket: str) -> dict[str, Any]:
    book = service.rules.book
    with service.database.read() as connection:
        report = stored.by_ticket(connection, ticket)
        owed = stored.obligations_of(connection, [report.report_id]).get(report.report_id, [])
        desk = Desk(people.active(connection), stored.open_by_assignee(connection))
        names = people.names(connection)
        history = stored.history_of(connection, report.report_id)
        fired = escalations.listed(connection, escalations.Wanted(ticket=ticket, warnings=True))
        told = telling.listed(connection, telling.Wanted(report_id=report.report_id))
        fetched = attachments.of(connection, report.report_id)
        seen = looks.of(connection, report.report_id) if g.person.role in SEE_LOOKS else []
        now = service.database.now(connection)
        same, business = alike(connection, report), about_business(connection, service.database, report)
    mine = [o for o in owed if o.cycle == report.cycle]
    events = [event_of(line) for line in history]
    explained = accounts(report, mine, book, desk, [escalation_of(row) for row in fired], events, now=now)
    calendar_of = partial(book.calendar_of, report=report, obligations=owed)
    where = stays(events, calendar_of, report.office, now=now)
    row = shown_report({**vars(report), "obligations": owed}, book, names, now)
    return {
        "report": row,
        "names": names,
        "now": now,
        "office_is_gone": report.office not in book.offices,
        "offices": [office for office in book.offices.values() if office.office_id != report.office],
        "people": [p for p in desk.people if p.role is Role.OFFICER and p.person_id != report.assignee],
        "contact": _contact(service, report),
        "attachments": [_attachment(one, fetched) for one in report.attachments],
        "may_fetch": needs_contact(g.person, report),
        "alike": same,
        "about_business": business,
        "business_days": BUSINESS_DAYS,
        "looks": [{**look, "by": actor_name(look["actor"], names, language())} for look in seen],
        "moves": [m for m in moves_from(report.status) if m is not Move.WITHDRAW],
        "outcomes": _outcomes(report),
        "needs": APPLICATION_NEEDS,
        "clocks": [_clock(one, book, names | office_names(book), now) for one in _soonest_first(explained)],
        "after_award": dates_after_award(service.rules, report, owed, history),
        "desks": _desks(where, names),
        "sees_deliveries": g.person.role in OVERSEERS,
        "timeline": _timeline(history, fired, told, names),
        "office": book.office_called(report.office),
    }


def _contact(service: Service, report: Report) -> dict[str, str] | None:
    """Return the contact as this person may see it, or None when no key of ours opens it."""
    vault = service.arrivals.vault
    if not needs_contact(g.person, report):
        return veiled(vault, report)
    try:
        return revealed(service.database, vault, report, acting(g.person).name)
    except Unreadable:
        log.error("contact_unreadable", ticket=report.ticket)
        return None


def _attachment(one: Mapping[str, Any], fetched: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return an attachment as the page shows it: without its address, with what it was when it was first fetched."""
    picture = (one.get("media_type") or "").startswith("image/")
    return {"picture": picture, "first": fetched.get(attachments.url_mark(one["url"]))}


def _outcomes(report: Report) -> list[tuple[Outcome, Words]]:
    allowed = [o for o in Outcome if report.status is Status.REGISTERED or o in BEFORE_REGISTRATION]
    return [(outcome, OUTCOME_WORDS[outcome]) for outcome in allowed]


def _soonest_first(explained: list[Account]) -> list[Account]:
    """Return those that still run before those that ended."""
    return sorted(explained, key=lambda one: (one.obligation.ended_at is not None, one.obligation.deadline_at))


def _clock(one: Account, book: Rulebook, names: Mapping[str, str], now: datetime) -> dict[str, Any]:
    chosen, owed = language(), one.obligation
    steps = ladder(one, chosen, names)
    return {
        "obligation": owed,
        "percent": used_percent(owed, book, now),
        "late": (owed.ended_at or now) > owed.deadline_at,
        "span": span_words(one.policy.span, chosen),
        "due": local(owed.deadline_at, one.calendar.zone, chosen),
        "bar": bar(one, now),
        "lines": ledger(one, chosen, names),
        "steps": steps,
        "next": next((step for step in steps if step.line.what is What.AHEAD), None),
        "versions": (one.policy.version, one.calendar.version),
    }


def _desks(where: Sequence[Stay], names: Mapping[str, str]) -> dict[str, Any]:
    """Return the working time on each desk in words, and how long the consumer was waited for."""
    chosen = language()
    waited = round(sum(stay.working_s for stay in where if stay.citizen))
    return {
        "times": [
            (person and names.get(person, person), duration(round(s), chosen)) for person, s in by_desk(where).items()
        ],
        "waited": duration(waited, chosen) if waited else "",
    }


def _timeline(
    history: list[dict[str, Any]], fired: list[dict[str, Any]], told: list[dict[str, Any]], names: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Return everything that happened, newest first: history, escalations and deliveries in one line."""
    lines = [{"at": h["at"], "what": "history", **h, **_in_words(h, names)} for h in history]
    lines += [{"at": e["fired_at"], "what": "escalation", **e} for e in fired]
    lines += [{"at": d["finished_at"] or d["created_at"], "what": "delivery", **shown(d, names)} for d in told]
    # Turned round after sorting, so that of two things at one instant the later one is above as well.
    return sorted(lines, key=lambda line: line["at"])[::-1]


def _in_words(line: dict[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    chosen = language()
    return {
        "title": happened(line["event"], chosen),
        "by": actor_name(line["actor"], names, chosen),
        "facts": list(facts_of(line["data"], names, chosen)),
    }

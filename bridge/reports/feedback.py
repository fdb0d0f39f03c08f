"""What the city, and through it the citizen, is told: one table of sentences per state."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from bridge.reports.clocks import ClockState, Kind, Obligation
from bridge.reports.report import Changes, Delivery, Purpose, Report
from bridge.reports.states import Outcome, Status, words_for

#: The clock whose deadline a citizen waits for, per state.
AWAITED = {
    Status.RECEIVED: Kind.ACKNOWLEDGE,
    Status.ACKNOWLEDGED: Kind.TRIAGE,
    Status.NEEDS_COMPLETION: Kind.COMPLETION,
    Status.REGISTERED: Kind.DECISION,
}

_MESSAGE = {
    Status.RECEIVED: {
        "id": "Laporan Anda sudah sampai di BPSK dan menunggu tanggapan petugas.",
        "en": "Your report has reached BPSK and is waiting for an officer.",
    },
    Status.ACKNOWLEDGED: {
        "id": "Petugas BPSK sudah menanggapi laporan Anda dan sedang menelaahnya.",
        "en": "A BPSK officer has answered your report and is reviewing it.",
    },
    Status.NEEDS_COMPLETION: {
        "id": "BPSK memerlukan kelengkapan dari Anda sebelum laporan dapat diproses.",
        "en": "BPSK needs something more from you before it can go on.",
    },
    Status.REGISTERED: {
        "id": "Laporan Anda terdaftar sebagai perkara di BPSK.",
        "en": "Your report is registered as a case at BPSK.",
    },
    Status.CLOSED: {"id": "Laporan Anda sudah selesai: {outcome}.", "en": "Your report is closed: {outcome}."},
}

_NEXT_STEP = {
    Status.RECEIVED: {
        "id": "Petugas menanggapi paling lambat pada batas waktu; jika tidak, laporan naik ke atasannya.",
        "en": "An officer answers by the deadline; if not, the report goes to the next person up.",
    },
    Status.ACKNOWLEDGED: {
        "id": "BPSK menentukan apakah laporan didaftarkan, dirujuk, atau perlu dilengkapi.",
        "en": "BPSK decides whether to register it, refer it, or ask you to complete it.",
    },
    Status.NEEDS_COMPLETION: {
        "id": "Lengkapi yang diminta sebelum batas waktu: {missing}.",
        "en": "Please complete what is asked before the deadline: {missing}.",
    },
    Status.REGISTERED: {
        "id": "Pelaku usaha dipanggil, lalu sidang pertama; putusan paling lambat 21 hari kerja sejak terdaftar.",
        "en": "The business is summoned, then the first hearing; decision within 21 working days of registration.",
    },
    Status.CLOSED: {
        "id": "Tidak ada langkah lagi dari Anda.",
        "en": "Nothing more is needed from you.",
    },
}

_ELSEWHERE = {
    "id": "Sengketa jasa keuangan: OJK/LAPS SJK. Tindak pidana: kepolisian. Layanan pemerintah: SP4N-LAPOR.",
    "en": "Financial services: OJK/LAPS SJK. Crimes: the police. Government services: SP4N-LAPOR.",
}


def told_city(
    changes: Changes,
    report: Report,
    obligations: Iterable[Obligation],
    *,
    told_back: frozenset[str],
    now: datetime,
    escalated_to: str | None = None,
) -> Report:
    """Add the status callback to `changes` and return the report with its sequence raised.

    A source with several destinations has a callback for each. One without any keeps its sequence: nothing was told.

    Args:
        told_back: The destinations of all sources: `source`, or `source/name` for a further one.
    """
    recipients = sorted(one for one in told_back if one.partition("/")[0] == report.source)
    if not recipients:
        return report
    numbered = replace(report, sequence=report.sequence + 1)
    data = status_data(numbered, obligations, now=now, escalated_to=escalated_to)
    changes.deliveries += [_callback(numbered, recipient, data, now=now) for recipient in recipients]
    return numbered


def _callback(report: Report, recipient: str, data: Mapping[str, Any], *, now: datetime) -> Delivery:
    _, further, name = recipient.partition("/")
    return Delivery(
        report_id=report.report_id,
        ticket=report.ticket,
        cycle=report.cycle,
        purpose=Purpose.CALLBACK,
        event="status_changed",
        channel="webhook",
        recipient=recipient,
        dedupe_key=f"callback/{report.report_id}/{report.sequence}{further}{name}",
        created_at=now,
        payload=data,
        sequence=report.sequence,
    )


def status_data(
    report: Report, obligations: Iterable[Obligation], *, now: datetime, escalated_to: str | None = None
) -> dict[str, Any]:
    """Return `data` of `report.status_changed` without `track_url`, which the sender adds."""
    words = words_for(report.status, report.outcome)
    due_at = awaited_deadline(report, obligations)
    return {
        "id": report.external_id,
        "ticket": report.ticket,
        "sequence": report.sequence,
        "status": report.status,
        "outcome": report.outcome,
        "colour": words.colour,
        "label": {"id": words.id, "en": words.en},
        "message": message(report, report.language),
        "next_step": next_step(report, report.language),
        "due_at": due_at.isoformat() if due_at else None,
        "escalated_to": escalated_to,
        "occurred_at": now.isoformat(),
    }


def awaited_deadline(report: Report, obligations: Iterable[Obligation]) -> datetime | None:
    """Return the deadline (UTC) the citizen waits for now, or None when nothing runs."""
    kind = AWAITED.get(report.status)
    for obligation in obligations:
        current = obligation.kind is kind and obligation.cycle == report.cycle
        if current and obligation.state is ClockState.RUNNING:
            return obligation.deadline_at
    return None


def message(report: Report, language: str) -> str:
    """Return one sentence on where the report stands, without any personal data."""
    return sentence(report.status, report.outcome, language)


def sentence(status: Status, outcome: Outcome | None, language: str) -> str:
    """Return one sentence on what it is for a report to be in this state."""
    words = words_for(status, outcome)
    said = words.en if language == "en" else words.id
    # Only the first letter: BPSK keeps its capitals.
    return _said(_MESSAGE, status, language).format(outcome=said[:1].lower() + said[1:])


def next_step(report: Report, language: str) -> str:
    """Return one sentence on what happens next, or where to go instead."""
    if report.outcome in (Outcome.NOT_COMPETENT, Outcome.REFERRED):
        return _ELSEWHERE["en" if language == "en" else "id"]
    return _said(_NEXT_STEP, report.status, language).format(missing="; ".join(report.missing) or "-")


def _said(table: Mapping[Status, Mapping[str, str]], status: Status, language: str) -> str:
    return table[status]["en" if language == "en" else "id"]

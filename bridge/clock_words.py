"""The account of a clock in words, Indonesian and English: `bridge/reports/explaining.py` gives the facts."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from babel.dates import format_date, format_datetime

from bridge.reports.clocks import Obligation, Span
from bridge.reports.explaining import Account, Line, What
from bridge.reports.rulebook import Rulebook
from bridge.step_words import WILL, duration, how, rung, target, who
from bridge.words import say

#: What a line says: key -> (Indonesian, English), filled in by `_facts`.
_SENTENCES: dict[str, tuple[str, str]] = {
    "start": ("jam mulai: {event}", "the clock starts: {event}"),
    "promise": ("jangka waktu {span}{source}", "the span is {span}{source}"),
    "opens": ("kantor buka: waktu mulai dihitung", "the office opens: time begins to count"),
    "day_zero": ("hari mulai adalah hari ke-0, tidak dihitung", "the day it starts is day 0 and does not count"),
    "day_zero late": (
        "mulai setelah batas pukul {cut_off}: dianggap mulai pada hari kerja berikutnya",
        "started after the cut-off at {cut_off}: taken as started on the next working day",
    ),
    "day_zero next": (
        "dianggap mulai hari ini: hari ke-0, tidak dihitung",
        "taken as started on this day: day 0, which does not count",
    ),
    "day_zero counts": ("hari mulai ikut dihitung", "the day it starts counts"),
    "day_off": ("libur: {why}", "day off: {why}"),
    "day_off anyway": ("libur: {why} (memang bukan hari kerja)", "day off: {why} (no working day anyway)"),
    "day_off week": ("bukan hari kerja", "no working day"),
    "worked": ("dihitung {stretches}{period}", "counted {stretches}{period}"),
    "day": ("hari kerja ke-{number}", "working day {number}"),
    "pause": (
        "berhenti sampai {until}, oleh {by}: {reason}. {took} tidak dihitung",
        "stood still until {until}, by {by}: {reason}. {took} not counted",
    ),
    "pause nothing": (
        "berhenti sampai {until}, oleh {by}: {reason}. Tidak mengubah tenggat",
        "stood still until {until}, by {by}: {reason}. This moved nothing",
    ),
    "pause ended": (
        "berhenti sampai jam berakhir, {until}, oleh {by}: {reason}",
        "stood still until the clock ended, {until}, by {by}: {reason}",
    ),
    "pause open": (
        "berhenti, oleh {by}: {reason}. Selama itu tenggat mundur",
        "stands still, by {by}: {reason}. The deadline moves for as long as it lasts",
    ),
    "made_up": (
        "mengganti waktu berhenti: {stretches}{period}",
        "makes up for the time it stood still: {stretches}{period}",
    ),
    "took_over": (
        "mengambil alih jam laporan {of}{since}, oleh {by}: {reason}",
        "took over the clock of {of}{since}, by {by}: {reason}",
    ),
    "transferred": (
        "dialihkan ke {office}, oleh {by}: {reason}. Sejak itu kalender kantor itu berlaku untuk seluruh jam",
        "given to {office}, by {by}: {reason}. Since then that office's calendar counts for the whole clock",
    ),
    "deadline": ("tenggat", "the deadline"),
    "deadline same_time": ("tenggat, pada jam yang sama seperti saat mulai", "the deadline, at the hour it started"),
    "fired": ("{rung}: {to}{names}, {did}{how}", "{rung}: {to}{names}, {did}{how}"),
    "ahead": ("{rung}: {to}{names} {did}{how}", "{rung}: {to}{names} {did}{how}"),
    "nobody": ("{rung}: {to}, tidak ada orangnya{how}", "{rung}: {to}, nobody there{how}"),
    "close": (
        "{rung}: laporan ditutup karena tidak dilengkapi{how}",
        "{rung}: the report is closed as incomplete{how}",
    ),
    "hurried": ("{rung}: dilewati, tidak ada yang diingatkan{how}", "{rung}: passed over, nobody was warned{how}"),
    "overtaken": ("{rung}: dilewati, sudah terlambat", "{rung}: passed over, it was late already"),
}
_UNITS = {"second": "detik", "minute": "menit", "hour": "jam", "day": "hari"}
#: What started a clock.
_BEGAN = {
    "took_over": ("jam laporan {of}, yang kemudian diambil alih", "that of {of}, which this report took over later"),
    "received": ("laporan diterima", "the report was received"),
    "reopen": ("laporan dibuka kembali, putaran {cycle}", "the report was reopened, cycle {cycle}"),
    "ask_completion": ("konsumen diminta melengkapi", "the consumer was asked for more"),
    "register": ("terdaftar sebagai perkara", "registered as a case"),
}


@dataclass(frozen=True)
class Entry:
    """A line as people read it: `when` is empty for what is no event, `counted` and `total` where nothing counts."""

    line: Line
    when: str
    text: str
    counted: str = ""
    total: str = ""

    def __str__(self) -> str:
        return f"{self.when}: {self.text}" if self.when else self.text


def ledger(account: Account, language: str, names: Mapping[str, str]) -> list[Entry]:
    """Return how the deadline came about, with what each line adds and the sum so far.

    Seconds are rounded on the running sum, so that what is shown adds up exactly.
    """
    entries, seconds, days = [], 0.0, 0
    for line in account.lines:
        before, seconds, days = seconds, seconds + line.counted_s, days + line.counted_days
        counted = total = ""
        if line.counted_days:
            counted, total = _days(line.counted_days, language), _days(days, language)
        elif line.counted_s:
            counted, total = duration(round(seconds) - round(before), language), duration(round(seconds), language)
        entries.append(_entry(account, line, language, names, counted, total))
    return entries


def ladder(account: Account, language: str, names: Mapping[str, str]) -> list[Entry]:
    """Return the steps that fired and those to come, in words."""
    return [_entry(account, line, language, names) for line in account.steps]


def office_names(book: Rulebook) -> dict[str, str]:
    """Return the names of the offices, by `office:<id>` as rungs write it."""
    return {f"office:{office.office_id}": office.name for office in book.offices.values()}


def state_words(obligation: Obligation, language: str) -> str:
    """Return where a clock stands; of one that runs, whether there is anybody left to tell."""
    return say("exhausted" if obligation.exhausted else obligation.state, language)


def span_words(span: Span, language: str) -> str:
    """Return a span as people say it: `4 jam kerja`, `21 hari kerja`."""
    if language == "en":
        return str(span)
    amount, *working, unit = str(span).removesuffix("s").split()
    return f"{amount} {_UNITS[unit]}" + (" kerja" if working else "")


def local(at: datetime, zone: str, language: str) -> str:
    """Return an instant on the office's clock: `Sen, 23 Nov 2026 10.00 WIB`; seconds only where there are any."""
    here = at.astimezone(ZoneInfo(zone))
    return f"{_date(here.date(), language)} {_time(here, language)} {here.tzname()}"


def _date(day: date, language: str) -> str:
    return format_date(day, "EEE, d MMM y", locale=language)


def _time(here: datetime, language: str) -> str:
    pattern = "HH:mm:ss" if here.second else "HH:mm"
    return format_datetime(here, pattern if language == "en" else pattern.replace(":", "."), locale=language)


def _days(number: int, language: str) -> str:
    return f"{number} {('day' if number == 1 else 'days') if language == 'en' else 'hari'}"


def _entry(
    account: Account, line: Line, language: str, names: Mapping[str, str], counted: str = "", total: str = ""
) -> Entry:
    zone = account.calendar.zone
    key = _key(line)
    facts = {name: text for name, text in _facts(account, line, language, names)}
    text = _SENTENCES[key][language == "en"].format(**facts)
    text += "".join(_remarks(line, zone, language))
    return Entry(line, "" if line.what is What.PROMISE else _when(line, zone, language), text, counted, total)


def _when(line: Line, zone: str, language: str) -> str:
    if "on" not in line.facts:
        return local(line.at, zone, language)
    first, last = line.facts["on"], line.facts.get("last_on", line.facts["on"])
    if first == last:
        return _date(first, language)
    return f"{_date(first, language)} – {_date(last, language)}"


def _key(line: Line) -> str:
    facts = line.facts
    if line.what is What.DAY_ZERO:
        if facts["counts"]:
            return "day_zero counts"
        return ("day_zero late" if facts["cut_off"] is not None else "day_zero") if facts["first"] else "day_zero next"
    if line.what is What.DAY_OFF:
        return ("day_off anyway" if facts["anyway"] else "day_off") if facts["why"] else "day_off week"
    if line.what is What.PAUSE:
        return _key_of_pause(facts)
    if line.what in (What.FIRED, What.AHEAD):
        return _key_of_step(line)
    return "deadline same_time" if facts.get("same_time") else str(line.what)


def _key_of_pause(facts: Mapping[str, Any]) -> str:
    if facts["open"]:
        return "pause ended" if facts["until"] else "pause open"
    return "pause" if facts["took_s"] else "pause nothing"


def _key_of_step(line: Line) -> str:
    facts = line.facts
    if facts["remark"] == "overtaken" or (facts["remark"] == "hurried" and not facts["level"]):
        return str(facts["remark"])
    return {"no_target": "nobody", "close": "close"}.get(facts["did"], str(line.what))


def _facts(account: Account, line: Line, language: str, names: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield what the sentence of a line needs, in words."""
    facts, zone, english = line.facts, account.calendar.zone, language == "en"
    if line.what is What.START:
        yield "event", _BEGAN[facts["event"]][english].format(cycle=facts["cycle"], of=facts.get("of"))
    elif line.what is What.PROMISE:
        yield "span", span_words(facts["span"], language)
        yield "source", _source(facts, language)
    elif line.what is What.DAY_ZERO:
        yield "cut_off", _minutes(facts["cut_off"] or 0, language)
    elif line.what is What.PAUSE:
        yield "until", local(facts["until"], zone, language) if facts["until"] else ""
        yield "by", who(facts["by"], language, names)
        yield "reason", say(facts["reason"], language) or "–"
        yield "took", duration(round(facts["took_s"]), language)
    elif line.what in (What.TOOK_OVER, What.TRANSFERRED):
        since = "berjalan sejak", "running since"
        yield "since", f" ({since[english]} {local(facts['since'], zone, language)})" if facts.get("since") else ""
        yield "of", facts["of"]
        yield "office", target(f"office:{facts.get('to')}", language, names)
        yield "by", who(facts["by"], language, names)
        yield "reason", facts["reason"] or "–"
    elif line.what in (What.FIRED, What.AHEAD):
        yield "rung", rung(facts, language)
        yield "to", target(facts["target"], language, names)
        told = ", ".join(names.get(person, person) for person in facts["told"])
        yield "names", f" ({told})" if told and not facts["target"].startswith("person:") else ""
        will = WILL.get(facts["did"]) if line.what is What.AHEAD else None
        yield "did", will[english] if will else say(facts["did"], language)
        yield "how", how(line, language, names)
    else:
        yield "why", facts.get("why") or ""
        yield "number", str(facts.get("number", ""))
        yield "stretches", ", ".join(_stretches(facts.get("stretches", ()), zone, language))
        yield "period", f" ({facts['period']})" if facts.get("period") else ""


#: Whether somebody compared the rule with its text, and not: (Indonesian, English).
_COMPARED = ("sudah dicocokkan dengan naskahnya", "compared with the text")
_NOT_COMPARED = ("belum dicocokkan dengan naskah", "not yet compared with the text")


def _source(facts: Mapping[str, Any], language: str) -> str:
    """Return whose rule it is; of the law's it is always told whether somebody compared it with the text."""
    english = language == "en"
    said = [facts["source_en" if english else "source"]]
    if facts["verified"]:
        said.append(_COMPARED[english])
    elif facts["statutory"]:
        said.append(_NOT_COMPARED[english])
    told = "; ".join(part for part in said if part)
    return f" ({told})" if told else ""


def _minutes(minutes: int, language: str) -> str:
    return f"{minutes // 60:02d}{':' if language == 'en' else '.'}{minutes % 60:02d}"


def _stretches(stretches: Iterable[tuple[datetime, datetime]], zone: str, language: str) -> Iterator[str]:
    for since, until in stretches:
        first, last = since.astimezone(ZoneInfo(zone)), until.astimezone(ZoneInfo(zone))
        end = _time(last, language)
        if last.date() != first.date():
            end = f"{_date(last.date(), language)} {end}" if (last - first).days else end
        yield f"{_time(first, language)}–{end}"


def _remarks(line: Line, zone: str, language: str) -> Iterator[str]:
    """Yield what else there is to say of a due time: it was moved, or the record says otherwise."""
    moved_at, recorded_at = line.facts.get("moved_at"), line.facts.get("recorded_at")
    if moved_at:
        said = ("dipindahkan (lihat riwayat)", "moved (see the timeline)")[language == "en"]
        yield f", {said} {local(moved_at, zone, language)}"
    if recorded_at:
        yield f"; {('tercatat', 'on record')[language == 'en']}: {local(recorded_at, zone, language)}"

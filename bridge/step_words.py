"""A step of a ladder in words, Indonesian and English: what it is called, whom it is for, and how it came to fire."""

from collections.abc import Mapping
from typing import Any

from bridge.reports.explaining import Line, What
from bridge.words import say

#: What a step to come will do.
WILL: dict[str, tuple[str, str]] = {
    "warn": ("akan diingatkan", "will be warned"),
    "notify": ("akan diberitahu", "will be notified"),
    "reassign": ("akan menerima laporan ini", "will take it over"),
    "both": ("akan diberitahu dan menerima laporan ini", "will be notified and take it over"),
}
#: What had moved the time of a step.
_MOVED = {
    "calendar": (" oleh kalender baru", " by a new calendar"),
    "policy": (" oleh kebijakan baru", " by a new policy"),
    "took_over": (" karena mengambil alih jam laporan lain", " by taking over another report's clock"),
    "unmerged": (" karena penggabungan dibatalkan", " by taking a merge back"),
    "transferred": (" karena dialihkan ke kantor lain", " by going to another office"),
    None: ("", ""),
}


def rung(facts: Mapping[str, Any], language: str) -> str:
    """Return what a step is called: `peringatan`, `tingkat 2`, `tingkat 2, lagi (1)`."""
    english = language == "en"
    if not facts["level"]:
        return "warning" if english else "peringatan"
    again = f", {'again' if english else 'ulangan'} {facts['again']}" if facts.get("again") else ""
    return f"{'level' if english else 'tingkat'} {facts['level']}{again}"


def target(to: str, language: str, names: Mapping[str, str]) -> str:
    """Return whom a rung is for: a role, somebody's place, a person or an office."""
    kind, _, name = to.partition(":")
    if kind == "office":
        return names.get(to, name)
    return names.get(name, name) if kind == "person" else say(to.removeprefix("role:"), language)


def who(actor: str, language: str, names: Mapping[str, str]) -> str:
    """Return who did something to a clock: a name, or what kind of thing it was."""
    kind, _, name = actor.partition(":")
    if kind == "person":
        return names.get(name, name)
    said = {
        "cli": ("server", "the server"),
        "clock": ("jam", "a clock"),
        "source": ("aplikasi kota", "the city app"),
        "merged": (f"digabung ke {name}", f"merged into {name}"),
    }
    return said.get(kind, (actor, actor))[language == "en"]


def duration(seconds: int, language: str) -> str:
    """Return whole seconds to the last one: `1 j 20 m 5 d`; nothing is rounded away, so that sums can be checked."""
    hours, minutes, rest = seconds // 3600, seconds % 3600 // 60, seconds % 60
    letters = ("h", "m", "s") if language == "en" else ("j", "m", "d")
    parts = [f"{n} {letter}" for n, letter in zip((hours, minutes, rest), letters, strict=True) if n]
    return " ".join(parts) or f"0 {letters[2]}"


def how(line: Line, language: str, names: Mapping[str, str]) -> str:
    """Return how a step came to fire when it did: sent up early, moved before, late; empty where there is nothing."""
    return _hurried(line, language, names) + _moved(line, language) + _late(line, language)


def _hurried(line: Line, language: str, names: Mapping[str, str]) -> str:
    facts = line.facts
    if facts["remark"] != "hurried":
        return ""
    said = ("dinaikkan lebih awal", "sent up early")[language == "en"]
    if "by" not in facts:
        return f", {said}"
    by = ("oleh", "by")[language == "en"]
    return f", {said} {by} {who(facts['by'], language, names)}: {facts['reason'] or '–'}"


def _moved(line: Line, language: str) -> str:
    if line.facts["remark"] != "due_moved":
        return ""
    said = ("waktunya sudah digeser", "its time was moved")[language == "en"]
    return f", {said}{_MOVED[line.facts['moved_by']][language == 'en']}"


def _late(line: Line, language: str) -> str:
    late_s = round(line.facts["lateness_s"])
    if line.what is What.AHEAD or late_s < 1:
        return ""
    return f", {'late by' if language == 'en' else 'terlambat'} {duration(late_s, language)}"

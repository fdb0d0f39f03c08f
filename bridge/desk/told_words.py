"""What became of something that was to be told, in words: how it stands, why it waits, whose fault it was."""

import re
from collections.abc import Mapping
from typing import Any

from bridge.words import WORDS, say, time_of_day

#: Why something is told no more, as consumers write it -> the same in Indonesian.
_REASONS = (
    (r"the report was reopened since", "laporan sudah dibuka kembali"),
    (r"the report was closed meanwhile", "laporan sudah ditutup"),
    (r"(?P<kind>\w+): met meanwhile by (?P<who>.*)", "{kind} sudah dipenuhi oleh {who}"),
    (r"(?P<kind>\w+): cancelled meanwhile by (?P<who>.*)", "{kind} sudah gugur oleh {who}"),
    (r"the report has moved on to nobody", "laporan tidak lagi dipegang siapa pun"),
    (r"the report has moved on to (?P<who>.*)", "laporan sudah beralih ke {who}"),
    (r"(?P<who>\S+) has turned these notices off", "{who} mematikan pemberitahuan ini"),
    (r"(?P<who>\S+) is absent; (?P<other>\S+) is told", "{who} tidak di tempat; {other} yang diberi tahu"),
    (r"(?P<who>\S+) is no longer here", "{who} tidak lagi bertugas di sini"),
    (r"this source has no callback address any more", "sumber ini tidak lagi punya alamat untuk kabar"),
)


def channel_in_words(channel: str, language: str) -> str:
    """Return a channel as people call it; those an operator named keep their name."""
    word = f"by_{channel}"
    return say(word, language) if word in WORDS else channel


def reason_in_words(text: str, names: Mapping[str, str], language: str) -> str:
    """Return why something is not told, with people's names; what nobody foresaw stays as it is, in English."""
    for pattern, indonesian in _REASONS:
        if found := re.fullmatch(pattern, text):
            said = {name: _named(name, value, names, language) for name, value in found.groupdict().items()}
            return indonesian.format(**said) if language == "id" else _english(found, said)
    return text


def _named(group: str, value: str, names: Mapping[str, str], language: str) -> str:
    if group == "kind":
        return say(value, language)
    return names.get(value.removeprefix("person:"), value)


def _english(found: re.Match[str], said: Mapping[str, str]) -> str:
    text = found.string
    for name in sorted(said, key=found.start, reverse=True):
        text = text[: found.start(name)] + said[name] + text[found.end(name) :]
    return text


def standing(row: Mapping[str, Any], names: Mapping[str, str], language: str) -> str:
    """Return how a delivery stands: `ditahan sampai 24 Nov 06.00: jam tenang`, `diteruskan lewat e-mail`."""
    if row["finished_at"] is None:
        return _waiting(row, language)
    if row["state"] == "suppressed":
        why = reason_in_words(row["last_error"] or "", names, language)
        return f"{say('suppressed', language)}: {why}" if why else say("suppressed", language)
    if row["state"] == "given_up":
        return _given_up(row, language)
    return say(row["state"], language)


def _waiting(row: Mapping[str, Any], language: str) -> str:
    english = language == "en"
    at = time_of_day(row["next_attempt_at"], language) if row["next_attempt_at"] else "–"
    if row["held"] == "order":
        return f"{'held' if english else 'ditahan'}: {say('held_order', language)}"
    if row["held"]:
        held = f"held until {at}" if english else f"ditahan sampai {at}"
        return f"{held}: {say('held_' + row['held'], language)}"
    if row["state"] == "failed":
        return f"failed, tried again {at}" if english else f"gagal, dicoba lagi {at}"
    return say(row["state"], language)


def _given_up(row: Mapping[str, Any], language: str) -> str:
    english = language == "en"
    if row["fell_back_to"]:
        other = channel_in_words(row["fell_back_to"], language)
        return f"failed, went on by {other}" if english else f"gagal, diteruskan lewat {other}"
    lost = "not delivered" if english else "tidak terkirim"
    return f"{lost}: {say('fault_' + row['fault'], language)}" if row["fault"] else lost


def colour(row: Mapping[str, Any]) -> str:
    """Return merah for what nobody heard, kuning for what is not done, hijau for the rest."""
    if row["state"] == "given_up":
        return "kuning" if row["fell_back_to"] else "merah"
    return "hijau" if row["finished_at"] else "kuning"

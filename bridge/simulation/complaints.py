"""Consumer complaints as a city app would send them, told from stories.toml: same seed, same complaints."""

import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

#: BPKN's 1,059 complaints of 2022 (domain.md B4). How its 391 on finance divide is our guess: most for
#: leasing, as in Jakarta in 2015. AIR is not in BPKN's list. The rarest stand at 10: all 14 then appear in a
#: thousand complaints, but for about one seed in 5,000.
_WEIGHTS = {
    "PEMBIAYAAN": 170,
    "ASURANSI": 85,
    "PERBANKAN": 61,
    "FINTEK_PINJOL": 75,
    "PERUMAHAN": 150,
    "ECOMMERCE": 181,
    "TELEKOMUNIKASI": 58,
    "LISTRIK_GAS": 11,
    "AIR": 10,
    "TRANSPORTASI": 60,
    "ELEKTRONIK_KENDARAAN": 45,
    "MAKANAN_OBAT": 25,
    "KESEHATAN": 10,
    "LAINNYA": 133,
}
CATEGORIES: tuple[str, ...] = tuple(_WEIGHTS)

_WIB = timezone(timedelta(hours=7))
_MONTHS = (
    *("Januari", "Februari", "Maret", "April", "Mei", "Juni"),
    *("Juli", "Agustus", "September", "Oktober", "November", "Desember"),
)

_ANONYMOUS = 0.08
_AWAY_FROM_HOME = 0.15
_ONE_NAME_ONLY = 0.12
_ASKED_AND_ANSWERED_IN_ONE = 0.25
_WITH_CLOSING = 0.6
_CASUAL = 0.2
#: Around the middle of a kecamatan: about 400 m, which stays inside Jakarta.
_SPREAD_DEGREES = 0.004

_ATTACHMENT_KINDS = (("jpg", "image/jpeg"), ("jpg", "image/jpeg"), ("pdf", "application/pdf"))


@dataclass(frozen=True)
class Story:
    """One thing that goes wrong; the head of stories.toml says what each field holds."""

    titles: Sequence[str]
    businesses: Sequence[str]
    amount: tuple[int, int, int]
    days: tuple[int, int]
    facts: Sequence[Sequence[str]]
    wishes: Sequence[str]
    excuses: Sequence[str]
    address: str = ""
    words: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def at_home(self) -> bool:
        """Whether it may tell of the consumer's house, which is where the consumer lives."""
        return any("rumah" in fact for alternatives in self.facts for fact in alternatives)


@dataclass(frozen=True)
class _Setting:
    """What one complaint is about, before it is put into words."""

    story: Story
    business: str
    domicile: str
    area: str
    amount: int
    now: datetime
    anonymous: bool
    attachments: int


class _Slots(dict[str, str]):
    """What stands in the braces. A word or number is drawn when first asked for, and stays that."""

    def __init__(self, rng: Random, words: Mapping[str, Sequence[str]]) -> None:
        super().__init__()
        self._rng, self._words = rng, {**_book()["words"], **words}

    def __missing__(self, slot: str) -> str:
        bounds = _book()["numbers"].get(slot)
        self[slot] = str(self._rng.randint(*bounds)) if bounds else self._rng.choice(self._words[slot])
        return self[slot]

    def say(self, alternatives: Sequence[str]) -> str:
        """Return one of the alternatives, its slots filled."""
        return self._rng.choice(alternatives).format_map(self)


def complaint(rng: Random, number: int, now: datetime) -> dict[str, object]:
    """Return the `data` of a report.submitted event (contracts.md), reported 5 s to 10 min before `now`.

    Raises:
        ValueError: when `now` has no time zone.
    """
    if now.tzinfo is None:
        raise ValueError("now must have a time zone")
    category = rng.choices(CATEGORIES, weights=list(_WEIGHTS.values()))[0]
    setting = _setting(rng, rng.choice(_stories()[category]), now.astimezone(_WIB))
    slots = _slots(rng, setting)
    return {
        "id": f"QL-{number}",
        "title": slots.say(setting.story.titles),
        "description": _description(rng, setting, slots),
        "category": category,
        "reported_at": (setting.now - timedelta(seconds=rng.randint(5, 600))).isoformat(timespec="seconds"),
        "language": "id",
        "reporter": _reporter(rng, setting),
        "business": {"name": setting.business, "address": _address(rng, setting)},
        "amount_idr": setting.amount,
        "location": _location(rng, setting.area),
        "attachments": [_attachment(rng, setting.now) for _ in range(setting.attachments)],
    }


@cache
def _book() -> dict[str, Any]:
    return tomllib.loads(Path(__file__).with_name("stories.toml").read_text(encoding="utf-8"))


@cache
def _stories() -> dict[str, list[Story]]:
    return {category: [Story(**table) for table in tables] for category, tables in _book()["stories"].items()}


def _setting(rng: Random, story: Story, now: datetime) -> _Setting:
    cities = _book()["cities"]
    domicile = rng.choices(list(cities), weights=[city["people"] for city in cities.values()])[0]
    return _Setting(
        story=story,
        business=rng.choice(story.businesses).format(**_company_words(rng)),
        domicile=domicile,
        area=_area(rng, domicile, anywhere=not story.at_home and rng.random() < _AWAY_FROM_HOME),
        amount=_amount(rng, *story.amount),
        now=now,
        anonymous=rng.random() < _ANONYMOUS,
        attachments=rng.choices(range(4), weights=(25, 40, 25, 10))[0],
    )


def _amount(rng: Random, low: int, high: int, step: int) -> int:
    """Return rupiah between low and high, steps above low. Small sums are commoner, as in life."""
    return low + int((low * (high / low) ** rng.random() - low) / step) * step


def _company_words(rng: Random) -> dict[str, str]:
    companies = _book()["companies"]
    return {"a": rng.choice(companies["a"]), "b": rng.choice(companies["b"])}


def _area(rng: Random, domicile: str, *, anywhere: bool) -> str:
    areas: dict[str, object] = _book()["areas"]
    return rng.choice([code for code in areas if anywhere or code.startswith(domicile)])


# --- the words --------------------------------------------------------------------------------------------


def _slots(rng: Random, setting: _Setting) -> _Slots:
    """Return the slots with everything in them that hangs together: money, days, place, and who said what."""
    slots = _Slots(rng, setting.story.words)
    slots.update(business=setting.business, area=_book()["areas"][setting.area]["name"])
    slots.update(_money(rng, setting.amount))
    slots.update(_days(rng, setting.story.days, setting.now.date()))
    slots["wish"] = slots.say(setting.story.wishes)
    slots["excuse"] = slots.say(setting.story.excuses)
    return slots


def _money(rng: Random, amount: int) -> dict[str, str]:
    written = rng.choice(_MONEY_STYLES)
    unit = 100_000 if amount >= 3_000_000 else 1_000
    share, multiple = rng.uniform(0.15, 0.45), rng.uniform(2, 5)
    return {
        "amount": written(amount),
        "part": written(max(unit, round(amount * share / unit) * unit)),
        "total": written(round(amount * multiple / unit) * unit),
    }


def _thousands(rupiah: int) -> str:
    return f"{rupiah:,}".replace(",", ".")


def _in_millions(rupiah: int) -> str:
    if rupiah < 1_000_000 or rupiah % 100_000:
        return f"Rp {_thousands(rupiah)}"
    return f"Rp {rupiah / 1_000_000:g} juta".replace(".", ",")


_MONEY_STYLES: Sequence[Callable[[int], str]] = (
    lambda rupiah: f"Rp {_thousands(rupiah)}",
    lambda rupiah: f"Rp{_thousands(rupiah)}",
    lambda rupiah: f"Rp {_thousands(rupiah)},-",
    _in_millions,
)


def _days(rng: Random, ago: tuple[int, int], today: date) -> dict[str, str]:
    """Return the days of the story in their order: contract, event, what the consumer asked, the answer."""
    happened = rng.randint(*ago)
    asked = max(1, happened - rng.randint(1, max(2, happened // 2)))
    answered = max(0, asked - rng.randint(1, 14))
    contract = today - timedelta(days=happened + rng.randint(150, 1000))
    written = rng.choice(_DATE_STYLES)
    return {
        "since": f"{_MONTHS[contract.month - 1]} {contract.year}",
        "date": written(today - timedelta(days=happened)),
        "asked": written(today - timedelta(days=asked)),
        "answered": written(today - timedelta(days=answered)),
        "silence": str(asked),
        "waited": str(asked - answered),
    }


_DATE_STYLES: Sequence[Callable[[date], str]] = (
    lambda day: f"{day.day} {_MONTHS[day.month - 1]} {day.year}",
    lambda day: f"{day.day} {_MONTHS[day.month - 1]}",
    lambda day: f"{day:%d-%m-%Y}",
    lambda day: f"{day.day}/{day.month}/{day.year}",
)


def _description(rng: Random, setting: _Setting, slots: _Slots) -> str:
    phrases = _book()["phrases"]
    facts = [slots.say(alternatives) for alternatives in setting.story.facts]
    said = [slots.say(phrases["openings"]) + facts[0], *facts[1:], *_asked_and_answered(rng, slots)]
    if not any("Rp" in sentence for sentence in said):
        said.append(slots.say(phrases["losses"]))
    elif rng.random() < _WITH_CLOSING or setting.anonymous:
        said.append(slots.say(_closings(setting)))
    if rng.random() < _CASUAL:
        said = [_casual(sentence) for sentence in said]
    return " ".join(f"{sentence[0].upper()}{sentence[1:]}." for sentence in said if sentence)


def _asked_and_answered(rng: Random, slots: _Slots) -> list[str]:
    phrases = _book()["phrases"]
    if rng.random() < _ASKED_AND_ANSWERED_IN_ONE:
        return [slots.say(phrases["both"])]
    return [slots.say(phrases["asked"]), slots.say(phrases["answers"])]


def _closings(setting: _Setting) -> list[str]:
    phrases: dict[str, list[str]] = _book()["phrases"]
    if setting.anonymous:
        return phrases["closings_anonymous"]
    return phrases["closings"] + (phrases["closings_attached"] if setting.attachments else [])


def _casual(sentence: str) -> str:
    """Return the sentence as people type it on a telephone."""
    words: dict[str, str] = _book()["casual"]
    return re.sub(r"\b(" + "|".join(words) + r")\b", lambda found: words[found[0]], sentence)


# --- the rest ---------------------------------------------------------------------------------------------


def _reporter(rng: Random, setting: _Setting) -> dict[str, object]:
    if setting.anonymous:
        return {"domicile": setting.domicile, "anonymous": True}
    name = _person(rng)
    account = re.sub(r"[^a-z]+", ".", name.lower())
    return {
        "name": name,
        "phone": f"+62 812-0000-{rng.randrange(10_000):04d}",
        "email": f"{account}{rng.randrange(100):02d}@{rng.choice(('example.org', 'example.com'))}",
        "domicile": setting.domicile,
        "anonymous": False,
    }


def _person(rng: Random) -> str:
    people = _book()["people"]
    woman = rng.random() < 0.5
    first = str(rng.choice(people["women" if woman else "men"]))
    # Some family names have a form for each sex: "Kusumawati|Kusuma".
    family = str(rng.choice(people["family"])).split("|")[0 if woman else -1]
    return first if rng.random() < _ONE_NAME_ONLY else f"{first} {family}"


def _address(rng: Random, setting: _Setting) -> str:
    if setting.story.address:
        return setting.story.address
    book = _book()
    street, number = rng.choice(book["companies"]["streets"]), rng.randint(1, 180)
    city = book["cities"][setting.area[: len("31.74")]]["name"]
    return f"{street} No. {number}, {book['areas'][setting.area]['name']}, {city}"


def _location(rng: Random, area: str) -> dict[str, object]:
    middle = _book()["areas"][area]
    return {
        "lat": round(middle["lat"] + rng.uniform(-_SPREAD_DEGREES, _SPREAD_DEGREES), 6),
        "lon": round(middle["lon"] + rng.uniform(-_SPREAD_DEGREES, _SPREAD_DEGREES), 6),
        "area": area,
    }


def _attachment(rng: Random, now: datetime) -> dict[str, str]:
    ending, media_type = rng.choice(_ATTACHMENT_KINDS)
    name = f"{rng.getrandbits(48):012x}.{ending}"
    return {"url": f"https://foto.example/{now:%Y/%m}/{name}", "media_type": media_type}

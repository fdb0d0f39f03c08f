"""What the library proposes for a calendar file, and the block that confirms a year of it, for a person to look at."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from config.calendars import HolidayYear, holiday_years, joint_leave_in
from config.forms import CalendarSchema
from config.reading import Reading
from config.settings import BadSettings

_ESTIMATED = "(perkiraan)"  # the library's own word, in the name of the day


@dataclass(frozen=True)
class Proposed:
    """One day off of a year; `here` is confirmed, library (only there), or both."""

    on: date
    name: str
    here: str
    estimated: bool


@dataclass(frozen=True)
class CalendarFile:
    """A file of calendars/ as a person confirms it."""

    path: Path
    years: tuple[HolidayYear, ...]
    joint_leave: frozenset[date]

    def confirm(self, year: HolidayYear, source: str) -> None:
        """Append what the library proposes for the year, as confirmed by that source."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write("\n" + "\n".join(self._block(year, source)) + "\n")

    def _block(self, year: HolidayYear, source: str) -> Iterator[str]:
        yield "[[confirmed]]"
        yield f"year = {year.year}"
        yield f"source = {_quoted(source)}"
        for kind, joint in (("public", False), ("joint_leave", True)):
            yield f"[confirmed.{kind}]"
            for day, name in year.proposed.items():
                if (day in self.joint_leave) is joint:
                    yield f"{day} = {_quoted(name)}"


def read_calendar(folder: Path, name: str) -> CalendarFile:
    """Read one file of calendars/.

    Raises:
        BadSettings: with its faults.
    """
    reading, file = Reading(folder), f"calendars/{name}.toml"
    raw = reading.toml(file)
    content = None if raw is None else reading.checked(file, "", raw, CalendarSchema())
    if content is None:
        raise BadSettings(reading.faults)
    # Confirmed is the whole decree: whether joint leave counts is another question, and may change.
    joint = joint_leave_in(content)
    years = holiday_years({**content, "joint_leave": content["joint_leave"] or bool(joint)})
    return CalendarFile(folder / file, tuple(years), joint)


def days_of(year: HolidayYear) -> list[Proposed]:
    """Return the days off of a year, confirmed or proposed, in order."""
    names = {**year.proposed, **year.confirmed}
    return [Proposed(day, names[day], _where(year, day), _ESTIMATED in names[day]) for day in sorted(names)]


def _where(year: HolidayYear, day: date) -> str:
    if day in year.confirmed:
        return "both" if day in year.proposed else "confirmed"
    return "library"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)

"""By which way somebody is told: a person's channels in their order, and how patient each of them is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bridge.reports.people import Person

#: Seconds from each failed attempt to the next (Standard Webhooks 1.0.0: ten tries in 75 h 35 min 5 s).
RETRY_AFTER_S = (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
EMAIL, DESK = "email", "desk"


@dataclass(frozen=True)
class Channel:
    """One way to tell: `retry_s` the waits between its tries, `fallback_s` how long it may fail before the next way.

    After `fallback_s` seconds without success a notice goes on to the person's next channel, if there is one.
    """

    name: str
    retry_s: Sequence[float] = RETRY_AFTER_S
    fallback_s: float = 900.0


@dataclass(frozen=True)
class Flood:
    """When single notices become digests: after `most` within `within_s`, one digest every `digest_every_s`."""

    most: int = 20
    within_s: float = 600.0
    digest_every_s: float = 60.0


@dataclass(frozen=True)
class Ways:
    """What is configured: the channels there are, how the city is told, and when somebody is flooded."""

    channels: Mapping[str, Channel] = field(default_factory=lambda: {EMAIL: Channel(EMAIL)})
    city: Channel = Channel("webhook")
    flood: Flood = Flood()

    def of(self, person: Person) -> list[str]:
        """Return the channels that reach the person, in their order; who has none finds everything on the desk."""
        reaching = [entry for entry in person.channels if self._reaches(entry, person)]
        return [name_of(entry) for entry in reaching] or [DESK]

    def after(self, person: Person, channel: str) -> str | None:
        """Return the channel to fall back to when this one fails, or None when none is left."""
        there = self.of(person)
        if channel not in there:
            return there[0] if there != [DESK] else None
        rest = there[there.index(channel) + 1 :]
        return rest[0] if rest else None

    def channel(self, name: str) -> Channel:
        """Return a channel's patience; one that is configured no longer has everybody's."""
        return self.channels.get(name) or Channel(name)

    def _reaches(self, entry: str, person: Person) -> bool:
        return name_of(entry) in self.channels and (name_of(entry) != EMAIL or bool(person.email))


def name_of(entry: str) -> str:
    """Return the channel of an entry in somebody's list: `telegram` of `telegram:8123456`."""
    return entry.partition(":")[0]


def address_on(person: Person, channel: str) -> str:
    """Return the person's address on a channel: what follows the colon, their mail address for e-mail."""
    if channel == EMAIL:
        return person.email
    return next((entry.partition(":")[2] for entry in person.channels if name_of(entry) == channel), "")

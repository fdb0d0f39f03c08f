"""Whose key it is, among the sources that speak Open311."""

from bridge.receiver.doors import Doors
from bridge.schemes import SCHEMES
from bridge.signing import NotAuthentic


def open311_sources(doors: Doors) -> list[str]:
    """Return the names of the sources that speak Open311."""
    return [name for name, door in doors.items() if door.scheme is SCHEMES["open311"]]


def owner_of(doors: Doors, api_key: str) -> tuple[str, str]:
    """Return the source an API key belongs to, and the key's id.

    Raises:
        NotAuthentic: to none.
    """
    found: list[tuple[str, str]] = []
    # Every door is tried, opened or not: how long it takes tells nothing.
    for source in open311_sources(doors):
        try:
            found.append((source, doors[source].api_key(api_key)))
        except NotAuthentic:
            continue
    if not found:
        raise NotAuthentic("api_key")
    return found[0]

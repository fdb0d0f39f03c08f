"""What an update adds to what a report says: never refused for the sum, since anybody may add to any report. Pure.

What no longer fits is counted in one line behind the text; the update itself is kept whole, as it was posted.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from schemas.city import MAX_ATTACHMENTS, MAX_DESCRIPTION_CHARS

_MORE = "\n\n[Tidak muat di sini seluruhnya: {count} pemutakhiran. Utuhnya: bridge reports updates {ticket}]"
_COUNTED = re.compile(r"\n\n\[Tidak muat di sini seluruhnya: (\d+) ", re.ASCII)


def with_update(description: str, said: str, ticket: str) -> str:
    """Return a description with an update behind it, or as much of it as there is room for."""
    # Only the line that counts ever stands behind the limit: whoever writes one of their own does not forge it.
    text, behind = description[:MAX_DESCRIPTION_CHARS], description[MAX_DESCRIPTION_CHARS:]
    if counted := _COUNTED.match(behind):
        return text + _MORE.format(count=int(counted[1]) + 1, ticket=ticket)
    whole = f"{description}\n\n{said}"
    if len(whole) <= MAX_DESCRIPTION_CHARS:
        return whole
    return whole[:MAX_DESCRIPTION_CHARS] + _MORE.format(count=1, ticket=ticket)


def with_pictures(
    present: Sequence[Mapping[str, Any]], added: Sequence[Mapping[str, Any]]
) -> tuple[list[Mapping[str, Any]], list[str]]:
    """Return the attachments with as many of the new ones as there is room for, and the addresses of the others."""
    room = max(0, MAX_ATTACHMENTS - len(present))
    return [*present, *added[:room]], [picture["url"] for picture in added[room:]]

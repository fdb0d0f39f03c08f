"""Which way reports take on a machine, known to all its receiver processes at once: past the spool, or into it.

One byte of a file beside the spool's, mapped into the memory of each process, so that a look costs a request nothing.
Two rules keep the order of arrival among all of them, both inside the spool's write transactions, of which there is
never more than one (spool_store.py): whoever puts something there leaves `DIRECT` before it is committed, and `DIRECT`
is said only by who sees there that nothing waits. Whoever sees it comes behind all that was answered before.
"""

import mmap
import os
from pathlib import Path

DIRECT, SPOOLING, HANDOVER = 0, 1, 2


class Way:
    """The byte: `DIRECT`, `SPOOLING`, or `HANDOVER` while the last of the spool leaves and who comes is held back."""

    def __init__(self, path: Path) -> None:
        """Share it with whoever opens the spool at `path`.

        Raises:
            OSError: it cannot be made or mapped.
        """
        file = os.open(path.with_name(f"{path.name}.way"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            # Not by truncating: a first write into a hole would kill the process on a disk that is full.
            os.posix_fallocate(file, 0, 1)
            self._byte = mmap.mmap(file, 1)
        finally:
            os.close(file)

    @property
    def now(self) -> int:
        """Return `DIRECT`, `SPOOLING` or `HANDOVER`."""
        return self._byte[0]

    def into_spool(self) -> bool:
        """Leave `DIRECT`; tells whether it was that."""
        if self.now != DIRECT:
            return False
        self._byte[0] = SPOOLING
        return True

    def hand_over(self) -> None:
        """Let who comes wait for a moment."""
        self._byte[0] = HANDOVER

    def hand_over_no_more(self) -> None:
        """Let them go into the spool again, unless the way is free."""
        if self.now == HANDOVER:
            self._byte[0] = SPOOLING

    def past_spool(self) -> None:
        """Say `DIRECT`; only in a write transaction of the spool in which nothing waits."""
        self._byte[0] = DIRECT

"""Somebody's list held against our receipts: what is missing on either side, and what differs."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from itertools import islice

from bridge.receipts.proof import Proofs, Receipt
from bridge.receipts.watermark import Complete
from bridge.storage.listed import Entry, Listed
from bridge.storage.receipts import Span

_ROWS = 500


class What(StrEnum):
    """How an entry of the list, or a receipt, stands to the other side."""

    SAME = "same"
    DIFFERENT_BODY = "different_body"
    MISSING_HERE = "missing_here"
    MISSING_THERE = "missing_there"


class Hint(StrEnum):
    """What a webhook that is missing here means, as far as anybody can know."""

    NOT_ACCEPTED = "not_accepted"  # nothing of it was accepted before our receipts' `complete_until`
    ON_ITS_WAY = "may_be_on_its_way"  # too young, or nobody can tell how far our receipts are complete
    LOST = "lost"  # the list has our own answer to it, from a time for which our receipts are complete


@dataclass(frozen=True)
class Difference:
    """One thing on which the sides do not agree; what a side does not have is None."""

    what: What
    webhook_id: str
    sha256_there: str | None = None
    sha256_here: str | None = None
    at: datetime | None = None
    ticket: str | None = None
    hint: Hint | None = None
    aside: str | None = None  # the other body lies aside: it came under an id that had come before


@dataclass
class Comparison:
    """Compares as it is asked for differences; `counts` is whole when they have all been taken."""

    proofs: Proofs
    listed: Listed
    span: Span  # of our receipts that have to be in the list
    complete: Complete
    progress: Callable[[int], None] = lambda _: None
    counts: Counter[What] = field(default_factory=Counter)

    def differences(self) -> Iterator[Difference]:
        """Yield what differs: entries of the list first, then receipts that are not in it."""
        for batch in self.listed.batches():
            yield from self._checked(batch)
            self.progress(len(batch))
        ours = self.proofs.in_order(self.span)
        while batch_of_ours := list(islice(ours, _ROWS)):
            yield from self._missed(batch_of_ours)
            self.progress(len(batch_of_ours))

    @property
    def agrees(self) -> bool:
        """Tell whether nothing differed so far."""
        return set(self.counts) <= {What.SAME}

    def counted(self) -> dict[str, int]:
        """Return how many there were of each, none left out."""
        return {what.value: self.counts[what] for what in What}

    def _checked(self, batch: list[Entry]) -> Iterator[Difference]:
        ours = self.proofs.several(list({entry.webhook_id for entry in batch}))
        others = self.proofs.other_bodies([e.webhook_id for e in batch if _differs(e, ours.get(e.webhook_id))])
        for entry in batch:
            receipt = ours.get(entry.webhook_id)
            if receipt is None:
                found = self._missing(entry)
            elif _differs(entry, receipt):
                found = _different(entry, receipt, others.get((entry.webhook_id, entry.sha256)))
            else:
                self.counts[What.SAME] += 1
                continue
            self.counts[found.what] += 1
            yield found

    def _missed(self, batch: list[Receipt]) -> Iterator[Difference]:
        there = self.listed.among([row["webhook_id"] for row in batch])
        for row in batch:
            if row["webhook_id"] not in there:
                self.counts[What.MISSING_THERE] += 1
                yield Difference(
                    What.MISSING_THERE,
                    row["webhook_id"],
                    sha256_here=row["sha256"],
                    at=row["received_at"],
                    ticket=row["ticket"],
                )

    def _missing(self, entry: Entry) -> Difference:
        covered = self.complete.until is not None and (entry.at is None or self.complete.covers(entry.at))
        hint = Hint.LOST if entry.answered else Hint.NOT_ACCEPTED
        return Difference(
            What.MISSING_HERE,
            entry.webhook_id,
            sha256_there=entry.sha256,
            at=entry.at,
            hint=hint if covered else Hint.ON_ITS_WAY,
        )


def _differs(entry: Entry, receipt: Receipt | None) -> bool:
    return receipt is not None and receipt["sha256"] != entry.sha256


def _different(entry: Entry, receipt: Receipt, aside: str | None) -> Difference:
    return Difference(
        What.DIFFERENT_BODY,
        entry.webhook_id,
        entry.sha256,
        receipt["sha256"],
        receipt["received_at"],
        receipt["ticket"],
        aside=aside,
    )

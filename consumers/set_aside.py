"""The siding: messages nobody could handle leave the dead-letter queues for a person's worklist, kept whole.

Takes whatever lies in a `.dead` queue; leaves a row in `set_aside` with the reason.
"""

import hashlib
from collections.abc import Sequence
from typing import Any

import structlog

from bridge.storage import webhooks
from bridge.storage.database import Database
from bridge.vault import Vault
from consumers.runtime import DeadLetter

log = structlog.get_logger()


class SetAside:
    """Keep dead letters where people look."""

    most = 50

    def __init__(self, database: Database, vault: Vault) -> None:
        self._database = database
        self._vault = vault

    def handle(self, messages: Sequence[dict[str, Any]]) -> None:
        """Store each letter once, however often it comes."""
        letters: list[DeadLetter] = [message["data"] for message in messages]
        with self._database.write() as connection:
            now = self._database.now(connection)
            rows = [
                {
                    "source": letter.queue,
                    "webhook_id": letter.message_id,
                    "sha256": hashlib.sha256(letter.body).hexdigest(),
                    "why": "dead_letter",
                    "reasons": [f"no step could handle this message of {letter.queue}; the log says why"],
                    "received_at": now,
                    "body": self._vault.seal(letter.body),
                }
                for letter in letters
            ]
            webhooks.put_aside(self._database, connection, rows)
        log.error("dead_letters_set_aside", count=len(letters))

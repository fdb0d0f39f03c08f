"""A delivery whose message the queue has lost is announced again; nobody is overlooked."""

from datetime import timedelta

from bridge.storage.deliveries import announce_stranded
from tests.storage.office import Office

LONG_S = 360


def _announced(office: Office) -> int:
    with office.database.write() as connection:
        now = office.database.now(connection)
        return announce_stranded(office.database, connection, now=now, older_s=300, most=10)


def test_due_delivery_without_a_message_is_announced_again_once(office: Office) -> None:
    office.receive("L-1")
    office.pass_time(LONG_S)
    before = len(office.rows("outbox"))

    first, second = _announced(office), _announced(office)

    assert first == len(office.rows("deliveries")) > 0
    assert second == 0
    assert len(office.rows("outbox")) == before + first


def test_finished_delivery_is_not_announced_again(office: Office) -> None:
    office.receive("L-2")
    office.set("deliveries", {"state": "delivered", "finished_at": office.now()})
    office.pass_time(LONG_S)

    assert _announced(office) == 0


def test_delivery_somebody_works_on_is_not_announced_again(office: Office) -> None:
    office.receive("L-3")
    office.set("deliveries", {"state": "sending", "lease_until": office.now() + timedelta(seconds=LONG_S + 60)})
    office.pass_time(LONG_S)

    assert _announced(office) == 0

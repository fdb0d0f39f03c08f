"""People: added, changed, absent, gone; only hashes of their secrets; never two with one token."""

from datetime import timedelta

import pytest

from bridge.reports.people import Person, Role
from bridge.storage import people
from bridge.storage.database import Conflict
from bridge.storage.people import NoSuchPerson
from tests.storage.office import PEOPLE, Office

DEWI = Person("dewi", "Dewi Lestari", Role.OFFICER, "bpsk-dki", "dewi@bpsk.example", "consumer", "en")


def test_person_comes_back_as_saved(office: Office) -> None:
    with office.database.write() as connection:
        people.save(connection, DEWI)
        assert people.one(connection, "dewi") == DEWI
        assert people.active(connection) == sorted((*PEOPLE, DEWI), key=lambda person: person.person_id)


def test_changing_a_person_keeps_password_token_and_absence(office: Office) -> None:
    since = office.now()
    with office.database.write() as connection:
        people.set_fields(connection, "ani", password_hash="argon", token_hash="t")
        people.set_absence(connection, "ani", since, since + timedelta(days=3))
        people.save(connection, Person("ani", "Ani R.", Role.CHAIR, "bpsk-dki", "ani@new.example"))
        found = people.one(connection, "ani")
        assert (found.name, found.role, found.email) == ("Ani R.", Role.CHAIR, "ani@new.example")
        assert people.password_hash(connection, "ani") == "argon"
        assert people.by_token(connection, "t") == found
        assert (found.absent_from, found.absent_until) == (since, since + timedelta(days=3))


def test_person_who_has_left_is_found_nowhere_but_keeps_the_name(office: Office) -> None:
    with office.database.write() as connection:
        people.set_fields(connection, "ani", password_hash="argon", token_hash="t", active=0)
        with pytest.raises(NoSuchPerson):
            people.one(connection, "ani")
        assert people.password_hash(connection, "ani") is None
        assert people.by_token(connection, "t") is None
        assert "ani" not in [person.person_id for person in people.active(connection)]
        assert people.names(connection)["ani"] == "Ani Rahmawati"


def test_person_who_comes_back_is_active_again(office: Office) -> None:
    with office.database.write() as connection:
        people.set_fields(connection, "ani", active=0)
        people.save(connection, PEOPLE[0])
        assert people.one(connection, "ani") == PEOPLE[0]


def test_absence_is_a_span_and_can_be_ended(office: Office) -> None:
    now = office.now()
    with office.database.write() as connection:
        people.set_absence(connection, "ani", now, now + timedelta(days=1))
        absent = people.one(connection, "ani")
        people.set_absence(connection, "ani", None, None)
        present = people.one(connection, "ani")
    days = [timedelta(days=n) for n in (-1, 0, 1)]
    assert [absent.is_present(now + day) for day in days] == [True, False, True]
    assert [present.is_present(now + day) for day in days] == [True] * 3


def test_nobody_can_be_changed(office: Office) -> None:
    with office.database.write() as connection:
        with pytest.raises(NoSuchPerson):
            people.set_fields(connection, "nobody", active=0)
        with pytest.raises(NoSuchPerson):
            people.set_absence(connection, "nobody", None, None)
        with pytest.raises(NoSuchPerson):
            people.one(connection, "nobody")


def test_two_people_never_share_a_token(office: Office) -> None:
    with pytest.raises(Conflict), office.database.write() as connection:
        for person in ("ani", "budi"):
            people.set_fields(connection, person, token_hash="same")
    with office.database.read() as connection:
        assert people.by_token(connection, "same") is None


def test_role_that_does_not_exist_is_refused_by_the_database(office: Office) -> None:
    with pytest.raises(Exception, match="ck_people_role"), office.database.write() as connection:
        people.set_fields(connection, "ani", role="king")

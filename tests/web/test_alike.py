"""On the report's page: what may be the same grievance, with the reasons, to be merged or dismissed by who may."""

from tests.web.keyboard import Desk
from tests.web.office import Office

SITI = {"name": "Siti Kenari", "phone": "+62 812-0000-7777"}
MAJU = {"name": "PT Maju Jaya"}


def twice(office: Office) -> tuple[str, str]:
    """Take in one grievance under two ids; returns the tickets."""
    return office.new_report(reporter=SITI, business=MAJU), office.new_report(reporter=SITI, business=MAJU)


def test_page_names_the_other_report_the_score_and_why(office: Office) -> None:
    first, second = twice(office)
    page = office.inside("budi").get(f"/desk/reports/{second}").text
    assert first in page
    assert "(100): konsumen yang sama, usaha yang sama, uraian yang mirip" in page
    assert "laporan lain tentang usaha ini dalam 90 hari" in page
    assert "Bukan yang sama" not in page, "an officer may neither merge nor dismiss"
    assert "usaha ini dalam" not in office.visitor().get(f"/track/{second}").text


def test_one_button_merges_and_the_suggestion_is_gone(office: Office) -> None:
    first, second = twice(office)
    chair = office.inside("kartika")
    assert "Gabungkan ke" in chair.get(f"/desk/reports/{second}").text
    answer = chair.post(f"/desk/reports/{second}/merge", into=first, reason="pengaduan yang sama (100)")
    assert answer.status_code == 302
    assert office.report(second).merged_into == first
    assert f"Gabungkan ke {second}" not in chair.get(f"/desk/reports/{first}").text


def test_one_button_dismisses_for_good(office: Office) -> None:
    first, second = twice(office)
    chair = office.inside("kartika")
    assert chair.bare_post(f"/desk/reports/{second}/not-the-same", data={"other": first}).status_code == 400
    assert chair.post(f"/desk/reports/{second}/not-the-same", other=first).status_code == 302
    assert f'value="{first}"' not in chair.get(f"/desk/reports/{second}").text
    assert f'value="{second}"' not in chair.get(f"/desk/reports/{first}").text
    assert chair.post(f"/desk/reports/{second}/not-the-same", other="nonsense").status_code == 404
    assert chair.post(f"/desk/reports/{second}/not-the-same", other=second).status_code == 409


def test_command_lists_what_is_alike_with_its_keys(desk: Desk) -> None:
    first, second = twice(desk.office)
    (row,) = desk.rows("reports", "like", second)
    assert (row["ticket"], row["score"], row["status"]) == (first, 100, "received")
    assert row["reasons"][:2] == ["same_consumer", "same_business"]
    assert first in desk.run("reports", "like", second).output

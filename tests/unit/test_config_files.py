"""The files people edit: every fault of every file in one message, each with file, place and remedy."""

import base64
import re
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from bridge.clock_words import ledger
from bridge.reports.calendars import WorkingCalendar
from bridge.reports.clocks import ON_REGISTRATION, Deed, Kind, Policy, start_clock
from bridge.reports.daycounts import DayCount
from bridge.reports.explaining import What, account
from config.calendars import DAYS, calendar_from, definition_of
from config.files import Configuration, read_configuration
from config.settings import BadSettings, read_settings
from tests.unit.given import MONDAY, a_calendar, a_rulebook

SHIPPED = Path(__file__).parents[2] / "config"
KEY = "whsec_" + base64.b64encode(bytes(32)).decode()
SHORT = "whsec_" + base64.b64encode(b"only these").decode()

#: A small configuration without a fault.
RIGHT = {
    "sources.toml": """
[qlue]
name = "Qlue"
scheme = "standard-webhooks"
secret = "QLUE_SECRET"
callback_url = "QLUE_URL"
callback_secret = "QLUE_BACK"
""",
    "offices.toml": """
[bpsk]
name = "BPSK"
calendar = "city"
""",
    "routing.toml": """
[[rule]]
name = "finance"
office = "bpsk"
[rule.when]
category = ["PEMBIAYAAN"]
[[rule]]
name = "the rest"
office = "bpsk"
""",
    "policies.toml": """
[default.acknowledge]
span = "4 working hours"
warn = ["50%", "80%"]
[[default.acknowledge.ladder]]
at = "4 working hours"
to = "next_member"
do = "both"
[[default.acknowledge.ladder]]
at = "1 working day"
to = "role:chair"
do = "notify"
[default.triage]
span = "5 working days"
[[default.triage.ladder]]
at = "5 working days"
to = "person:ketua"
do = "notify"
""",
    "calendars/city.toml": """
zone = "Asia/Jakarta"
holidays = "ID"
years = [2026, 2027]
[hours]
mon = ["07:30-12:00", "13:00-16:00"]
fri = ["00:00-24:00"]
[[override]]
date = 2026-06-02
off = true
source = "decree"
[[period]]
name = "Ramadan"
first = 2026-02-18
last = 2026-03-19
[period.hours]
mon = ["08:00-15:00"]
""",
}


#: When the files are read, for what they say of the years to come.
TODAY = date(2026, 3, 2)


def read(folder: Path, files: dict[str, str], today: date = TODAY, **variables: str) -> Configuration:
    """Write the files and read them as at the start."""
    (folder / "calendars").mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    settings = replace(read_settings({"BRIDGE_DATA_DIR": str(folder / "data")}), config_dir=folder)
    return read_configuration(settings, variables, today=today)


def edited(*edits: tuple[str, str, str]) -> dict[str, str]:
    """The right files with some pieces of text replaced, the first time each appears."""
    files = dict(RIGHT)
    for name, old, new in edits:
        assert old in files[name]
        files[name] = files[name].replace(old, new, 1)
    return files


def faults(folder: Path, files: dict[str, str], **variables: str) -> list[str]:
    with pytest.raises(BadSettings) as refused:
        read(folder, files, **variables)
    return refused.value.faults


def test_files_without_a_fault_become_one_configuration(tmp_path: Path) -> None:
    found = read(tmp_path, RIGHT, QLUE_SECRET=f"{KEY} {KEY}", QLUE_URL="https://city.example/hook", QLUE_BACK=KEY)
    assert found.warnings == ()
    assert found.sources["qlue"].keys == (KEY, KEY)
    assert found.rulebook.told_back == {"qlue"}
    assert [rule.name for rule in found.rulebook.rules] == ["finance", "the rest"]
    steps = found.rulebook.policies["default"][Kind.ACKNOWLEDGE].steps
    assert [(str(step.at), step.level, step.to, step.deed) for step in steps] == [
        ("2 working hours", 0, "assignee", Deed.WARN),
        ("192 working minutes", 0, "assignee", Deed.WARN),
        ("4 working hours", 1, "next_member", Deed.BOTH),
        ("1 working day", 2, "role:chair", Deed.NOTIFY),
    ]


def test_shipped_files_have_no_fault_and_clocks_of_every_kind() -> None:
    settings = read_settings({"BRIDGE_BROKER_URL": "amqp://mq", "BRIDGE_TICKET_KEY": KEY, "BRIDGE_SECRET_KEY": KEY})
    assert settings.config_dir == SHIPPED
    secrets = ("QLUE_WEBHOOK_SECRET", "JAKI_WEBHOOK_SECRET", "OPEN311_API_KEY")
    found = read_configuration(settings, dict.fromkeys(secrets, KEY), today=TODAY)
    assert set(found.rulebook.policies["default"]) == set(Kind)
    assert found.warnings == ()
    assert len(found.remarks) == 1
    assert found.remarks[0].startswith(
        "calendars/jakarta.toml: holidays of 2027, 2028, 2029, 2030 are what the library"
    )
    assert found.rulebook.calendars["jakarta"].version == "jakarta@54c8dc5fe3", "running clocks hold it"


S, O, R, P, C = "sources.toml", "offices.toml", "routing.toml", "policies.toml", "calendars/city.toml"  # noqa: E741
CONFIRMED = """
[[confirmed]]
year = 2027
source = "SKB"
[confirmed.public]
2027-01-04 = "Libur A"
[confirmed.joint_leave]
2027-01-11 = "Cuti B"
"""
WRONG = [
    (S, "[qlue]\n", "[Qlue]\n", "Qlue: a name is small letters, digits and dashes"),
    (S, '"standard-webhooks"', '"magic"', "qlue.scheme: Must be one of: standard-webhooks"),
    (S, 'secret = "QLUE_SECRET"', "", "qlue.secret: Missing data"),
    (S, 'secret = "QLUE_SECRET"', 'secrets = "QLUE_SECRET"', "qlue.secrets: Unknown field"),
    (S, '"QLUE_SECRET"', f'"{KEY}"', "qlue.secret: String does not match"),
    (S, '"QLUE_URL"', '"https://city.example/hook"', "qlue.callback_url: String does not match"),
    (S, '"QLUE_BACK"', f'"{KEY}"', "qlue.callback_secret: String does not match"),
    (S, "[qlue]\n", "jaki = 5\n[qlue]\n", "jaki: Invalid input type"),
    (S, "[qlue]", "[qlue", "cannot be read as TOML: "),
    (O, '"city"', '"moon"', "bpsk.calendar: no calendar 'moon' (city)"),
    (O, 'name = "BPSK"', "", "bpsk.name: Missing data"),
    (O, "[bpsk]", "[bpsk]\nphon = 1", "bpsk.phon: Unknown field"),
    (R, '"bpsk"', '"bpks"', "rule[1].office: no office 'bpks'; there are bpsk"),
    (
        R,
        'office = "bpsk"',
        'office = "bpsk"\npolicy = "fast"',
        "rule[1].policy: no policy set 'fast'; there are default",
    ),
    (R, 'office = "bpsk"', 'office = "bpsk"\nrole = "boss"', "rule[1].role: Must be one of: officer"),
    (R, 'office = "bpsk"', 'office = "bpsk"\nelement = "fire"', "rule[1].element: Must be one of"),
    (R, "category = [", "colour = [", "rule[1].when.colour.key: Must be one of: source, category"),
    (R, '["PEMBIAYAAN"]', '"PEMBIAYAAN"', "rule[1].when.category.value: Not a valid list"),
    (R, '[[rule]]\nname = "the rest"\noffice = "bpsk"\n', "", "the last rule must have no `when`"),
    (R, RIGHT[R], "", "the last rule must have no `when`"),
    (R, RIGHT[R], "rule = 5", "rule: write [[rule]] in double brackets"),
    (R, RIGHT[R], '[rule]\nname = "all"\noffice = "bpsk"', "rule: write [[rule]] in double brackets"),
    (R, "[[rule]]", '[[rules]]\nname = "x"\n[[rule]]', "rules: unknown; there are only [[rule]] tables"),
    (
        P,
        'span = "5 working days"',
        'span = "21000 working days"',
        "default.triage: calendar city: not 21000 working days",
    ),
    (
        P,
        'at = "1 working day"',
        'at = "9000 working days"',
        "default.acknowledge: calendar city: not 9000 working days",
    ),
    (P, "[default.triage]", "[default.lunch]", "default.lunch: no such clock; there are acknowledge"),
    (P, '"4 working hours"', '"4 hrs"', "default.acknowledge.span: '4 hrs' is not a span; write for example"),
    (P, '"1 working day"', '"soon"', "default.acknowledge.ladder[2].at: 'soon' is not a span"),
    (P, '"next_member"', '"role:boss"', "default.acknowledge.ladder[1].to: 'role:boss' is nobody; write assignee"),
    (P, '"both"', '"warn"', "default.acknowledge.ladder[1].do: Must be one of: notify, reassign, both, close"),
    (P, '"both"', '"close"', "default.acknowledge: only the clock of the citizen (completion) may close a report"),
    (P, '"50%"', '"150%"', "default.acknowledge.warn[1]: '150%' is not a span"),
    (
        P,
        '"50%"',
        '"1 working day"',
        "default.acknowledge.warn: 1 working day before the end of 4 working hours: write a",
    ),
    (P, '"50%"', '"4 working hours"', "default.acknowledge.warn: 4 working hours before the end of 4 working hours"),
    (P, '"next_member"', '"office:moon"', "default.acknowledge.ladder[1].to: no office 'moon' (bpsk)"),
    (
        P,
        'do = "both"',
        'do = "both"\nrepeat = { every = "1 working day", times = 2 }',
        "ladder[1].repeat.every: 1 working",
    ),
    (
        P,
        'do = "both"',
        'do = "both"\nrepeat = { every = "1 working hour", times = 0 }',
        "ladder[1].repeat.times: Must be",
    ),
    (P, 'do = "both"', 'do = "both"\nrepeat = { every = "0 working hours", times = 2 }', "write the same unit"),
    (
        P,
        "[default.triage]",
        '[default.triage]\ncut_off = "25:00"',
        "default.triage.cut_off: '25:00' is not a time of day",
    ),
    (
        P,
        "[default.triage]",
        '[default.triage]\ncount_from = "monday"',
        "default.triage.count_from: Must be one of: next day",
    ),
    (
        P,
        "[default.triage]",
        '[default.triage]\ndue = "noon"',
        "default.triage.due: Must be one of: end of day, same time",
    ),
    (P, '"50%", "80%"', '"80%", "50%"', "2 working hours comes after 192 working minutes; steps must rise"),
    (P, '"1 working day"', '"3 working hours"', "3 working hours comes after 4 working hours; steps must rise"),
    (P, '"1 working day"', '"6 hours"', "6 hours comes after 4 working hours; steps must rise, and started"),
    (
        P,
        'span = "5 working days"',
        'span = "2 working days"\nwarn = ["50%"]\n[[default.triage.ladder]]\nat = "1 working hour"\nto = "assignee"\ndo = "notify"',
        "default.triage: 1 working hour comes after 1 working day; steps must rise",
    ),
    (
        P,
        "\n[default.triage]",
        '\n[[default.acknowledge.ladder]]\nat = "2 working days"\nto = "citizen"\ndo = "close"'
        '\n[[default.acknowledge.ladder]]\nat = "3 working days"\nto = "citizen"\ndo = "notify"\n[default.triage]',
        "default.acknowledge: a closed report has no further steps; `close` must be the last",
    ),
    (P, RIGHT[P], RIGHT[P].replace("default.triage", "fast.triage"), "default.triage: missing; every report needs"),
    (P, "\n[default", "\nfast = 5\n[default", "fast: write tables like [fast.acknowledge]"),
    (P, "\n[default", "\n[fast]\ntriage = 5\n[default", "fast.triage: Invalid input type"),
    (
        P,
        '"next_member"',
        '"citizen"',
        "default.acknowledge.ladder[1].do: the citizen has no desk a report could go to; write notify",
    ),
    (
        P,
        'span = "4 working hours"',
        'span = "0 working hours"',
        "default.acknowledge.span: '0 working hours' leaves nobody any time; a rung",
    ),
    (
        P,
        "[default.triage]",
        '[fast.triage]\nspan = "4 working hours"\ncut_off = "12:00"\n[[fast.triage.ladder]]\nat = "4 hours"\nto = "assignee"\ndo = "notify"\n[default.triage]',
        "fast.triage.cut_off: no effect: nothing of this clock is counted in working days",
    ),
    (
        P,
        "[default.triage]",
        '[fast.triage]\nspan = "4 hours"\ncount_from = "same day"\n[[fast.triage.ladder]]\nat = "4 hours"\nto = "assignee"\ndo = "notify"\n[default.triage]',
        "fast.triage.count_from: no effect: nothing of",
    ),
    (
        P,
        "[default.triage]",
        '[fast.triage]\nspan = "4 hours"\ndue = "same time"\n[[fast.triage.ladder]]\nat = "4 hours"\nto = "assignee"\ndo = "notify"\n[default.triage]',
        "fast.triage.due: no effect: nothing of",
    ),
    (C, '"Asia/Jakarta"', '"localtime"', "zone: 'localtime' is not an IANA zone"),
    (C, '"Asia/Jakarta"', '"Factory"', "zone: 'Factory' is not an IANA zone"),
    (C, '"Asia/Jakarta"', '"posixrules"', "zone: 'posixrules' is not an IANA zone"),
    (
        C,
        "[[period]]",
        CONFIRMED + CONFIRMED + "[[period]]",
        "confirmed[2].year: 2027 is confirmed already above; keep one",
    ),
    (
        C,
        "[[period]]",
        CONFIRMED.replace("year = 2027", "year = 2026") + "[[period]]",
        "confirmed[1].public: 2027-01-04: not of the year 2026",
    ),
    (
        C,
        "[[period]]",
        CONFIRMED.replace("2027-01-04", "4-Jan") + "[[period]]",
        "confirmed[1].public.4-Jan.key: '4-Jan' is not a date",
    ),
    (C, "[[period]]", CONFIRMED.replace('source = "SKB"', "") + "[[period]]", "confirmed[1].source: Missing data"),
    (
        C,
        "[[period]]",
        CONFIRMED.partition("[confirmed.public]")[0] + "[[period]]",
        "confirmed[1].public: a year without any holiday?",
    ),
    (C, '"ID"', '"NL"', "the library knows no joint leave of NL; write joint_leave = false"),
    (C, '"Asia/Jakarta"', '"Asia/Jakata"', "zone: 'Asia/Jakata' is not an IANA zone"),
    (C, 'zone = "Asia/Jakarta"', "", "zone: Missing data"),
    (C, "mon =", "monday =", "hours.monday.key: Must be one of: mon, tue"),
    (C, "07:30-12:00", "half past seven", "hours.mon.value[1]: 'half past seven' is not a stretch of hours like"),
    (C, "07:30-12:00", "07:90-12:00", "hours.mon.value[1]: '07:90-12:00' is not a stretch of hours like"),
    (C, "07:30-12:00", "12:00-07:30", "hours.mon.value[1]: '12:00-07:30' must start before it ends"),
    (
        C,
        "00:00-24:00",
        "00:00-48:01",
        "hours.fri.value[1]: '00:00-48:01' must start before it ends; over midnight write",
    ),
    (C, "13:00-16:00", "11:00-16:00", "mon: stretches overlap or are out of order: 07:30-12:00, 11:00-16:00"),
    (C, '["07:30-12:00", "13:00-16:00"]\nfri = ["00:00-24:00"]', "[]", "no working hours on any day of the week"),
    (C, '["00:00-24:00"]', '["00:00-24:00", "24:00-30:00"]', "hours.fri.value[2]: '24:00-30:00' must start before"),
    (C, '["00:00-24:00"]', '["00:00-24:00"]\nthu = ["22:00-30:00"]', "fri: stretches overlap or are out of order"),
    (C, '["00:00-24:00"]', '"00:00-24:00"', "hours.fri.value: Not a valid list"),
    (C, '"ID"', '"XX"', "Country XX not available"),
    (C, "[2026, 2027]", "[2027, 2026]", "years: the first year, then the last one"),
    (C, "[2026, 2027]", "[2026]", "years: Length must be 2"),
    (C, "[2026, 2027]", "[26, 27]", "years[1]: Must be greater than or equal to 1900"),
    (C, "2026-06-02", '"2026-06-02"', "override[1].date: write a date without quotes, like 2026-06-01"),
    (C, "2026-06-02", "2026-06-02T00:00:00", "override[1].date: write a date without quotes"),
    (C, 'source = "decree"', "", "override[1].source: Missing data"),
    (C, "2026-06-02", "0001-01-01", "override[1].date: must be a date of the years 1900 to 2200"),
    (
        C,
        "[[period]]",
        '[[override]]\ndate = 2026-06-02\noff = true\nsource = "again"\n[[period]]',
        "override[2].date: 2026-06-02 stands in override[1] already; keep one",
    ),
    (
        C,
        "[[period]]",
        '[[period]]\nname = "Rainy"\nfirst = 2026-03-19\nlast = 2026-04-02\nhours = {mon = ["09:00-15:00"]}\n[[period]]',
        "period[2] (Ramadan): 2026-03-19 lies in period[1] (Rainy) too",
    ),
    (
        C,
        "[[period]]",
        '[[period]]\nname = "Half"\nfirst = 2026-12-25\nlast = 2026-12-25\nhours = {fri = ["09:00-10:00"]}\n[[period]]',
        "period[1] (Half): no effect, for it has days off only; to work on one of them write an override",
    ),
    (
        C,
        "off = true",
        "off = false",
        "override[1].date: Tuesday 2026-06-02 has no hours, so off = false has no effect; give it some: hours",
    ),
    (
        C,
        "off = true",
        'off = true\nhours = ["08:00-12:00"]',
        "override[1].hours: a day off has no hours; write off = false",
    ),
    (C, "off = true", 'off = false\nhours = ["8-12"]', "override[1].hours[1]: '8-12' is not a stretch"),
    (
        C,
        "off = true",
        'off = false\nhours = ["13:00-16:00", "08:00-12:00"]',
        "stretches overlap or are out of order: 13:00-16:00, 08:00-12:00",
    ),
    (C, "first = 2026-02-18", 'first = "2026-02-18"', "period[1].first: write a date without quotes"),
    (C, "last = 2026-03-19", "last = 2025-03-19", "period[1].last: must not be before `first`"),
    (C, "08:00-15:00", "8-15", "period[1].hours.mon.value[1]: '8-15' is not a stretch of hours like"),
    (C, "[hours]", "[hours", "cannot be read as TOML: "),
]


@pytest.mark.parametrize("years", ["[2027, 2030]", "[2020, 2025]"])
def test_year_without_holidays_is_told_at_every_start_and_refuses_no_report(tmp_path: Path, years: str) -> None:
    said = f"calendars/city.toml: years: {years} leave out 2026, so that it would have no holiday at all; widen them"
    found = read(tmp_path, edited((C, "[2026, 2027]", years)))
    assert said in found.warnings
    assert said in found.notes


@pytest.mark.parametrize(("file", "old", "new", "fault"), WRONG, ids=[f"{row[0]}: {row[3][:60]}" for row in WRONG])
def test_fault_in_a_file_is_told_with_place_and_remedy(
    tmp_path: Path, file: str, old: str, new: str, fault: str
) -> None:
    told = faults(tmp_path, edited((file, old, new)))
    assert [line for line in told if line.startswith(f"{file}: ") and fault in line], told
    assert {line.split(":")[0] for line in told} == {file}, "only the file with the fault is blamed"


def test_faults_of_all_files_are_told_in_one_message(tmp_path: Path) -> None:
    broken = edited(
        (S, '"standard-webhooks"', '"magic"'),
        (S, "[qlue]\n", "[Qlue]\n"),
        (O, 'name = "BPSK"', "nam = 1"),
        (R, 'office = "bpsk"', 'office = "bpks"\nelement = "fire"'),
        (R, 'name = "the rest"\noffice = "bpsk"', 'name = "the rest"\noffice = "bpsk"\n[rule.when]\narea = ["31*"]'),
        (P, '"4 working hours"', '"4 hrs"'),
        (P, '"next_member"', '"somebody"'),
        (P, "[default.triage]", "[default.lunch]"),
        (C, '"Asia/Jakarta"', '"Jakarta"'),
        (C, "07:30-12:00", "7-12"),
        (C, "2026-06-02", '"2 June"'),
    )
    told = faults(tmp_path, broken)
    places = {":".join(line.split(":")[:2]) for line in told}
    assert places >= {
        f"{S}: Qlue", f"{S}: Qlue.scheme", f"{O}: bpsk.name", f"{O}: bpsk.nam", f"{R}: rule[1].element",
        f"{R}: the last rule must have no `when`, so that it takes everything", f"{P}: default.acknowledge.span",
        f"{P}: default.acknowledge.ladder[1].to", f"{P}: default.lunch", f"{P}: default.triage.span", f"{C}: zone",
        f"{C}: hours.mon.value[1]", f"{C}: override[1].date",
    }  # fmt: skip


@pytest.mark.parametrize("file", [S, O, R, P])
def test_missing_file_is_told_once_and_with_the_folder(tmp_path: Path, file: str) -> None:
    told = faults(tmp_path, {name: text for name, text in RIGHT.items() if name != file})
    of_file = [line for line in told if line.startswith(file)]
    assert of_file == [f"{file}: missing from {tmp_path}; copy the shipped one and edit it"]


@pytest.mark.parametrize("file", [S, O, R, P, C])
def test_file_that_is_no_toml_is_told_once(tmp_path: Path, file: str) -> None:
    told = faults(tmp_path, {**RIGHT, file: "= = ="})
    assert len([line for line in told if line.startswith(file)]) == 1


def test_folder_without_any_calendar_is_a_fault(tmp_path: Path) -> None:
    told = faults(tmp_path, {name: text for name, text in RIGHT.items() if name != C})
    assert "calendars/: no calendar there; at least one is needed" in told


WARNED = [
    ({}, "source qlue: QLUE_SECRET is not set, so it answers 401 to everybody"),
    ({"QLUE_SECRET": SHORT}, "source qlue: key 1 in QLUE_SECRET is not used: only 10 bytes; at least 24 are needed"),
    ({"QLUE_SECRET": f"{KEY} not!base64"}, "source qlue: key 2 in QLUE_SECRET is not used: not base64"),
]


@pytest.mark.parametrize(("variables", "warning"), WARNED)
def test_source_without_a_usable_key_warns_and_stops_nobody(
    tmp_path: Path, variables: dict[str, str], warning: str
) -> None:
    (told,) = read(tmp_path, RIGHT, **variables).notes
    assert told.startswith(warning)
    assert SHORT not in told


UNSIGNED = [
    (
        {"QLUE_URL": "https://city.example"},
        "sources.toml: qlue.callback_secret: QLUE_URL is set, so QLUE_BACK must hold",
    ),
    ({"QLUE_URL": "https://city.example", "QLUE_BACK": SHORT}, "callback_secret: QLUE_BACK: only 10 bytes"),
    ({"QLUE_URL": "city.example", "QLUE_BACK": KEY}, "QLUE_URL: must begin with http:// or https://"),
    ({"QLUE_SECRET_FILE": "/no/such/file"}, "QLUE_SECRET_FILE: cannot read /no/such/file"),
]


@pytest.mark.parametrize(("variables", "fault"), UNSIGNED)
def test_callback_nobody_could_sign_or_send_is_a_fault(tmp_path: Path, variables: dict[str, str], fault: str) -> None:
    (told,) = faults(tmp_path, RIGHT, **variables)
    assert fault in told
    assert SHORT not in told


def test_configuration_printed_by_accident_shows_no_key(tmp_path: Path) -> None:
    back = "whsec_" + base64.b64encode(bytes(range(32))).decode()
    found = read(tmp_path, RIGHT, QLUE_SECRET=KEY, QLUE_URL="https://city.example", QLUE_BACK=back)
    assert KEY not in repr(found)
    assert back not in repr(found)


def test_same_files_give_the_same_versions_and_an_edit_another(tmp_path: Path) -> None:
    first, again = read(tmp_path, RIGHT).rulebook, read(tmp_path, RIGHT).rulebook
    assert first.policy_versions == again.policy_versions
    assert first.calendar_versions == again.calendar_versions
    other = read(tmp_path, edited((P, '"1 working day"', '"2 working days"'))).rulebook
    changed = set(other.policy_versions) - set(first.policy_versions)
    assert [version.split("@")[0] for version in changed] == ["acknowledge"]


def test_rung_that_is_repeated_is_a_step_for_each_time_and_the_next_rung_comes_after(tmp_path: Path) -> None:
    files = edited((P, 'do = "both"', 'do = "both"\nrepeat = { every = "1 working hour", times = 2 }'))
    policy = read(tmp_path, files, QLUE_SECRET=KEY).rulebook.policies["default"][Kind.ACKNOWLEDGE]
    rungs = [(str(step.at), step.level, step.again) for step in policy.steps if step.level]
    assert rungs == [
        ("4 working hours", 1, 0),
        ("5 working hours", 1, 1),
        ("6 working hours", 1, 2),
        ("1 working day", 2, 0),
    ]
    assert Policy.from_definition(policy.version, policy.definition()) == policy


def test_warning_can_be_so_long_before_the_end(tmp_path: Path) -> None:
    files = edited((P, '"50%", "80%"', '"90 working minutes"'))
    policy = read(tmp_path, files, QLUE_SECRET=KEY).rulebook.policies["default"][Kind.ACKNOWLEDGE]
    assert [str(step.at) for step in policy.steps if not step.level] == ["150 working minutes"]


def hours_on(calendar: WorkingCalendar, day: date) -> list[str]:
    """When the office is open on a day, on its own clock."""
    return ["-".join(f"{calendar.local(at):%H:%M}" for at in span) for span in calendar.spans_on(day)]


def test_working_day_that_replaces_another_has_its_own_hours_also_in_a_period_and_on_a_holiday(tmp_path: Path) -> None:
    days = {"2026-06-06": "a Saturday", "2026-03-02": "in Ramadan", "2026-12-25": "Christmas"}
    worked = "".join(
        f'[[override]]\ndate = {day}\noff = false\nhours = ["07:30-12:00"]\nsource = "SE 1/2026: {what}"\n'
        for day, what in days.items()
    )
    usual = read(tmp_path, RIGHT, QLUE_SECRET=KEY).rulebook.calendars["city"]
    calendar = read(tmp_path, edited((C, "[[period]]", f"{worked}[[period]]")), QLUE_SECRET=KEY).rulebook.calendars[
        "city"
    ]
    assert [hours_on(usual, date.fromisoformat(day)) for day in days] == [[], ["08:00-15:00"], []]
    assert [hours_on(calendar, date.fromisoformat(day)) for day in days] == [["07:30-12:00"]] * 3
    assert hours_on(calendar, date(2026, 3, 9)) == ["08:00-15:00"], "the period goes on"
    assert calendar_from("city", definition_of(calendar)) == calendar
    assert usual.same_until(calendar) == datetime(2026, 3, 1, 17, tzinfo=UTC)


def test_period_over_a_holiday_is_allowed_and_the_holiday_stays_free(tmp_path: Path) -> None:
    eid = '[[period]]\nname = "Short"\nfirst = 2026-12-21\nlast = 2026-12-28\nhours = {mon = ["09:00-15:00"], fri = ["09:00-15:00"]}\n'
    calendar = read(tmp_path, edited((C, "[[period]]", f"{eid}[[period]]")), QLUE_SECRET=KEY).rulebook.calendars["city"]
    found = [hours_on(calendar, date(2026, 12, day)) for day in (21, 25, 28)]
    assert found == [["09:00-15:00"], [], ["09:00-15:00"]]


ENDING = [
    (date(2026, 7, 1), ()),
    (date(2026, 7, 2), ("calendars/city.toml: years: there are no holidays after 31 Dec 2027, and a clock may",)),
    (date(2027, 12, 31), ("calendars/city.toml: years: there are no holidays after 31 Dec 2027, and a clock may",)),
]


@pytest.mark.parametrize(("today", "said"), ENDING)
def test_end_of_the_known_holidays_is_told_18_months_before(tmp_path: Path, today: date, said: tuple[str, ...]) -> None:
    remarks = read(tmp_path, RIGHT, today, QLUE_SECRET=KEY).remarks
    found = [remark for remark in remarks if remark.startswith("calendars/city.toml: years")]
    assert len(found) == len(said)
    assert all(line.startswith(start) for line, start in zip(found, said, strict=True))


def test_calendar_without_the_library_has_no_years_to_end(tmp_path: Path) -> None:
    files = edited((C, 'holidays = "ID"', ""), (C, "[2026, 2027]", "[2020, 2021]"))
    assert "calendars/" not in "".join(read(tmp_path, files, QLUE_SECRET=KEY).remarks)


REMARKS = [
    "policies.toml: default.completion: missing, so asking the citizen starts no such clock",
    "policies.toml: default.summons: missing, so registering starts no such clock",
    "policies.toml: default.first_hearing: missing, so registering starts no such clock",
    "policies.toml: default.decision: missing, so registering starts no such clock",
]


def test_clock_that_no_set_has_is_allowed_and_told(tmp_path: Path) -> None:
    remarks = read(tmp_path, RIGHT, QLUE_SECRET=KEY).remarks
    assert [remark for remark in remarks if remark.startswith(P)] == REMARKS


def test_confirmed_year_has_the_days_of_the_file_and_the_other_years_those_of_the_library(tmp_path: Path) -> None:
    usual = read(tmp_path, RIGHT, QLUE_SECRET=KEY).rulebook.calendars["city"].days_off
    found = read(tmp_path, edited((C, "[[period]]", f"{CONFIRMED}[[period]]")), QLUE_SECRET=KEY)
    days_off = found.rulebook.calendars["city"].days_off
    assert {day: why for day, why in days_off.items() if day.year == 2027} == {
        date(2027, 1, 4): "Libur A",
        date(2027, 1, 11): "Cuti B",
    }
    assert {d: w for d, w in days_off.items() if d.year == 2026} == {d: w for d, w in usual.items() if d.year == 2026}
    assert any(
        "2027 is confirmed (SKB), and the library says otherwise of 2027-01-01, " in line for line in found.remarks
    )
    assert any("holidays of 2026 are what the library proposes" in line for line in found.remarks)


def test_joint_leave_of_a_confirmed_year_counts_as_the_switch_says(tmp_path: Path) -> None:
    files = edited((C, "[[period]]", f"{CONFIRMED}[[period]]"), (C, "[hours]", "joint_leave = false\n[hours]"))
    days_off = read(tmp_path, files, QLUE_SECRET=KEY).rulebook.calendars["city"].days_off
    assert [day for day in days_off if day.year == 2027] == [date(2027, 1, 4)]


def test_confirmed_year_needs_no_library_to_cover_it(tmp_path: Path) -> None:
    files = edited((C, "[[period]]", f"{CONFIRMED}[[period]]"), (C, "[2026, 2027]", "[2025, 2026]"))
    assert read(tmp_path, files, date(2027, 6, 1), QLUE_SECRET=KEY)


def test_estimates_of_the_library_say_so_in_the_reason_of_the_day(tmp_path: Path) -> None:
    days_off = read(tmp_path, RIGHT, QLUE_SECRET=KEY).rulebook.calendars["city"].days_off
    assert days_off[date(2027, 3, 10)].endswith("(perkiraan)")


@pytest.mark.parametrize(("do", "count"), [("notify", 1), ("close", 0)])
def test_completion_that_never_closes_is_allowed_and_told(tmp_path: Path, do: str, count: int) -> None:
    rung = f'[[slow.completion.ladder]]\nat = "9 working days"\nto = "assignee"\ndo = "{do}"\n'
    files = edited((P, "\n[default.triage]", f'\n[slow.completion]\nspan = "9 working days"\n{rung}[default.triage]'))
    said = [line for line in read(tmp_path, files, QLUE_SECRET=KEY).remarks if "slow" in line]
    assert len(said) == count
    assert all(line.startswith("policies.toml: slow.completion: without `close` at its end") for line in said)


def test_rung_at_the_start_of_a_clock_is_allowed(tmp_path: Path) -> None:
    files = edited((P, '"50%", "80%"', ""), (P, 'at = "4 working hours"', 'at = "0 working hours"'))
    steps = read(tmp_path, files, QLUE_SECRET=KEY).rulebook.policies["default"][Kind.ACKNOWLEDGE].steps
    assert steps[0].at.amount == 0


def test_stretch_over_midnight_belongs_to_the_day_it_begins(tmp_path: Path) -> None:
    night = '["20:00-22:00"]\nsat = ["22:00-30:00"]\nsun = ["08:00-12:00", "22:00-24:30"]'
    weekday = (C, '["07:30-12:00", "13:00-16:00"]', '["07:30-12:00"]')
    files = edited((C, '["00:00-24:00"]', night), weekday, (P, '"1 working day"', '"9 working days"'))
    (calendar,) = read(tmp_path, files, QLUE_SECRET=KEY).rulebook.calendars.values()
    by_day = dict(zip(DAYS, calendar.week, strict=True))
    assert by_day["sat"] == ((1320, 1800),)
    assert by_day["sun"] == ((480, 720), (1320, 1470))
    assert by_day["mon"] == ((450, 720),)
    assert by_day["fri"] == ((1200, 1320),)
    assert hours_on(calendar, date(2026, 10, 3)) == ["22:00-06:00"]
    assert hours_on(calendar, date(2026, 10, 5)) == ["07:30-12:00"]
    assert calendar_from("city", definition_of(calendar)) == calendar


def test_way_of_counting_days_is_part_of_the_policy_and_its_version(tmp_path: Path) -> None:
    usual = read(tmp_path, RIGHT, QLUE_SECRET=KEY).rulebook.policies["default"][Kind.TRIAGE]
    rules = '[default.triage]\ncount_from = "same day"\ncut_off = "12:00"\ndue = "same time"\nverified = true'
    counted = read(tmp_path, edited((P, "[default.triage]", rules)), QLUE_SECRET=KEY)
    policy = counted.rulebook.policies["default"][Kind.TRIAGE]
    assert policy.days == DayCount(from_same_day=True, cut_off=720, same_time=True)
    assert policy.verified
    assert policy.version != usual.version
    assert Policy.from_definition(policy.version, policy.definition()) == policy


def test_source_may_be_written_in_both_languages_and_a_plain_one_keeps_the_policys_version(tmp_path: Path) -> None:
    def triage(source: str) -> Policy:
        files = edited((P, "[default.triage]", f"[default.triage]\nsource = {source}"))
        return read(tmp_path, files, QLUE_SECRET=KEY).rulebook.policies["default"][Kind.TRIAGE]

    plain, both = triage('"UU 8/1999 pasal 55"'), triage('{ id = "pasal 55", en = "article 55" }')
    assert (plain.source_in("id"), plain.source_in("en")) == ("UU 8/1999 pasal 55", "UU 8/1999 pasal 55")
    assert plain.version == "triage@68689c74b0", "as it was before there were two languages"
    assert (both.source_in("id"), both.source_in("en")) == ("pasal 55", "article 55")
    assert Policy.from_definition(both.version, both.definition()) == both
    assert both.version != plain.version


@pytest.mark.parametrize(
    "source", ['{ id = "pasal 55" }', '{ id = "a", en = 1 }', "5", '{ id = "a", en = "b", nl = "c" }']
)
def test_source_in_other_languages_than_the_two_is_a_fault(tmp_path: Path, source: str) -> None:
    files = edited((P, "[default.triage]", f"[default.triage]\nsource = {source}"))
    (fault,) = faults(tmp_path, files, QLUE_SECRET=KEY)
    assert "policies.toml: default.triage.source: write a text, or one in each language" in fault


def test_shipped_sets_name_their_source_and_whether_it_was_verified() -> None:
    shipped = read_configuration(read_settings({}), {"QLUE_WEBHOOK_SECRET": KEY}).rulebook.policies
    assert {"default", "sp4n-lapor", "crm"} <= shipped.keys()
    every = [policy for clocks in shipped.values() for policy in clocks.values()]
    assert all(policy.source and policy.source_en and policy.source != policy.source_en for policy in every)
    english = re.compile(r"verif|compared|service|working|the ", re.IGNORECASE)
    assert [policy.source for policy in every if english.search(policy.source)] == []
    assert [policy.source_en for policy in every if re.search("verif|naskah|kerja", policy.source_en or "")] == []
    marks = {"id": "belum dicocokkan dengan naskah", "en": "not yet compared with the text"}
    for policy in every:
        clock = start_clock("", policy, a_calendar(), cycle=1, now=MONDAY)
        found = account(clock, a_rulebook(policy))
        for language, mark in marks.items():
            (said,) = [entry.text for entry in ledger(found, language, {}) if entry.line.what is What.PROMISE]
            assert policy.source_in(language) in said
            assert said.endswith(f"; {mark})") is (policy.kind in ON_REGISTRATION and not policy.verified)
    assert {str(shipped["sp4n-lapor"][kind].span) for kind in (Kind.ACKNOWLEDGE, Kind.TRIAGE, Kind.COMPLETION)} == {
        "3 working days",
        "5 working days",
        "10 working days",
    }
    assert str(shipped["crm"][Kind.ACKNOWLEDGE].span) == "24 hours"

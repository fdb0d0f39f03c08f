"""Who may what: every route of the application is walked, none is forgotten when one is added."""

import re
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import pytest
from werkzeug.routing import Rule

from bridge.reports.people import Role
from bridge.vault import new_data_key
from tests.web.office import CANARIES, PASSWORD, ROLES, Office

#: Open to everybody, and why.
PUBLIC = {
    "/": "leads to the inbox, which asks",
    "/desk/login": "the entrance",
    "/desk/logout": "ends a session, whoever's",
    "/track/": "the citizen",
    "/track/<text>": "the citizen, by an unguessable ticket",
    "/a/<token>": "the notified officer, by a signed link",
    "/a/off/<token>": "whoever a mail was sent to, by a signed link",
    "/language/<code>": "a choice of words",
    "/api/v1/openapi.json": "the contract",
    "/api/docs": "the contract as a page",
    "/healthz": "operators",
    "/readyz": "operators",
    "/metrics": "operators; the front keeps it inside",
    "/static/<path:filename>": "style and script",
    "/webhooks/<source>/receipts": "the source, by its own signature (test_receipts.py)",
    "/webhooks/<source>/receipts/<anything:webhook_id>": "the source, by its own signature (test_receipts.py)",
}
#: Open311 has no log-in: anybody reads it, and who posts gives an api_key (test_open311.py).
OPEN311 = "/open311/"
EVERYBODY = set(Role)
NOT_OFFICERS = EVERYBODY - {Role.OFFICER}
MOVERS = EVERYBODY - {Role.DINAS_HEAD}
MENDERS = {Role.SECRETARIAT, Role.ADMIN}
RESENDERS = {Role.SECRETARIAT, Role.ADMIN}
ONE_ASIDE = "/desk/set-aside/<int(max=9223372036854775807):number>"
#: (method, route) -> who may; everybody else is told 403.
MAY = {
    ("GET", "/desk/"): EVERYBODY,
    ("GET", "/desk/inbox/rows"): EVERYBODY,
    ("GET", "/desk/reports/<ticket>"): EVERYBODY,
    ("GET", "/desk/escalations"): NOT_OFFICERS,
    ("GET", "/desk/escalations/rows"): NOT_OFFICERS,
    ("GET", "/desk/escalations.csv"): NOT_OFFICERS,
    ("GET", "/desk/escalations.json"): NOT_OFFICERS,
    ("GET", "/desk/deliveries"): NOT_OFFICERS,
    ("GET", "/desk/deliveries/<uuid:delivery_id>"): NOT_OFFICERS,
    ("POST", "/desk/deliveries/<uuid:delivery_id>/again"): RESENDERS,
    ("GET", "/desk/deliveries/replay"): NOT_OFFICERS,
    ("POST", "/desk/deliveries/replay"): RESENDERS,
    ("GET", "/desk/me"): EVERYBODY,
    ("POST", "/desk/me"): EVERYBODY,
    ("POST", "/desk/me/test"): EVERYBODY,
    ("GET", "/desk/mail"): NOT_OFFICERS,
    ("GET", "/desk/sources"): {Role.ADMIN},
    ("GET", "/desk/texts"): {Role.ADMIN},
    ("GET", "/desk/set-aside"): MENDERS,
    ("GET", ONE_ASIDE): MENDERS,
    ("POST", f"{ONE_ASIDE}/check"): MENDERS,
    ("POST", f"{ONE_ASIDE}/<any(fix, release, discard):deed>"): MENDERS,
    ("POST", "/desk/reports/<ticket>/acknowledge"): EVERYBODY,
    ("POST", "/desk/reports/<ticket>/attachments/<int:number>"): EVERYBODY,  # then: assignee and secretariat alone
    ("POST", "/desk/reports/<ticket>/moves/<move>"): MOVERS,
    ("POST", "/desk/reports/<ticket>/met/<kind>"): MOVERS,
    ("POST", "/desk/reports/<ticket>/assign"): MOVERS - {Role.OFFICER},
    ("POST", "/desk/reports/<ticket>/escalate"): MOVERS,
    ("POST", "/desk/reports/<ticket>/merge"): MOVERS - {Role.OFFICER},
    ("POST", "/desk/reports/<ticket>/transfer"): MOVERS - {Role.OFFICER},
    ("POST", "/desk/reports/<ticket>/not-the-same"): MOVERS - {Role.OFFICER},
    ("GET", "/api/v1/reports"): EVERYBODY,
    ("GET", "/api/v1/reports/<ticket>"): EVERYBODY,
    ("POST", "/api/v1/reports/<ticket>/acknowledge"): EVERYBODY,
    ("POST", "/api/v1/reports/<ticket>/moves/<move>"): MOVERS,
}
DESK = [(method, route) for method, route in MAY if route.startswith("/desk")]
API = [(method, route) for method, route in MAY if route.startswith("/api")]


def filled(route: str, ticket: str = "0000-0000-0000") -> str:
    """Return a path a route matches."""
    values = {
        "number": "4711",
        "deed": "discard",
        "delivery_id": "00000000-0000-5000-8000-000000000000",
        "ticket": ticket,
        "move": "resume",
        "kind": "summons",
        "token": "x",
        "text": "x",
        "code": "en",
    }
    return re.sub(r"<(?:\w+(?:\([^)]*\))?:)?(\w+)>", lambda found: values.get(found[1], "desk.css"), route)


def methods(rule: Rule) -> set[str]:
    """Return what a route answers to, besides what every one does."""
    return (rule.methods or set()) - {"HEAD", "OPTIONS"}


def is_public(rule: Rule) -> bool:
    """Tell whether a route is open to everybody on purpose."""
    return rule.rule in PUBLIC or rule.rule.startswith(OPEN311)


def test_every_route_is_public_on_purpose_or_guarded(office: Office) -> None:
    for rule in office.app.url_map.iter_rules():
        guarded = hasattr(office.app.view_functions[rule.endpoint], "needs_roles")
        assert guarded != is_public(rule), f"{rule} is {'guarded and' if guarded else 'neither guarded nor'} public"


def test_the_table_of_roles_names_every_guarded_route_and_no_other(office: Office) -> None:
    guarded = {
        (method, rule.rule)
        for rule in office.app.url_map.iter_rules()
        if not is_public(rule)
        for method in methods(rule)
    }
    assert guarded == set(MAY)


@pytest.mark.parametrize(("method", "route"), DESK)
def test_page_is_shown_to_its_roles_only(office: Office, method: str, route: str) -> None:
    for name in ("ani", "sekar", "kartika", "darma", "adi"):
        visitor = office.inside(name)
        path = filled(route)
        status = (visitor.get(path) if method == "GET" else visitor.post(path)).status_code
        assert (status == 403) == (ROLES[name] not in MAY[method, route]), f"{name} got {status}"
        assert status < 500


@pytest.mark.parametrize(("method", "route"), DESK)
def test_page_sends_a_stranger_to_the_entrance(office: Office, method: str, route: str) -> None:
    stranger, path = office.visitor(), filled(route)
    answer = stranger.get(path) if method == "GET" else stranger.post(path)
    assert (answer.status_code, urlsplit(answer.location).path) == (302, "/desk/login")


def test_live_part_of_a_page_sends_the_whole_page_to_the_entrance_when_the_session_is_over(office: Office) -> None:
    answer = office.visitor().get("/desk/inbox/rows", headers={"HX-Request": "true"})
    assert (answer.status_code, answer.headers["HX-Redirect"]) == (401, "/desk/login")


@pytest.mark.parametrize(("method", "route"), API)
def test_api_asks_for_a_token_and_a_role(office: Office, method: str, route: str) -> None:
    path, client = filled(route), office.visitor().client
    for name in ("ani", "sekar", "kartika", "darma", "adi"):
        status = client.open(path, method=method, headers=office.token(name)).status_code
        assert (status == 403) == (ROLES[name] not in MAY[method, route]), f"{name} got {status}"
    for wrong in (
        {},
        {"Authorization": "Bearer nobody"},
        {"Authorization": "Basic YW5pOmFuaQ=="},
        {"Authorization": "Bearer"},
    ):
        answer = client.open(path, method=method, headers=wrong)
        assert (answer.status_code, answer.mimetype) == (401, "application/problem+json")
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_api_takes_no_session_for_a_token(office: Office) -> None:
    office.inside("adi").get("/desk/")
    assert office.inside("adi").get("/api/v1/reports").status_code == 401


# --- forms ----------------------------------------------------------------------------------------------------------


def test_every_form_is_refused_without_its_token(office: Office) -> None:
    ticket = office.new_report()
    visitor = office.inside("adi")
    routes = [rule.rule for rule in office.app.url_map.iter_rules() if "POST" in methods(rule)]
    # A mail program has no session: its link is signed, and only turns mails off (test_me.py).
    forms = [route for route in routes if not route.startswith(("/api", OPEN311, "/a/off/"))]
    assert len(forms) >= 7
    for route in forms:
        answer = visitor.bare_post(filled(route, ticket), data={"person": "budi", "reason": "x"})
        assert answer.status_code == 400, route
    assert office.report(ticket).status == "received"
    assert visitor.get("/desk/").status_code == 200, "still logged in"


def test_token_of_another_session_opens_no_form(office: Office) -> None:
    found = re.search(r'name="csrf_token" value="([^"]+)"', office.visitor().get("/desk/login").text)
    assert found
    ticket = office.new_report()
    answer = office.inside("adi").bare_post(f"/desk/reports/{ticket}/acknowledge", data={"csrf_token": found[1]})
    assert (answer.status_code, office.report(ticket).status) == (400, "received")


# --- the entrance ---------------------------------------------------------------------------------------------------


def test_right_password_lets_in_and_wrong_ones_do_not(office: Office) -> None:
    office.add_person("lina", Role.OFFICER)
    for name, password in (
        ("ani", "wrong"),
        ("ani", ""),
        ("nobody", PASSWORD),
        ("lina", ""),
        ("", ""),
        ("ani\x00", PASSWORD),
    ):
        visitor = office.visitor()
        answer = visitor.log_in(name, password)
        assert (answer.status_code, "Nama atau kata sandi salah" in answer.text) == (401, True), name
        assert visitor.get("/desk/").status_code == 302
    assert office.inside("ani").get("/desk/").status_code == 200


def test_session_cookie_is_out_of_reach_of_scripts_and_other_sites(office: Office) -> None:
    cookie = office.visitor().get("/desk/login").headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie


def test_session_cookie_stays_on_https_when_the_public_address_is(tmp_path_factory: pytest.TempPathFactory) -> None:
    secure = Office(tmp_path_factory.mktemp("https"), BRIDGE_PUBLIC_URL="https://bridge.example")
    cookie = secure.app.test_client().get("/desk/login", base_url="https://bridge.example").headers["Set-Cookie"]
    secure.close()
    assert "Secure" in cookie


def test_guessing_a_password_is_slowed_down_by_name_and_by_address(office: Office) -> None:
    by_name = [office.visitor().log_in("victim", f"guess {number}").status_code for number in range(7)]
    guesser = office.visitor()
    by_address = [guesser.log_in(f"name-{number}", "guess").status_code for number in range(7)]
    for statuses in (by_name, by_address):
        assert (statuses[0], statuses[-1]) == (401, 429)
    assert int(guesser.log_in("name-8", "guess").headers["Retry-After"]) >= 1
    assert office.visitor().get("/desk/login").status_code == 200


def test_who_was_let_go_is_out_at_once(office: Office) -> None:
    office.add_person("wati", Role.SECRETARIAT, password_hash=office.password_hash)
    visitor, token = office.inside("wati"), office.token("wati")
    link = office.link(office.new_report(), "wati")
    assert visitor.get("/desk/").status_code == 200
    office.let_go("wati")
    assert visitor.get("/desk/").status_code == 302
    assert visitor.client.get("/api/v1/reports", headers=token).status_code == 401
    assert visitor.get(link).status_code == 404
    assert office.visitor().log_in("wati").status_code == 401


def test_who_logs_out_is_out(office: Office) -> None:
    visitor = office.visitor()
    visitor.log_in("budi")
    assert visitor.get("/desk/").status_code == 200
    visitor.post("/desk/logout")
    assert visitor.get("/desk/").status_code == 302


@pytest.mark.parametrize(
    "target",
    ["//evil.example", "/\\evil.example", "https://evil.example/", "javascript:alert(1)", "\t//evil.example", "/\t/evil.example",
     "/\r\n/evil.example", "///evil.example", "\\\\evil.example", "/../../evil.example", "desk.evil.example", ""],
)  # fmt: skip
def test_log_in_leads_to_no_other_site(office: Office, target: str) -> None:
    answer = office.visitor().post("/language/id", next=target)
    # Browsers drop tabs and line ends, and read \ as /.
    heard = re.sub(r"[\t\r\n]", "", answer.location).replace("\\", "/")
    assert answer.status_code == 302
    assert urlsplit(urljoin("http://localhost/desk/login", heard)).hostname == "localhost"


def test_log_in_leads_where_one_wanted_to_go(office: Office) -> None:
    stranger = office.visitor()
    asked = stranger.get("/desk/escalations?level=3")
    assert "next=" in asked.location
    assert office.visitor().log_in("kartika", next="/desk/escalations?level=3").location == "/desk/escalations?level=3"


# --- what every answer carries --------------------------------------------------------------------------------------

PATHS = ["/", "/desk/login", "/desk/", "/desk/nothing", "/track/", "/track/x", "/a/x", "/healthz", "/nothing", "/static/desk.css",
         "/api/v1/reports", "/metrics", "/readyz"]  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
def test_every_answer_carries_the_headers_that_protect(office: Office, path: str) -> None:
    headers = office.inside("adi").get(path).headers
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"
    if path.startswith(("/desk", "/a/", "/api", "/track/")):
        assert headers["Cache-Control"] == "no-store"


# --- personal data --------------------------------------------------------------------------------------------------


def test_contacts_are_shown_to_the_assignee_and_the_secretariat_and_masked_for_all_others(office: Office) -> None:
    ticket = office.canary_report()
    office.assign(ticket, "budi")
    contacts = {CANARIES[name] for name in ("name", "phone", "email")}
    for name, role in ROLES.items():
        text = office.inside(name).get(f"/desk/reports/{ticket}").text
        seen = {contact for contact in contacts if contact in text}
        assert seen == (contacts if name == "budi" or role is Role.SECRETARIAT else set()), name


def test_contact_is_masked_so_that_two_can_be_told_apart(office: Office) -> None:
    text = office.inside("kartika").get(f"/desk/reports/{office.canary_report()}").text
    assert all(masked in text for masked in ("S••• K•••", "+6••••••77", "s•••@warga.example"))


def test_each_look_at_a_contact_is_kept_and_shown_to_chair_and_admin(office: Office) -> None:
    ticket = office.canary_report()
    office.assign(ticket, "budi")
    looked = {}
    for name in ("kartika", "budi", "sekar", "budi", "adi", "kartika"):
        text = office.inside(name).get(f"/desk/reports/{ticket}").text
        looked[name] = re.findall(r"</span> (\w+): kontak pelapor", text)
    assert looked == {"kartika": ["Budi", "Sekar", "Budi"], "budi": [], "sekar": [], "adi": ["Budi", "Sekar", "Budi"]}


def test_where_there_is_no_contact_there_is_no_look(office: Office) -> None:
    for reporter in ({"domicile": "31.74"}, {"name": CANARIES["name"], "anonymous": True}):
        ticket = office.new_report(reporter=reporter)
        office.inside("sekar").get(f"/desk/reports/{ticket}")
        assert "kontak pelapor" not in office.inside("adi").get(f"/desk/reports/{ticket}").text


def test_contact_whose_key_is_gone_is_said_to_be_locked_and_the_rest_is_shown(tmp_path: Path) -> None:
    before = Office(tmp_path, BRIDGE_DATA_KEY=new_data_key())
    ticket = before.canary_report()
    before.close()
    after = Office(tmp_path)
    text = after.inside("sekar").get(f"/desk/reports/{ticket}").text
    assert "kuncinya tidak ada" in text
    assert CANARIES["description"] in text
    assert after.inside("kartika").get(f"/desk/reports/{ticket}").status_code == 200
    after.close()


def test_lists_exports_and_the_api_hold_no_contacts(office: Office) -> None:
    ticket = office.canary_report()
    token = office.token("adi")
    pages = [
        "/desk/",
        "/desk/inbox/rows",
        "/desk/escalations",
        "/desk/escalations.csv?warnings=1",
        "/desk/escalations.json",
    ]
    texts = [office.inside("adi").get(path).text for path in pages]
    texts += [
        office.visitor().get(path, headers=token).text for path in ("/api/v1/reports", f"/api/v1/reports/{ticket}")
    ]
    for text in texts:
        assert not [canary for canary in CANARIES.values() if canary in text]


def test_contacts_of_an_anonymous_reporter_are_shown_to_nobody(office: Office) -> None:
    ticket = office.new_report(reporter={"name": CANARIES["name"], "phone": CANARIES["phone"], "anonymous": True})
    for name in ROLES:
        text = office.inside(name).get(f"/desk/reports/{ticket}").text
        assert CANARIES["name"] not in text
        assert CANARIES["phone"] not in text

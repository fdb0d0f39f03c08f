"""mySociety's servicerequestupdates: what happened to requests, fetched; and what the citizen added, posted to us.

https://github.com/mysociety/open311-adapter/blob/master/perllib/Open311/Endpoint/Role/mySociety.pm
"""

from collections.abc import Collection
from typing import Any

from flask import Blueprint, request
from werkzeug.wrappers import Response

from bridge.open311 import shown
from bridge.open311.amending import Update, take
from bridge.open311.asked import span_of
from bridge.open311.dates import NotADate, read_date
from bridge.open311.form import Form, first_of
from bridge.open311.keys import open311_sources, owner_of
from bridge.open311.rendering import FORMATS, Refused, answer
from bridge.open311.way_in import PostedForm, let_in, posted
from bridge.reports.tickets import read_ticket
from bridge.service import Service
from bridge.signing import NotAuthentic
from bridge.storage import open311 as stored

#: mySociety's words for a state; posted in capitals.
STATUSES = (
    *("unchanged", "open", "investigating", "in_progress", "planned", "action_scheduled", "for_triage", "reopen"),
    *("closed", "fixed", "duplicate", "cancelled", "no_further_action", "not_councils_responsibility"),
    "internal_referral",
)


def add_to(routes: Blueprint, service: Service) -> None:
    """Add both calls."""
    path = f"/open311/v2/servicerequestupdates.<any({', '.join(FORMATS)}):fmt>"

    @routes.get(path)
    def fetched(fmt: str) -> Response:
        return answer(fmt, "service_request_updates", _happened(service, _sources(service)))

    @routes.post(path)
    def told(fmt: str) -> Response:
        update = _read(service, *posted(PostedForm(request.environ)))
        take(service, update)
        return answer(fmt, "service_request_updates", [{"update_id": update.update_id}])


def _sources(service: Service) -> list[str]:
    """Return whose reports are asked for: all of Open311's, or those of the one whose key was given."""
    if not (api_key := first_of(request.args.getlist("api_key"))):
        return open311_sources(service.doors)
    try:
        return [owner_of(service.doors, api_key)[0]]
    except NotAuthentic as error:
        raise Refused(403, "api_key: not valid.") from error


def _happened(service: Service, sources: Collection[str]) -> list[dict[str, Any]]:
    with service.database.read() as connection:
        since, until = span_of(request.args, service.database.now(connection))
        rows = stored.happened(connection, sources, since, until, shown.EVENTS)
        rows += stored.climbed(connection, sources, since, until)
    in_order = sorted(rows, key=lambda row: row["at"])[: stored.MOST]
    # Several rungs at one instant are one update, the highest: the city is sent one, too.
    return list({told["update_id"]: told for told in map(shown.update, in_order)}.values())


def _read(service: Service, form: Form, api_key: str) -> Update:
    """Check what was posted; the old name of update_id is known, too."""
    source, key_id = let_in(service.doors, api_key)
    given = {name: form.one(name) for name in ("service_request_id", "status", "updated_datetime", "description")}
    given["update_id"] = form.one("update_id") or form.one("update_id_ext")
    given["description"] = given["description"] or form.one("media_url")
    if missing := [name for name, value in given.items() if not value]:
        raise Refused(400, *(f"{name}: missing" for name in missing))
    status = given["status"].lower()
    if status not in STATUSES:
        raise Refused(400, f"status: {given['status'][:64]!r} is unknown")
    try:
        at = read_date(given["updated_datetime"])
    except NotADate as fault:
        raise Refused(400, f"updated_datetime: {fault}") from fault
    ticket = read_ticket(given["service_request_id"]) or ""
    return Update(form, source, key_id, ticket, given["update_id"], status, at)

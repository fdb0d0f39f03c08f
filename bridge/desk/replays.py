"""A span of time sent once more: first how many it would be, then with a reason, in batches; and who did it before."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, g, redirect, render_template, request, url_for
from werkzeug.datastructures import MultiDict
from werkzeug.wrappers import Response

from bridge.auth import OVERSEERS, acting, needs
from bridge.desk.days import minute
from bridge.desk.deliveries import RESENDERS, recipients
from bridge.desk.shown import actor_name
from bridge.pages import language
from bridge.reports.report import Purpose
from bridge.reports.setting_aside import ReasonMissing
from bridge.resending import preview, resend
from bridge.service import Service
from bridge.storage import people, told
from bridge.storage.told import Wanted

#: More than so many would keep the page waiting for too long: the command shows how far it is.
MOST_ON_PAGE = 5000
_FIELDS = ("purpose", "recipient", "since", "until", "what")
#: What is wrong with what was asked for, in Indonesian and in English.
_EVERYTHING = (
    "Pilih jenis atau penerima: semuanya sekaligus tidak dikirim ulang.",
    "Choose a kind or a recipient: nobody sends everything once more.",
)
_NO_SINCE = ("Isi sejak kapan, tanggal dan jam.", "Say since when, with date and time.")
_BACKWARDS = ("Akhirnya mendahului awalnya.", "It ends before it begins.")
_NO_REASON = ("Tulis alasannya; disimpan bersama catatan.", "Say why; it is kept with the note.")
_TOO_MANY = ("Terlalu banyak untuk halaman ini.", "Too many for this page.")


@dataclass(frozen=True)
class Asked:
    """What the form holds; `fault` is what is wrong with it, in both languages."""

    values: Mapping[str, str]
    wanted: Wanted
    fault: tuple[str, str] | None

    @property
    def is_empty(self) -> bool:
        """Tell whether nothing was asked for yet."""
        return not self.values["since"] and not self.values["until"]


def blueprint(service: Service) -> Blueprint:
    """Return the form, its preview, and the door behind it."""
    routes = Blueprint("replays", __name__, template_folder="templates")

    @routes.get("/desk/deliveries/replay")
    @needs(service, *OVERSEERS)
    def show() -> str:
        asked = read(request.args)
        count = None if asked.fault or g.person.role not in RESENDERS else preview(service.database, asked.wanted)
        return _page(service, asked, count, None if asked.is_empty else asked.fault)

    @routes.post("/desk/deliveries/replay")
    @needs(service, *RESENDERS)
    def send() -> Response | tuple[str, int]:
        asked = read(request.form)
        if asked.fault:
            return _page(service, asked, None, asked.fault), 422
        count = preview(service.database, asked.wanted)
        if count > MOST_ON_PAGE:
            return _page(service, asked, count, _TOO_MANY), 422
        try:
            reason = request.form.get("reason", "")
            left = resend(service.database, asked.wanted, actor=acting(g.person).name, reason=reason)
        except ReasonMissing:
            return _page(service, asked, count, _NO_REASON), 422
        return redirect(url_for("replays.show", left=left))

    return routes


def read(form: MultiDict[str, str]) -> Asked:
    """Return what a form asks for."""
    values = {name: form.get(name, "").strip() for name in _FIELDS}
    purpose = values["purpose"] if values["purpose"] in list(Purpose) else ""
    wanted = Wanted(
        purpose=purpose,
        recipient=values["recipient"],
        since=minute(values["since"]),
        until=minute(values["until"]),
        unheard=values["what"] != "all",
    )
    return Asked(values, wanted, _fault(wanted))


def _fault(wanted: Wanted) -> tuple[str, str] | None:
    if wanted.since is None:
        return _NO_SINCE
    if not wanted.purpose and not wanted.recipient:
        return _EVERYTHING
    if wanted.until is not None and wanted.until <= wanted.since:
        return _BACKWARDS
    return None


def _page(service: Service, asked: Asked, count: int | None, fault: tuple[str, str] | None) -> str:
    with service.database.read() as connection:
        names = people.names(connection)
        before = told.replays_listed(connection)
    content: dict[str, Any] = {
        "asked": asked.values,
        "count": count,
        "too_many": count is not None and count > MOST_ON_PAGE,
        "fault": fault,
        "left": request.args.get("left", type=int),
        "before": [{**line, "by": actor_name(line["actor"], names, language())} for line in before],
        "names": names,
        "recipients": recipients(service, names),
        "purposes": list(Purpose),
        "may_resend": g.person.role in RESENDERS,
    }
    return render_template("desk/replays.html", **content)

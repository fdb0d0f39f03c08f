"""Pages for officers, chair, Dinas and admins: a file per area, with its templates."""

from flask import Blueprint

from bridge.desk import (
    attachments,
    banner,
    deliveries,
    entrance,
    handover,
    inbox,
    log,
    mail,
    me,
    oneclick,
    replays,
    report,
    set_aside,
    sources,
    texts,
    unsubscribe,
)
from bridge.service import Service


def blueprints(service: Service) -> list[Blueprint]:
    """Return the areas of the desk."""
    areas = (
        *(banner, entrance, inbox, report, attachments, handover, log, set_aside),
        *(deliveries, replays, mail, sources, texts, me, oneclick, unsubscribe),
    )
    return [area.blueprint(service) for area in areas]

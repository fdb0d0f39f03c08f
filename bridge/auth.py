"""Who may: passwords, sessions, roles, bearer tokens. One decorator guards every page; a test walks all routes."""

import hashlib
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from flask import abort, g, redirect, request, session, url_for
from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import Unauthorized
from werkzeug.wrappers import Response

from bridge.reports.moves import Actor
from bridge.reports.people import Person, Role
from bridge.service import Service
from bridge.storage import people

# 19 MiB, two passes (OWASP's least for argon2id): the stronger default would let a few log-ins occupy both cores.
_HASHER = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
_NOBODY = _HASHER.hash("nobody has this password")

_View = TypeVar("_View", bound=Callable[..., Any])

#: Who sees the whole office's work, not only their own desk.
OVERSEERS = (Role.SECRETARIAT, Role.CHAIR, Role.DINAS_HEAD, Role.ADMIN)
EVERYBODY = tuple(Role)


def hash_password(password: str) -> str:
    """Return what is kept of a password."""
    return _HASHER.hash(password)


def check_password(service: Service, person_id: str, password: str) -> Person | None:
    """Return the person whose password this is, or None; an unknown person takes the same time."""
    with service.database.read() as connection:
        kept = people.password_hash(connection, person_id)
        try:
            _HASHER.verify(kept or _NOBODY, password)
        except (VerificationError, InvalidHashError):
            return None
        return people.one(connection, person_id) if kept else None


def needs(service: Service, *roles: Role) -> Callable[[_View], _View]:
    """Guard a page: log in first, and have one of the roles. The person is in `g.person` afterwards."""

    def guard(view: _View) -> _View:
        @wraps(view)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            person = logged_in(service)
            if person is None:
                return _to_log_in()
            if person.role not in roles:
                abort(403, "Your role does not see this page.")
            g.person = person
            return view(*args, **kwargs)

        guarded.needs_roles = roles  # type: ignore[attr-defined]  # the test of guards looks for it
        return cast(_View, guarded)

    return guard


def _to_log_in() -> Response:
    if "HX-Request" in request.headers:
        # The live part of a page would show the log-in page inside itself: let the whole page go there.
        return Response("", 401, {"HX-Redirect": url_for("entrance.log_in")})
    target = url_for("entrance.log_in", next=request.full_path if request.method == "GET" else None)
    return redirect(target)


def logged_in(service: Service) -> Person | None:
    """Return who is logged in; somebody let go since is not."""
    person_id = session.get("person")
    if not person_id:
        return None
    with service.database.read() as connection:
        try:
            return people.one(connection, person_id)
        except people.NoSuchPerson:
            return None


def needs_token(service: Service, *roles: Role) -> Callable[[_View], _View]:
    """Guard an API call: a bearer token (RFC 6750) of somebody with one of the roles."""

    def guard(view: _View) -> _View:
        @wraps(view)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            scheme, _, token = request.headers.get("Authorization", "").partition(" ")
            hashed = hashlib.sha256(token.encode()).hexdigest()
            with service.database.read() as connection:
                person = people.by_token(connection, hashed) if scheme.lower() == "bearer" else None
            if person is None:
                raise Unauthorized(
                    "A valid bearer token is needed; make one with: bridge people token PERSON",
                    www_authenticate=WWWAuthenticate("bearer", {"realm": "jembatan"}),
                )
            if person.role not in roles:
                abort(403, "The token's role may not do this.")
            g.person = person
            return view(*args, **kwargs)

        guarded.needs_roles = roles  # type: ignore[attr-defined]
        return cast(_View, guarded)

    return guard


def acting(person: Person) -> Actor:
    """Return a person as the one who acts."""
    return Actor(f"person:{person.person_id}", person)

"""`requests`, for the library that uses it, over our own guarded way out: nothing of it opens a connection itself."""

from collections.abc import Mapping
from contextvars import ContextVar
from functools import cache
from typing import Any

import requests
from requests.adapters import BaseAdapter
from requests.structures import CaseInsensitiveDict

from bridge.delivery.errors import NotDelivered
from bridge.delivery.guarded import Guard, Limits, Outgoing

#: Messengers answer with more than a webhook's receiver does.
_LIMITS = Limits(most_bytes=1_000_000)
#: Ours says who asks and reads what comes as it is.
_NOT_PASSED_ON = frozenset({"accept-encoding", "connection", "host"})


#: What the guard said: libraries keep it to themselves. A list, which threads they start with our context share.
_FAILURES: ContextVar[list[NotDelivered]] = ContextVar("failures")


def guard_requests(guard: Guard) -> None:
    """Let every session of `requests` in this process, whoever makes it, go through this guard."""
    _FAILURES.set([])
    requests.Session = requests.sessions.Session = _session(guard)  # type: ignore[misc]


def what_failed() -> NotDelivered | None:
    """Return why the last request without an answer since `guard_requests` got none, or None."""
    return failures[-1] if (failures := _FAILURES.get([])) else None


@cache
def _session(guard: Guard) -> type[requests.Session]:
    class Guarded(_Session):
        adapter = _Adapter(guard)

    return Guarded


class _Adapter(BaseAdapter):
    """Sends each request on a connection of its own; certificates are checked, whatever was asked for."""

    def __init__(self, guard: Guard) -> None:
        super().__init__()
        self._guard = guard

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        """See BaseAdapter.send.

        Raises:
            requests.ConnectionError: nobody answered, or the guard forbids it.
        """
        outgoing = Outgoing(request.url or "", self._guard, _LIMITS)
        sent = {name: value for name, value in request.headers.items() if name.lower() not in _NOT_PASSED_ON}
        try:
            with outgoing.asked(request.method or "GET", _whole(request.body), sent) as incoming:
                body, whole = incoming.beginning(_LIMITS.most_bytes)
        except NotDelivered as error:
            _FAILURES.get([]).append(error)
            raise requests.ConnectionError(error.detail, request=request) from error
        finally:
            outgoing.close()
        if not whole:
            raise requests.ConnectionError("the answer broke off, or is too long", request=request)
        return _response(request, incoming.status, incoming.headers, body)

    def close(self) -> None:
        """See BaseAdapter.close: nothing stays open."""


class _Session(requests.Session):
    """Believes no proxy or netrc of the environment, and follows no redirect."""

    adapter: BaseAdapter

    def __init__(self) -> None:
        super().__init__()
        self.trust_env = False

    def get_adapter(self, url: str | bytes) -> BaseAdapter:  # noqa: ARG002 - the same for all
        """See Session.get_adapter."""
        return self.adapter

    def request(self, *args: Any, **options: Any) -> requests.Response:
        """See Session.request."""
        return super().request(*args, **{**options, "allow_redirects": False})


def _whole(body: Any) -> bytes | None:
    if hasattr(body, "read"):
        body = body.read()
    if body is None or isinstance(body, bytes):
        return body
    return body.encode() if isinstance(body, str) else b"".join(body)


def _response(
    request: requests.PreparedRequest, status: int, headers: Mapping[str, str], body: bytes
) -> requests.Response:
    response = requests.Response()
    response.status_code = status
    response.headers = CaseInsensitiveDict(headers)
    response.encoding = requests.utils.get_encoding_from_headers(response.headers)
    response._content = body  # where every adapter puts it
    response.request, response.url = request, request.url or ""
    return response

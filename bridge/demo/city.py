"""The pretend city app: a citizen files a complaint and sees merah, kuning or hijau; our callbacks arrive here."""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections import OrderedDict
from datetime import datetime
from typing import Any

import requests
from flask import Flask, Response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from bridge.service import Service
from bridge.signing import NotAuthentic, sign, signing_key, verify
from bridge.words import ZONE, time_of_day
from schemas.city import StatusChangedSchema

_MOST_COMPLAINTS = 200


class CityApp:
    """What the city knows: complaints it sent, and for each the callbacks that came."""

    def __init__(self, service: Service) -> None:
        source = service.configuration.sources["qlue"]
        self._url = f"http://127.0.0.1:{service.settings.listen_port}/webhooks/qlue"
        self._key = signing_key(source.keys[0])
        self._callback_keys = [signing_key(key) for key in source.callback_secret.split()]
        self._lock = threading.Lock()
        self.complaints: OrderedDict[str, dict[str, Any]] = OrderedDict()

    def submit(self, data: dict[str, Any]) -> dict[str, Any]:
        """Send a complaint to Jembatan as a signed webhook; returns what the city keeps of it."""
        event = {"type": "report.submitted", "timestamp": datetime.now(ZONE).isoformat(), "data": data}
        body = json.dumps(event, ensure_ascii=False).encode()
        webhook_id, timestamp = f"msg_{secrets.token_hex(12)}", int(time.time())
        headers = {
            "content-type": "application/json",
            "webhook-id": webhook_id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": sign(self._key, webhook_id, timestamp, body),
        }
        answer = requests.post(self._url, data=body, headers=headers, timeout=15)
        answer.raise_for_status()
        kept = {"data": data, "answer": answer.json(), "callbacks": [], "sequence": 0}
        with self._lock:
            self.complaints[str(data["id"])] = kept
            if len(self.complaints) > _MOST_COMPLAINTS:
                self.complaints.popitem(last=False)
        return kept

    def receive(self, headers: dict[str, str], body: bytes) -> bool:
        """Take a callback; returns False when it is older than what is known.

        Raises:
            NotAuthentic: not signed with our key.
        """
        verify(self._callback_keys, headers, body, now_s=time.time())
        data = StatusChangedSchema().load(json.loads(body))["data"]
        with self._lock:
            kept = self.complaints.get(data["id"])
            if kept is None:
                return True
            kept["callbacks"].append(data)
            if data["sequence"] <= kept["sequence"]:
                return False
            kept["sequence"], kept["status"] = data["sequence"], data
        return True


def create_city(city: CityApp) -> Flask:
    """Return the city's own small web site."""
    app = Flask("bridge.demo", template_folder="templates", static_folder="../static")

    @app.get("/")
    def home() -> str:
        newest = list(reversed(city.complaints.values()))
        return render_template("demo/city.html", complaints=newest, time_of_day=time_of_day)

    @app.post("/complaints")
    def submit() -> AnyResponse:
        form = request.form
        city.submit(
            {
                "id": f"QL-{secrets.randbelow(900_000) + 100_000}",
                "title": form.get("title", "").strip() or "Keluhan",
                "description": form.get("description", "").strip() or "-",
                "category": form.get("category", "LAINNYA"),
                "reported_at": datetime.now(ZONE).isoformat(),
                "language": "id",
                "reporter": {"name": "Warga Contoh", "phone": "+62 812-0000-0001", "domicile": "31.74"},
                "business": {"name": form.get("business", "").strip() or None},
            }
        )
        return redirect(url_for("home"))

    @app.post("/callbacks")
    def callback() -> Response:
        headers = {
            name: request.headers.get(name, "") for name in ("webhook-id", "webhook-timestamp", "webhook-signature")
        }
        try:
            city.receive(headers, request.get_data())
        except NotAuthentic:
            return Response("", 401)
        return Response("", 204)

    return app

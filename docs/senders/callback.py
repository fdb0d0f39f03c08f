"""Receive Jembatan's status callbacks: verify, take each change once, in order. Python 3.8 or newer, nothing else.

export JEMBATAN_CALLBACK_KEY=whsec_...
python3 callback.py 8400
"""

import base64
import hashlib
import hmac
import json
import os
import re
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOLERANCE_S = 300
#: The newest change known of each report. Yours is a column beside the report, changed in one transaction with it.
newest = {}


def is_authentic(key, headers, body, now_s):
    """Tell whether Jembatan signed these bytes, within five minutes; `headers` finds names in any case."""
    webhook_id, timestamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not webhook_id or not re.fullmatch(r"[0-9]{1,12}", timestamp) or abs(now_s - int(timestamp)) > TOLERANCE_S:
        return False
    text = key[6:] if key.startswith("whsec_") else key
    secret = base64.b64decode(text + "=" * (-len(text) % 4))
    mac = hmac.new(secret, f"{webhook_id}.{timestamp}.".encode() + body, hashlib.sha256)
    expected = b"v1," + base64.b64encode(mac.digest())
    given = headers.get("webhook-signature", "").encode("utf-8", "replace")
    return any([hmac.compare_digest(expected, entry) for entry in given.split(b" ")])


def take(change):
    """Take a change unless a newer one is known: `sequence` rises with each change of a report."""
    if change["sequence"] > newest.get(change["id"], 0):
        newest[change["id"]] = change["sequence"]
        print(change["id"], change["sequence"], change["status"], change["colour"], change["message"], flush=True)


class Callbacks(BaseHTTPRequestHandler):
    """Answers POST; anything but 2xx comes again."""

    def do_POST(self):
        """Take one callback."""
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        authentic = is_authentic(os.environ["JEMBATAN_CALLBACK_KEY"], self.headers, body, time.time())
        if authentic:
            take(json.loads(body)["data"])
        self.send_response(204 if authentic else 401)
        self.end_headers()


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Callbacks).serve_forever()

"""Send one report to Jembatan, signed by Standard Webhooks v1. Python 3.8 or newer, nothing but its standard library.

export JEMBATAN_URL=http://127.0.0.1:8311/webhooks/qlue JEMBATAN_KEY=whsec_...
python3 sender.py report.json
"""

import base64
import hashlib
import hmac
import http.client
import json
import os
import random
import sys
import time
import urllib.error
import urllib.request
import uuid

ATTEMPTS = 8
TIMEOUT_S = 30


def sign(key, webhook_id, timestamp, body):
    """Return one entry of the webhook-signature header; `body` is the very bytes that are sent."""
    text = key[6:] if key.startswith("whsec_") else key
    secret = base64.b64decode(text + "=" * (-len(text) % 4))
    mac = hmac.new(secret, f"{webhook_id}.{timestamp}.".encode() + body, hashlib.sha256)
    return "v1," + base64.b64encode(mac.digest()).decode()


def event_of(report):
    """Wrap a report: what happened, and when it happened at the city."""
    happened_at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return {"type": "report.submitted", "timestamp": happened_at, "data": report}


def attempt(url, key, webhook_id, body):
    """Send once; return status (0: nobody answered), the Retry-After header, and the text of the answer."""
    timestamp = int(time.time())  # of this attempt, and so is the signature
    headers = {
        "content-type": "application/json",
        "webhook-id": webhook_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": sign(key, webhook_id, timestamp, body),
    }
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=TIMEOUT_S) as answer:
            return answer.status, "", answer.read().decode()
    except urllib.error.HTTPError as answer:
        return answer.code, answer.headers.get("retry-after", ""), answer.read().decode("utf-8", "replace")
    except (OSError, http.client.HTTPException) as error:
        return 0, "", str(error)


def send(url, key, body):
    """Send until it is taken or refused. The id stays the same: however often it arrives, it is one report."""
    webhook_id = f"msg_{uuid.uuid4().hex}"
    for number in range(ATTEMPTS):
        status, retry_after, text = attempt(url, key, webhook_id, body)
        if status not in (0, 429) and status < 500:
            break
        if number + 1 < ATTEMPTS:
            wait_s = int(retry_after) if retry_after.isdigit() else 2**number * random.uniform(1, 1.5)
            print(f"{status or 'no answer'}: {text.strip()}; again in {wait_s:.0f} s", file=sys.stderr)
            time.sleep(wait_s)
    return status, text


def main():
    """Send the report in the file named on the command line; exit with 0 if it was taken."""
    with open(sys.argv[1], encoding="utf-8") as file:
        report = json.load(file)
    # Written once, then signed and sent as these bytes.
    body = json.dumps(event_of(report), ensure_ascii=False).encode("utf-8")
    status, text = send(os.environ["JEMBATAN_URL"], os.environ["JEMBATAN_KEY"], body)
    print(status, text.strip())
    return 0 if 200 <= status < 300 else 1


if __name__ == "__main__":
    sys.exit(main())

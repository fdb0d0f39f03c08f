"""Who complains: sealed as soon as a worker has read it, opened only where a person with need looks at it.

Everything in between works on the sealed form, so that no decision, mail, callback, log or traceback can hold a name.
It keeps in clear what routing asks about, and two marks that tell nothing: of the whole, so that the same contact sent
again is no amendment, and of the consumer, so that the same person is found again under another report.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

from bridge.vault import Vault

#: What routing and figures need.
IN_CLEAR = ("anonymous", "domicile")
MASK = "•••"


def without_contacts(vault: Vault, data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the `data` of an event with its reporter sealed, if it has one."""
    return {**data, "reporter": sealed(vault, data["reporter"])} if data.get("reporter") else dict(data)


def sealed(vault: Vault, reporter: Mapping[str, Any]) -> dict[str, Any]:
    """Return a reporter as the bridge keeps it; who wants to be anonymous is not kept at all."""
    kept = {name: reporter[name] for name in IN_CLEAR if name in reporter}
    contact = {name: reporter[name] for name in sorted(reporter) if name not in IN_CLEAR and reporter[name]}
    if not contact or reporter.get("anonymous"):
        return kept
    plain = json.dumps(contact, ensure_ascii=False)
    kept |= {"sealed": vault.seal(plain.encode()).decode("ascii"), "mark": vault.mark(f"contact:{plain}")}
    if who := _identity(contact):
        kept["consumer"] = vault.mark(who)
    return kept


def opened(vault: Vault, reporter: Mapping[str, Any]) -> dict[str, Any]:
    """Return name, phone and e-mail, those that were sent.

    Raises:
        Unreadable: sealed with a key that is not here.
    """
    if reporter.get("anonymous"):
        return {}
    if "sealed" not in reporter:
        # From before reports were sealed; `bridge data-key apply` seals it.
        return {name: value for name, value in reporter.items() if name not in IN_CLEAR and value}
    contact: dict[str, Any] = json.loads(vault.open(reporter["sealed"].encode("ascii")))
    return contact


def is_clear(reporter: Mapping[str, Any]) -> bool:
    """Tell whether contact data lies there as it was sent."""
    return "sealed" not in reporter and any(name not in IN_CLEAR and value for name, value in reporter.items())


def masked(contact: Mapping[str, Any]) -> dict[str, str]:
    """Return a contact for people without need: enough to tell two apart, not enough to call anybody."""
    return {name: _masked(name, str(value)) for name, value in contact.items()}


def _masked(name: str, value: str) -> str:
    if name == "name":
        return " ".join(word[0] + MASK for word in value.split())
    if name == "email":
        local, at, domain = value.rpartition("@")
        return f"{local[:1]}{MASK}{at}{domain}" if at else MASK
    # A short one would be told by its two ends.
    return f"{value[:2]}{'•' * 6}{value[-2:]}" if name == "phone" and len(value) >= 8 else MASK


def _identity(contact: Mapping[str, Any]) -> str:
    """Return what the same consumer is known by, the surest first: telephone, e-mail, name."""
    digits = re.sub(r"\D", "", str(contact.get("phone") or ""))
    if len(digits) >= 8:
        return f"phone:62{digits[1:]}" if digits.startswith("0") else f"phone:{digits}"
    if email := str(contact.get("email") or "").strip().casefold():
        return f"email:{email}"
    name = " ".join(re.sub(r"\W", " ", str(contact.get("name") or "")).casefold().split())
    return f"name:{name}" if name else ""

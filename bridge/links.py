"""One-click links for notified officers: signed, bound to one person, one report and one cycle."""

from dataclasses import dataclass

from itsdangerous import BadSignature, URLSafeSerializer

_SALT = "bridge one-click acknowledge"
_OFF_SALT = "bridge one-click unsubscribe"


@dataclass(frozen=True)
class AckLink:
    """What a link says: this person may acknowledge this report in this cycle."""

    report_id: str
    cycle: int
    person_id: str


class BadLink(ValueError):
    """The link was not made here, or was changed on the way."""


class Links:
    """Makes and reads links; they lapse with the cycle, not with time (an officer may open mail late)."""

    def __init__(self, secret_key: bytes, public_url: str) -> None:
        self._signer = URLSafeSerializer(secret_key, salt=_SALT)
        self._off_signer = URLSafeSerializer(secret_key, salt=_OFF_SALT)
        self.public_url = public_url

    def to_acknowledge(self, link: AckLink) -> str:
        """Return the address that shows the report and a button (GET shows, POST acts: scanners only GET)."""
        token = self._signer.dumps([link.report_id, link.cycle, link.person_id])
        return f"{self.public_url}/a/{token}"

    def read(self, token: str) -> AckLink:
        """Return what a token says.

        Raises:
            BadLink: not one of ours.
        """
        try:
            report_id, cycle, person_id = self._signer.loads(token)
        except (BadSignature, ValueError, TypeError) as error:
            raise BadLink("this link was not made here or is damaged") from error
        return AckLink(report_id, cycle, person_id)

    def to_turn_off(self, person_id: str, kind: str) -> str:
        """Return the address where one click turns a kind of notices off for a person (RFC 8058)."""
        return f"{self.public_url}/a/off/{self._off_signer.dumps([person_id, kind])}"

    def read_turn_off(self, token: str) -> tuple[str, str]:
        """Return whose notices of which kind a token turns off.

        Raises:
            BadLink: not one of ours.
        """
        try:
            person_id, kind = self._off_signer.loads(token)
        except (BadSignature, ValueError, TypeError) as error:
            raise BadLink("this link was not made here or is damaged") from error
        return person_id, kind

    def to_report(self, ticket: str) -> str:
        """Return the address of the report on the desk."""
        return f"{self.public_url}/desk/reports/{ticket}"

    def to_track(self, ticket: str) -> str:
        """Return the citizen's page."""
        return f"{self.public_url}/track/{ticket}"

    def to_inbox(self) -> str:
        """Return the address of the desk's first page, where a person's own reports lie."""
        return f"{self.public_url}/desk/"

    def to_settings(self) -> str:
        """Return the address where a person chooses which mail to get."""
        return f"{self.public_url}/desk/me"

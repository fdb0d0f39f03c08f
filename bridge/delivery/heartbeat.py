"""The sign of life to a dead-man's switch outside: it raises the alarm when the sign stays away."""

import requests

#: Seconds to connect, and between two bytes of the answer.
TIMEOUT_S = (5, 5)


class NoAnswer(Exception):
    """The switch did not say that it heard us. Without its address: whoever knows that can keep it quiet."""


def ping(url: str) -> None:
    """Ask for the URL once.

    Raises:
        NoAnswer: anything but 2xx; also for a redirect, which is not followed.
    """
    with requests.Session() as session:
        # A proxy from the environment could answer in place of the switch.
        session.trust_env = False
        try:
            with session.get(
                url, headers={"user-agent": "Jembatan"}, timeout=TIMEOUT_S, allow_redirects=False, stream=True
            ) as answer:
                status = answer.status_code
        except requests.RequestException as error:
            raise NoAnswer(type(error).__name__) from None
    if not 200 <= status < 300:
        raise NoAnswer(f"HTTP {status}")

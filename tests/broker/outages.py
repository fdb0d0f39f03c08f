"""What an outage may not do to reports that are answered while it lasts."""


def overtaken(order: list[str], spans: dict[str, tuple[float, float]]) -> list[tuple[str, str]]:
    """Return pairs of which the second was sent after the first had been answered, and stands before it all the same."""
    found, latest_began, latest = [], 0.0, ""
    for name in order:
        began, answered = spans[name]
        if answered < latest_began:
            found.append((name, latest))
        if began > latest_began:
            latest_began, latest = began, name
    return found

"""What can go wrong outside, in the two kinds that matter for what happens next."""


class NotDelivered(Exception):
    """The other side did not take it; `retry_after_s` is its own wish, `permanent` means never again like this."""

    def __init__(self, detail: str, *, permanent: bool = False, retry_after_s: float | None = None) -> None:
        self.detail, self.permanent, self.retry_after_s = detail, permanent, retry_after_s
        super().__init__(detail)

"""Waitress, but what two servers could read in two ways is refused (RFC 9112, 6.1), as nginx does."""

from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser, ParsingError


class StrictParser(HTTPRequestParser):  # type: ignore[misc] # waitress has no types
    """Knows one way to tell where a body ends.

    Waitress goes by the chunks, forgets the length and keeps the connection: with a front that goes by the length,
    the rest of the body would be somebody's next request.
    """

    def parse_header(self, header_plus: bytes) -> None:
        """Read a request's head.

        Raises:
            ParsingError: it is chunked, and has a length.
        """
        super().parse_header(header_plus)
        if self.chunked and "CONTENT_LENGTH" in self.headers:
            raise ParsingError("Chunked, and a Content-Length")
        if self.content_length >= self.adj.max_request_body_size:
            # It will be refused; told to go on, the sender would wait for that in vain.
            self.expect_continue = False


class StrictChannel(HTTPChannel):  # type: ignore[misc] # waitress has no types
    """A connection that reads requests so."""

    parser_class = StrictParser

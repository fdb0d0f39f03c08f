"""What an outage may not do to reports that are answered while it lasts, and one that befalls only some."""

import contextlib
import socket
import threading


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


class Line:
    """A way to the broker on which answers, and so confirms, can be held back, and which can be cut; new lines work, unless `shut`."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.mute = threading.Event()
        self.shut = threading.Event()
        self._open: list[socket.socket] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def cut(self) -> None:
        """End every line that is open."""
        lines, self._open = self._open, []
        for one in lines:
            _end(one)
        self.mute.clear()

    def close(self) -> None:
        """End for good."""
        _end(self._listener)
        self.cut()
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                client = self._listener.accept()[0]
            except OSError:
                return
            try:
                server = None if self.shut.is_set() else socket.create_connection(("127.0.0.1", self._to))
            except OSError:
                server = None
            if server is None:
                client.close()
                continue
            self._open += [client, server]
            threading.Thread(target=self._pass, args=(client, server, False), daemon=True).start()
            threading.Thread(target=self._pass, args=(server, client, True), daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket, answers: bool) -> None:
        with contextlib.suppress(OSError):
            while content := source.recv(65536):
                if not (answers and self.mute.is_set()):
                    sink.sendall(content)
        _end(sink)
        source.close()


def _end(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)

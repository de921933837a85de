"""A server on this machine that answers as a test tells it to."""

from __future__ import annotations

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Handler = BaseHTTPRequestHandler


class FileServer:
    """`answers[path]` is called with the request's handler; `asked` has (path, headers) of every request."""

    def __init__(self) -> None:
        self.answers: dict[str, Callable[[Handler], None]] = {}
        self.asked: list[tuple[str, dict[str, str]]] = []
        server = self

        class Request(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                path = self.path.partition("?")[0]
                server.asked.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
                self.close_connection = True
                server.answers.get(path, lambda handler: send(handler, b"", 404))(self)

            def log_message(self, *parts: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Request)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def serve(self, path: str, data: bytes, **options) -> None:
        """Answer a path with a file, ranges and all."""
        self.answers[path] = lambda handler: send_file(handler, data, **options)

    def redirect(self, path: str, target: str, **headers: str) -> None:
        """Answer a path with a redirect."""
        self.answers[path] = lambda handler: send(handler, b"", 302, Location=target, **headers)


def send(handler: Handler, body: bytes, status: int = 200, **headers: str) -> None:
    """Send an answer; underscores in header names stand for hyphens."""
    handler.send_response(status)
    for name, value in {"Content_Length": str(len(body)), "Connection": "close", **headers}.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body)


def send_file(handler: Handler, data: bytes, etag: str = '"one"', breaks: list[int] | None = None, **headers) -> None:
    """Send a file, or what is left of it from the asked byte on; `breaks` are numbers of bytes after which the line
    breaks, one for each request."""
    start, status = 0, 200
    asked = handler.headers.get("Range", "")
    if asked and handler.headers.get("If-Range") == etag:
        start, status = int(asked.removeprefix("bytes=").rstrip("-")), 206
        if start >= len(data):
            send(handler, b"", 416, Content_Range=f"bytes */{len(data)}", ETag=etag)
            return
        headers["Content_Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
    body = data[start:]
    headers |= {"Content_Length": str(len(body)), "ETag": etag} if etag else {"Content_Length": str(len(body))}
    send(handler, body[: breaks.pop(0)] if breaks else body, status, **headers)

"""``GET /metrics``, and nothing else, over HTTP/1.1 (RFC 9112): one request a connection."""

from __future__ import annotations

import socket

from edge_lstm.addresses import parse_address
from edge_lstm.contracts.status import Status
from edge_lstm.errors import ConfigError
from edge_lstm.io.answers import Listener, Notice
from edge_lstm.io.metrics import CONTENT_TYPE, render

__all__ = ["http_answer", "metrics_listener"]

_END = b"\r\n\r\n"


def metrics_listener(listen: str, notice: Notice[Status]) -> Listener:
    """A listener for scrapers.

    Args:
        listen: Address and port.
        notice: The newest facts.

    Raises:
        ConfigError: The address is not this machine's, or the port is taken.
    """
    host, port = parse_address(listen)
    family = socket.AF_INET6 if host.version == 6 else socket.AF_INET
    try:
        bound = socket.create_server((str(host), port), family=family, backlog=16)
    except OSError as error:
        raise ConfigError(
            f"cannot listen on {listen}: {error.strerror}",
            key="metrics.listen",
            do="take a free port of this machine, or set it to null",
        ) from error
    return Listener(name="metrics", bound=bound, answer=lambda question: http_answer(question, notice.latest))


def http_answer(question: bytes, status: Status | None) -> bytes | None:
    """The response to a request, ``None`` while its header has not come whole.

    A body is not read: the connection ends with the response.
    """
    if _END not in question:
        return None
    method, _, rest = question.partition(b"\r\n")[0].partition(b" ")
    target, _, version = rest.partition(b" ")
    if not version.startswith(b"HTTP/1."):
        return _response("400 Bad Request", b"not HTTP/1\n")
    if target.partition(b"?")[0] != b"/metrics":
        return _response("404 Not Found", b"there is /metrics\n")
    if method not in (b"GET", b"HEAD"):
        return _response("405 Method Not Allowed", b"GET\n", "Allow: GET, HEAD\r\n")
    if status is None:
        return _response("503 Service Unavailable", b"starting\n", "Retry-After: 1\r\n")
    return _response("200 OK", render(status), head_only=method == b"HEAD", kind=CONTENT_TYPE)


def _response(
    status: str, body: bytes, more: str = "", *, head_only: bool = False, kind: str = "text/plain"
) -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n{more}"
    return f"{head}Connection: close\r\n\r\n".encode() + (b"" if head_only else body)

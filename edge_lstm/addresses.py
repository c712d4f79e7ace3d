"""Addresses to listen on, as they are written in a configuration."""

from __future__ import annotations

import ipaddress

__all__ = ["parse_address"]


def parse_address(text: str) -> tuple[ipaddress.IPv4Address | ipaddress.IPv6Address, int]:
    """Address and port of ``127.0.0.1:9464`` or ``[::1]:9464`` (RFC 3986 section 3.2.2).

    Raises:
        ValueError: It is neither. A name is not taken: it may mean several addresses, or others tomorrow.
    """
    host, colon, port = text.rpartition(":")
    if not colon or not (port.isascii() and port.isdecimal() and 1 <= int(port[:9]) <= 65535):
        raise ValueError("no port from 1 to 65535 at its end")
    if host.startswith("[") and host.endswith("]"):
        return ipaddress.IPv6Address(host[1:-1]), int(port)
    return ipaddress.IPv4Address(host), int(port)

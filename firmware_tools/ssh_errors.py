"""What ssh says when it does not get in, in one line that says what to do. Pure."""

from __future__ import annotations

from edge_lstm.errors import DeployError

__all__ = ["explain_ssh"]

# Looked for in this order: ssh often says several of them.
_SIGNS = (
    (
        "REMOTE HOST IDENTIFICATION HAS CHANGED",
        "has another host key than before",
        "find out why; when the device was set up anew, forget the old key with ssh-keygen -R {host}",
    ),
    (
        "Host key verification failed",
        "is not known: its host key has never been accepted",
        "connect once with ssh {name} and accept the key after checking it",
    ),
    (
        "UNPROTECTED PRIVATE KEY FILE",
        "was not asked: the private key can be read by others",
        "chmod 600 the key file",
    ),
    (
        "Too many authentication failures",
        "refuses: too many keys were offered",
        "name the right one with --identity FILE",
    ),
    (
        "Permission denied (",
        "refuses the key",
        "name another key with --identity FILE, or install yours with ssh-copy-id {name}",
    ),
    ("Could not resolve hostname", "is not a host that can be found", "check the name"),
    ("Connection refused", "has no ssh server there", "start one on the device, or check --port"),
    ("timed out", "does not answer", "check the address, the network and --port"),
    ("No route to host", "cannot be reached", "check the address and the network"),
    ("Network is unreachable", "cannot be reached", "check the address and the network"),
    ("Bad configuration option", "was not asked: ssh does not know an option", "check --ssh-option"),
)


def explain_ssh(name: str, text: str) -> DeployError:
    """The error for what ssh wrote.

    Args:
        name: ``HOST`` or ``USER@HOST``.
        text: What ssh wrote to standard error.
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    host = name.rpartition("@")[2]
    for sign, what, do in _SIGNS:
        if sign in text:
            said = next((line for line in lines if sign in line), None)
            got = None if sign.isupper() else said  # a banner in capitals says nothing more
            return DeployError(f"{name} {what}", got=got, do=do.format(name=name, host=host))
    said = lines[-1] if lines else "nothing"
    return DeployError(f"no connection to {name}", got=said, do=f"try it by hand: ssh {name}")

"""Makes daemons by fork, with everything imported: a kill meets them at work and not at their imports.

One single-threaded process with a line of JSON for each order: ``{"argv": [...], "environ":
{...}, "log": "..."}`` is answered by ``started PID``; the end of a child is told as ``ended
PID CODE``. When the harness goes, so do it and its children.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import sys
import traceback

from edge_lstm.backends.installed import installed, load_problem
from edge_lstm.torture.daemon import main as run

__all__ = ["main"]


def main() -> None:
    """Serve until standard input ends."""
    if "--interpreter" in sys.argv[1:]:
        for package in installed():
            load_problem(package)
    awake, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    children: set[int] = set()
    held = b""
    while True:
        ready, _, _ = select.select([0, awake], [], [])
        if awake in ready:
            os.read(awake, 4096)
            _reap(children)
        if 0 not in ready:
            continue
        chunk = os.read(0, 65_536)
        if not chunk:
            break
        *orders, held = (held + chunk).split(b"\n")
        for order in orders:
            pid = _fork(json.loads(order))
            children.add(pid)
            _say(f"started {pid}")
    for pid in children:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _reap(children: set[int]) -> None:
    while children:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        children.discard(pid)
        _say(f"ended {pid} {os.waitstatus_to_exitcode(status)}")


def _fork(order: dict[str, object]) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        code = _child(order)
    except BaseException:  # noqa: BLE001 - there is nobody above to show it
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def _child(order: dict[str, object]) -> int:
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()  # a Ctrl-C at the harness is the harness's to answer
    log = os.open(str(order["log"]), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for theirs, ours in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(theirs, ours)
    argv = order["argv"]
    return run([str(word) for word in argv] if isinstance(argv, list) else [])


def _say(line: str) -> None:
    os.write(1, f"{line}\n".encode())


if __name__ == "__main__":
    main()

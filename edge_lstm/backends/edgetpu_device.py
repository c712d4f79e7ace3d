"""Is there an Edge TPU on this board, and what do its library's errors mean?"""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["explain", "find_device"]

_USB_IDS = (("1a6e", "089a"), ("18d1", "9302"))
"""The USB Accelerator before and after its firmware is loaded (google-coral/edgetpu #166, #674)."""
_PCIE = "apex_0"
"""The first one on PCIe, by the vendor's kernel module (google-coral/edgetpu #756)."""
_PAGE = "docs/howto-edgetpu.md"


def explain(text: str) -> str:
    """An error of the delegate, with what it means and what can be done, in one line."""
    said = " ".join(text.split())
    for part, meaning in _MEANINGS:
        if part in said:
            return f"{said} ({meaning})"
    if said.startswith("Failed to load delegate"):  # the library says nothing more
        return f"{said} ({find_device()})"
    return said


_MEANINGS = (
    (
        "cannot open shared object file",
        f"libedgetpu is not installed: apt-get install libedgetpu1-std, see {_PAGE}",
    ),
    (
        "which is newer than this runtime version",
        "update libedgetpu, or compile with --min-runtime-version",
    ),
    (
        "SIGSEGV",
        f"libedgetpu and the interpreter are of different TensorFlow versions, see {_PAGE}",
    ),
    ("USB transfer error", "the USB device is gone: check cable, power and hub"),
    (
        "unresolved custom op",
        "the network went to the CPU: the delegate was not applied",
    ),
)


def find_device(sys: Path = Path("/sys"), dev: Path = Path("/dev")) -> str:
    """What can be seen of an Edge TPU from here, for people.

    Args:
        sys: Where the kernel shows its devices.
        dev: Where programs open them.
    """
    found = _usb(sys) or ([_PCIE] if (sys / "class/apex" / _PCIE).exists() or (dev / _PCIE).exists() else [])
    if not found:
        return "no Edge TPU is seen on USB or PCIe"
    node = dev / found[0]
    if not node.exists():
        return f"an Edge TPU is there, but {node} is hidden from this process: see {_PAGE} on the service"
    if not os.access(node, os.R_OK | os.W_OK):
        return f"an Edge TPU is there, but this process may not use {node}: see {_PAGE} on groups and udev"
    return f"an Edge TPU is at {node}; another process may hold it"


def _usb(sys: Path) -> list[str]:
    """Device nodes of USB Accelerators, below ``/dev``."""
    nodes = []
    for device in sorted((sys / "bus/usb/devices").glob("*")):
        facts = [_word(device / name) for name in ("idVendor", "idProduct", "busnum", "devnum")]
        if (facts[0], facts[1]) in _USB_IDS and facts[2].isdigit() and facts[3].isdigit():
            nodes.append(f"bus/usb/{int(facts[2]):03d}/{int(facts[3]):03d}")
    return nodes


def _word(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""

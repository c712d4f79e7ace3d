"""What a check of this board brought out."""

from __future__ import annotations

from typing import Literal

import msgspec

__all__ = ["Finding", "Status", "fail", "info", "ok", "warn"]

Status = Literal["ok", "info", "warn", "fail"]


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the report.

    Attributes:
        check: What was looked at; one word, the same in every report.
        status: ok, info (a fact to know), warn (works, and will hurt some day) or fail (does not work).
        fact: What was found.
        fix: What to do about it; empty where there is nothing to do.
    """

    check: str
    status: Status
    fact: str
    fix: str = ""


def ok(check: str, fact: str) -> Finding:
    """Nothing to do."""
    return Finding(check=check, status="ok", fact=fact)


def info(check: str, fact: str, fix: str = "") -> Finding:
    """A fact to know, which is neither good nor bad."""
    return Finding(check=check, status="info", fact=fact, fix=fix)


def warn(check: str, fact: str, fix: str) -> Finding:
    """It works, and will hurt some day."""
    return Finding(check=check, status="warn", fact=fact, fix=fix)


def fail(check: str, fact: str, fix: str) -> Finding:
    """It does not work."""
    return Finding(check=check, status="fail", fact=fact, fix=fix)

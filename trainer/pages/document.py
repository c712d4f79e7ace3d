"""One HTML file that needs nothing else: template, style, script and data, under a strict policy."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from importlib.resources import files

from trainer.pages.markup import Markup, tag

__all__ = ["document", "fill", "template"]

_PLACE = re.compile(r"\{\{(\w+)\}\}")
# In a script element only these can end it or start a comment; JSON reads the escapes back.
_JSON_ESCAPES = {ord("<"): "\\u003c", ord(">"): "\\u003e", ord("&"): "\\u0026"}


def template(name: str) -> str:
    """The text of one file of ``trainer/templates``."""
    return files("trainer").joinpath("templates", name).read_text(encoding="utf-8")


def fill(text: str, parts: Mapping[str, str]) -> Markup:
    """Put ready HTML into the ``{{places}}`` of a template, in one pass.

    One pass, so that a part that contains ``{{title}}`` stays text.
    """
    return Markup(_PLACE.sub(lambda match: parts[match[1]], text))


def document(
    *, title: str, body: Markup, styles: Sequence[str], scripts: Sequence[str] = (), data: object = None
) -> str:
    """A whole page.

    The policy in the page forbids every request and every script but ours, by digest:
    should a name ever get past the escaping, it still cannot run.

    Args:
        title: Title of the window.
        body: What stands in the page.
        styles: Names of style sheets in ``trainer/templates``.
        scripts: Names of scripts there, joined in this order.
        data: What the scripts read from ``#data``, JSON.
    """
    code = "".join(["\n", *(template(name) for name in scripts)]) if scripts else ""
    parts = {
        "policy": tag("meta", http_equiv="Content-Security-Policy", content=_policy(code)),
        "title": tag("title", title),
        "style": "".join(template(name) for name in styles),
        "body": body,
        "data": _data(data),
        "script": f"<script>{code}</script>" if code else "",
    }
    return fill(template("page.html"), parts)


def _policy(code: str) -> str:
    digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
    script = f"'sha256-{digest}'" if code else "'none'"
    return f"default-src 'none'; base-uri 'none'; style-src 'unsafe-inline'; script-src {script}"


def _data(data: object) -> str:
    if data is None:
        return ""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False).translate(_JSON_ESCAPES)
    return f'<script type="application/json" id="data">{text}</script>'

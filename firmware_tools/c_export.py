"""A bundle as C: one ``.c`` and one ``.h`` for a microcontroller, with what proves and shows them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from edge_lstm import __version__
from edge_lstm.backends.compiler import program_of
from edge_lstm.backends.none import NoNetwork
from edge_lstm.backends.reference import ReferenceBackend
from edge_lstm.bundle import MODEL, Bundle
from edge_lstm.contracts.alarm import AlarmOverrides
from edge_lstm.contracts.manifest import Manifest
from edge_lstm.core.linear import depth, memory_alphas
from edge_lstm.core.threshold import AlarmRule
from edge_lstm.core.when import scored_channels
from edge_lstm.errors import BundleError, ConfigError
from edge_lstm.model_file import read_model
from edge_lstm.selftest import verify
from firmware_tools.c_golden import golden_text
from firmware_tools.c_network import Network, network_text
from firmware_tools.c_scoring import (
    float_check,
    head_table,
    linear_numbers,
    linear_text,
    range_tables,
    rule_text,
)
from firmware_tools.c_text import array, comment, fill, real, reals, string, template

__all__ = ["Exported", "export"]


@dataclass(frozen=True, slots=True)
class Exported:
    """An export, not yet written.

    Attributes:
        files: Path within the folder to content.
        facts: Sizes in bytes, by the names of the README's template.
    """

    files: Mapping[str, str]
    facts: Mapping[str, int]


def export(bundle: Bundle, *, asset: str | None = None, prefix: str = "edge_lstm") -> Exported:
    """Turn a bundle into C; the same bundle gives the same bytes.

    Args:
        bundle: A verified bundle.
        asset: A machine that the bundle names, whose scaling is taken; ``None`` is the one for all others.
        prefix: What all public names and files begin with.

    Raises:
        BundleError: The bundle has something that has no form in C; says what to leave out.
        SelfTestError: The reference kernel does not follow the bundle's golden vectors.
        ConfigError: The bundle has no such asset.
    """
    manifest = bundle.manifest
    if asset is not None and asset not in manifest.assets:
        known = ", ".join(list(manifest.assets)[:10]) or "none"
        raise ConfigError(f"the bundle has no asset '{asset}'", key="--asset", expected=known)
    network = _network(bundle)
    backend = ReferenceBackend(bundle) if network else NoNetwork()
    verify(bundle, backend)
    weights = bundle.weights()
    facts = _sizes(manifest, network, linear_numbers(manifest, weights))
    try:
        values = {
            **_header_values(bundle, network, asset),
            **_source_values(manifest, asset, prefix),
            **facts,
        }
    except ValueError as error:
        raise BundleError(str(error), path=bundle.path, do="train with shorter names") from error
    values["NETWORK"] = network_text(network, prefix) if network else ""
    values["LINEAR"] = linear_text(manifest, weights, prefix)
    golden = golden_text(bundle, asset if asset is not None else _stranger(manifest), network, backend)
    return Exported(_files(values, golden, prefix), facts)


def _network(bundle: Bundle) -> Network | None:
    if not bundle.manifest.input:
        return None
    try:
        graph = read_model(bundle.read(MODEL))
    except ValueError as error:
        raise BundleError(str(error), path=bundle.path, do="build the bundle again") from error
    return Network(bundle.manifest, program_of(graph))


def _stranger(manifest: Manifest) -> str:
    """A name that is none of the bundle's machines."""
    return max((*manifest.assets, "asset"), key=len) + "_"


def _files(values: Mapping[str, object], golden: str, prefix: str) -> dict[str, str]:
    def made(name: str) -> str:
        return fill(template(name, prefix), values)

    source, header = made("model.c.in"), made("model.h.in")
    sketch = made("sketch.in")
    library = f"platformio/lib/{prefix}_model"
    return {
        f"{prefix}_model.c": source,
        f"{prefix}_model.h": header,
        "golden.h": golden,
        "selftest.c": made("selftest.c.in"),
        "example_csv.c": made("example_csv.c.in"),
        "CMakeLists.txt": made("CMakeLists.txt.in"),
        "README.md": made("README.md.in"),
        f"arduino/{prefix}_model/library.properties": made("library.properties.in"),
        f"arduino/{prefix}_model/src/{prefix}_model.c": source,
        f"arduino/{prefix}_model/src/{prefix}_model.h": header,
        f"arduino/{prefix}_model/examples/score/score.ino": sketch,
        "platformio/platformio.ini": made("platformio.ini.in"),
        "platformio/src/main.cpp": sketch,
        f"{library}/library.json": made("library.json.in"),
        f"{library}/src/{prefix}_model.c": source,
        f"{library}/src/{prefix}_model.h": header,
    }


def _header_values(bundle: Bundle, network: Network | None, asset: str | None) -> dict[str, object]:
    manifest = bundle.manifest
    heads = manifest.scoring.heads
    states = network.states if network else []
    outputs = network.outputs if network else []
    shown = [f"{c.name} [{c.unit}]" if c.unit else c.name for c in manifest.channels]
    return {
        "ID": comment(manifest.id),
        "VERSION": comment(manifest.version),
        "CREATED": comment(manifest.created),
        "SHA256": bundle.sha256,
        "ASSET": f"asset '{comment(asset)}'" if asset is not None else "any machine the bundle does not name",
        "TOOL": __version__,
        "CHANNEL_LIST": "\n".join(f" * {i}. {comment(name)}" for i, name in enumerate(shown)),
        "CHANNEL_ITEMS": "\n".join(f"{i}. {comment(name)}" for i, name in enumerate(shown)),
        "CHANNEL_LINE": ", ".join(map(comment, shown)),
        "CHANNELS": len(shown),
        "HEADS": len(heads),
        "FORECASTS": sum(head.kind == "forecast" for head in heads),
        "LAGS": depth(heads),
        "AVERAGES": len(memory_alphas(heads)),
        "NETWORK_STATE": network.state_bytes if network else 0,
        "NETWORK_OUTPUTS": len(outputs),
        "STATE_NAMES": ", ".join(comment(before.name) for before, _, _ in states) or "none",
        "OUTPUT_NAMES": ", ".join(comment(tensor.name) for _, tensor in outputs) or "none",
        "WARM_UP": manifest.grid.warm_up,
        "PERIOD_S": real(manifest.grid.period_s),
        "PERIOD_MS": max(1, round(1000 * min(manifest.grid.period_s, 4e6))),
        "GAP_AFTER_S": real(manifest.grid.gap_after_s),
        "HOLD": manifest.grid.hold_frames,
    }


def _source_values(manifest: Manifest, asset: str | None, prefix: str) -> dict[str, object]:
    scaling = manifest.scaling if asset is None else manifest.assets[asset]
    scored = scored_channels(manifest.channels)
    rule = AlarmRule(manifest.threshold, AlarmOverrides())
    threshold = manifest.threshold
    return {
        "CHANNEL_NAMES": ",\n".join(f"    {string(channel.name)}" for channel in manifest.channels),
        "SCALING": "".join(
            array(f"double {name}[CHANNELS]", reals(values))
            for name, values in (
                ("centre", scaling.centre),
                ("scale", scaling.scale),
                ("start_values", manifest.scaling.centre),
            )
        ),
        "FLOAT_CHECK": float_check(manifest, prefix),
        "RANGES": range_tables(manifest),
        "SCORED": ", ".join(str(int(one)) for one in scored),
        "SCORED_CHANNELS": int(scored.sum()),
        "CLIP": real(manifest.scoring.clip),
        "CAP": real(manifest.scoring.cap),
        "LEVEL": real(rule.level),
        "CLOSE_LEVEL": real(threshold.level * threshold.close_ratio),
        "OPEN_AFTER": threshold.open_after,
        "CLOSE_AFTER": threshold.close_after,
        "REFRACTORY": threshold.refractory,
        "HEAD_TABLE": head_table(manifest),
        "SCORE_WHEN": rule_text(manifest),
    }


def _sizes(manifest: Manifest, network: Network | None, linear: int) -> dict[str, int]:
    """Bytes of weights, and of the two structures as compilers for 32 and 64 bits lay them out."""
    channels, heads = len(manifest.channels), manifest.scoring.heads
    rows = (
        depth(heads) + len(memory_alphas(heads)) + sum(h.kind == "forecast" for h in heads) + 2 * len(heads)
    )
    network_state = network.state_bytes if network else 0

    def state(width: int) -> int:
        return _padded(8 * channels + width * channels * rows + 4 * channels + 16 + 1 + network_state, 8)

    def result(width: int) -> int:
        return _padded(width * (2 + 2 * channels) + 8 + 2 * channels, width)

    return {
        "WEIGHT_BYTES": network.weight_bytes if network else 0,
        "LINEAR_DOUBLE": 8 * linear,
        "LINEAR_FLOAT": 4 * linear,
        "STATE_DOUBLE": state(8),
        "STATE_FLOAT": state(4),
        "RESULT_DOUBLE": result(8),
        "RESULT_FLOAT": result(4),
    }


def _padded(size: int, to: int) -> int:
    return math.ceil(size / to) * to

"""JSON Schemas and the table of keys are current, and say what the types say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
import yaml

from edge_lstm.contracts.alert import Alert, AlertModel, AlertState, Contributor
from edge_lstm.contracts.config import DeviceConfig, InputConfig
from edge_lstm.schemas import attribute_texts, generated, main

ROOT = Path(__file__).parents[2]
PAGES = generated()


def _schema(name: str) -> dict[str, Any]:
    return json.loads(PAGES[f"schemas/{name}.schema.json"])  # type: ignore[no-any-return]


@pytest.mark.parametrize("name", sorted(PAGES))
def test_generated_page_is_current(name: str) -> None:
    """What is checked in is what the types give."""
    assert PAGES[name] == (ROOT / "docs" / name).read_text("utf-8")


def test_main_writes_every_page(tmp_path: Path) -> None:
    """The pages can be written anywhere."""
    main(tmp_path)

    assert set(PAGES) == {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.*")}


@pytest.mark.parametrize("name", ["config", "alert", "health"])
def test_schema_is_valid_and_explains_every_property(name: str) -> None:
    """Each is a JSON Schema, and every property has a description."""
    schema = _schema(name)
    jsonschema.Draft202012Validator.check_schema(schema)

    silent = [
        f"{part}.{key}"
        for part, facts in schema["$defs"].items()
        for key, value in facts.get("properties", {}).items()
        if "description" not in value
    ]
    # Structs of the contracts whose docstring is one line need no list.
    assert [] == [found for found in silent if not found.startswith(("AlertModel.", "Contributor."))]


def test_config_schema_takes_the_example() -> None:
    """The example file is valid by the schema, and a wrong key is not."""
    example = yaml.safe_load((ROOT / "configs" / "edge-lstm.yaml").read_text("utf-8"))
    validator = jsonschema.Draft202012Validator(_schema("config"))

    assert [] == list(validator.iter_errors(example))
    assert ["hots" in error.message for error in validator.iter_errors({**example, "mqtt": {"hots": 1}})] == [
        True
    ]


def test_alert_schema_takes_an_alert() -> None:
    """What is published is valid by the schema."""
    alert = Alert(
        id="x",
        type="open",
        kind="anomaly",
        severity="minor",
        text="t",
        time="2026-03-01T12:00:00.000Z",
        started="2026-03-01T12:00:00.000Z",
        node="n",
        asset="a",
        score=2.0,
        threshold=1.0,
        ratio=2.0,
        peak=2.0,
        contributors=[Contributor("c", 1.0, 2.0, 1.0)],
        model=AlertModel("m", "1", "ab", "litert"),
        state=AlertState(1.0, "start"),
    )

    jsonschema.validate(json.loads(msgspec.json.encode(alert)), _schema("alert"))


def test_attribute_texts_are_those_of_the_docstring() -> None:
    """Texts of more than one line are joined."""
    assert set(attribute_texts(InputConfig)) == set(InputConfig.__struct_fields__)
    assert set(attribute_texts(DeviceConfig)) == set(DeviceConfig.__struct_fields__)

"""docs/toolman.md names every key, metric, error, reason and option, and its examples work."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import get_args

import msgspec
import pytest
import yaml
from toolman.metrics import Metrics
from toolman.policy import Reason

from toolman import __main__, audit, config, configfile

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "toolman" / "src" / "toolman"
TEXT = (ROOT / "docs" / "toolman.md").read_text(encoding="utf-8")

pytestmark = pytest.mark.requirement("F-09")


def _blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)


def _sources() -> str:
    return "\n".join(path.read_text(encoding="utf-8") for path in SOURCE.rglob("*.py"))


def test_every_error_code_in_the_code_is_in_the_table_and_no_other() -> None:
    used = set(re.findall(r"^[A-Z_]+ = (-32\d{3})$", _sources(), re.MULTILINE))
    assert set(re.findall(r"^\| (-32\d{3}) \|", TEXT, re.MULTILINE)) == used


def test_every_http_status_that_is_sent_is_in_the_table_and_no_other() -> None:
    front = "\n".join(path.read_text(encoding="utf-8") for path in (SOURCE / "front").glob("*.py"))
    rules = (SOURCE / "protocol" / "headers.py").read_text(encoding="utf-8")
    sent = set(re.findall(r"\b(4[01]\d|431|503|202)\b", front + rules))
    assert set(re.findall(r"^\| (\d{3}) \|", TEXT, re.MULTILINE)) == sent


def test_every_metric_key_and_field_of_the_audit_log_is_named() -> None:
    names = [metric.name for metric in Metrics()]
    names += list(audit.Record.__struct_fields__)
    names += [*get_args(Reason), "Collision", "Pinned", "Limit", "Unknown"]
    assert [name for name in names if f"`{name}`" not in TEXT] == []


def test_every_section_of_the_configuration_has_all_its_keys_in_the_table() -> None:
    keys = {key.rpartition(".")[2] for key in re.findall(r"^\| `([^`]+)` \|", TEXT, re.MULTILINE)}
    sections = [each for each in vars(config).values() if isinstance(each, type) and issubclass(each, msgspec.Struct)]
    missing = {field for section in sections for field in section.__struct_encode_fields__} - keys
    assert not missing


def test_the_examples_are_configurations_that_use_what_they_show(tmp_path: Path) -> None:
    path = tmp_path / "toolman.yaml"
    keys, kinds = set(), set()
    for text in _blocks("yaml"):
        path.write_text(text)
        kinds |= {type(server.upstream) for server in configfile.load(path).servers}
        keys |= set(yaml.safe_load(text))
    assert kinds == {config.Process, config.Http, config.Docker, config.Pipes}
    assert keys == set(config.Config.__struct_encode_fields__)


def test_the_clients_configurations_can_be_read_and_point_to_the_endpoint() -> None:
    for text in (*_blocks("json"), *_blocks("toml")):
        read = tomllib.loads(text) if text.startswith("[") else json.loads(text)
        assert "http://127.0.0.1:3000/mcp" in json.dumps(read)


def test_the_commands_at_the_top_are_understood() -> None:
    for line in _blocks("sh")[0].splitlines():
        words = line.partition("#")[0].replace("'", "").split()
        assert callable(__main__.parser().parse_args(words[1:]).run)

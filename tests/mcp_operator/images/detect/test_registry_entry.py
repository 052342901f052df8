from __future__ import annotations

import json

import pytest
from mcp_operator import names
from mcp_operator.images.detect import registry_entry
from mcp_operator.images.detect.candidate import Hints, Setting


def read(*packages: object, runtime: str = "node") -> Hints:
    return registry_entry.read(json.dumps({"packages": list(packages)}), runtime)


@pytest.mark.requirement("B-02")
def test_the_package_of_the_servers_language_is_read() -> None:
    npm = {"registryType": "npm", "transport": {"type": "stdio"}}
    oci = {"registry_type": "oci", "transport": {"type": "sse", "url": "http://localhost:8080/sse"}}

    assert read(oci, npm).transport == "stdio"
    assert read(npm, oci, runtime="go") == Hints(transport="sse", port=8080, path="/sse")
    assert read(oci, runtime="python").transport == "sse"


def test_older_entries_with_underscores_are_read() -> None:
    found = read({"environment_variables": [{"name": "A", "is_required": True, "default": 5}]})

    assert found.env == (Setting(name="A", required=True, value="5"),)


def test_a_secrets_default_is_never_taken_along() -> None:
    found = read({"environmentVariables": [{"name": "A", "isSecret": True, "default": "hunter2"}]})

    assert found.env == (Setting(name="A", secret=True),)


@pytest.mark.requirement("B-02")
@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ({"type": "positional", "value": "stdio"}, ("stdio",)),
        ({"type": "positional", "valueHint": "folder", "isRequired": True}, (names.SERVER_HOME,)),
        ({"type": "positional", "default": "x"}, ()),
        ({"type": "positional", "default": "x", "isRequired": True}, ("x",)),
        ({"type": "named", "name": "--transport", "value": "stdio"}, ("--transport", "stdio")),
        ({"type": "named", "name": "--key", "isRequired": True}, ("--key", "placeholder")),
        ({"type": "named", "name": "--key"}, ()),
        ({"type": "named", "name": "--key", "value": "{api_key}"}, ()),
        ({"type": "named", "name": "sneaky", "value": "x"}, ()),
        ({"type": "named", "name": "--on", "value": True}, ("--on", "true")),
    ],
)
def test_arguments_are_taken_that_are_fixed_or_required(argument: dict[str, object], words: tuple[str, ...]) -> None:
    assert read({"packageArguments": [argument]}).args == words


@pytest.mark.parametrize("text", ["", "[]", "{", '{"packages": 1}', '{"packages": ["x"]}', "[" * 100_000, "null"])
def test_what_is_no_entry_says_nothing(text: str) -> None:
    assert registry_entry.read(text, "node") == Hints()


def test_a_transport_that_is_no_table_is_read_as_a_name() -> None:
    assert read({"transport": "stdio"}).transport == "stdio"
    assert read({"transport": {"type": "carrier-pigeon"}}).transport is None

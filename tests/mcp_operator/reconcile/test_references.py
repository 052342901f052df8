from __future__ import annotations

import pytest
from fake_cluster import FakeCluster
from mcp_operator.reconcile.references import RECHECK, References
from mcp_operator.server_references import Reference

pytestmark = pytest.mark.requirement("O-05")

TOKEN = Reference("Secret", "token", "key")
WHOLE = Reference("ConfigMap", "settings")


@pytest.fixture
def api() -> FakeCluster:
    return FakeCluster()


def test_what_is_missing_is_named_with_the_command_that_makes_it(api: FakeCluster) -> None:
    missing = References(api).missing("team", [TOKEN, WHOLE])
    assert missing is not None
    assert (missing.reason, missing.delay) == ("SecretMissing", RECHECK)
    assert missing.message == (
        "Secret token is not there: kubectl create secret generic token -n team --from-literal=key=VALUE; "
        "ConfigMap settings is not there: kubectl create configmap settings -n team --from-literal=KEY=VALUE"
    )
    api.give("Secret", "token", "key")
    missing = References(api).missing("team", [TOKEN, WHOLE])
    assert missing is not None
    assert missing.reason == "ConfigMapMissing"


def test_a_key_that_is_missing_is_named(api: FakeCluster) -> None:
    api.give("Secret", "token", "other")
    missing = References(api).missing("team", [TOKEN])
    assert missing is not None
    command = """kubectl patch secret token -n team -p '{"stringData": {"key": "VALUE"}}'"""
    assert missing.message == f"Secret token has no key key: {command}"


def test_one_command_makes_or_adds_all_that_is_missing_of_an_object(api: FakeCluster) -> None:
    wanted = [TOKEN, Reference("Secret", "token", "user")]
    absent = References(api).missing("team", wanted)
    assert absent is not None
    assert absent.message.endswith("generic token -n team --from-literal=key=VALUE --from-literal=user=VALUE")
    api.give("Secret", "token", "other")
    incomplete = References(api).missing("team", wanted)
    assert incomplete is not None
    assert incomplete.message.endswith("""-p '{"stringData": {"key": "VALUE", "user": "VALUE"}}'""")


def test_what_images_are_pulled_with_is_made_as_the_kubelet_needs_it(api: FakeCluster) -> None:
    missing = References(api).missing("team", [Reference("Secret", "pull", pulls=True)])
    assert missing is not None
    assert "kubectl create secret docker-registry pull -n team --docker-server=REGISTRY" in missing.message


def test_keys_are_read_once_for_each_version(api: FakeCluster) -> None:
    references = References(api)
    api.give("Secret", "token", "other")
    for _ in range(3):
        references.missing("team", [TOKEN])
    api.give("Secret", "token", "key", version="2")
    assert references.missing("team", [TOKEN]) is None
    references.missing("team", [TOKEN])
    assert api.reads == ["Secret token", "Secret token"]


def test_what_is_given_as_a_whole_is_never_read(api: FakeCluster) -> None:
    api.give("ConfigMap", "settings")
    assert References(api).missing("team", [WHOLE]) is None
    assert api.reads == []


def test_versions_are_others_when_something_changes_and_the_same_when_nothing_does(api: FakeCluster) -> None:
    references = References(api)
    api.give("Secret", "token", "key")
    api.give("ConfigMap", "settings")
    before = references.versions("team", [TOKEN, WHOLE])
    assert references.versions("team", [WHOLE, TOKEN]) == before
    assert len(before) == 8
    api.give("Secret", "token", "key", version="2")
    after = references.versions("team", [TOKEN, WHOLE])
    assert after != before
    assert references.versions("team", [TOKEN, WHOLE], ["text"]) != after
    assert references.versions("team", []) == ""

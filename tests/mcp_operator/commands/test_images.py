from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from fake_cluster import SERVER, FakeCluster
from mcp_operator import __main__
from mcp_operator.commands import images
from mcp_operator.images.inventory import Entry

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.requirement("B-22")

ENTRY = Entry(
    repository="r.test/x",
    tags=("1", "latest"),
    id=f"sha256:{'ab' * 32}",
    size=123_000_000,
    created=1000.0,
    source="https://git.test/x",
    revision="c0ffee",
    deployment="ns-x-1",
    in_use=True,
)


def test_people_read_a_table() -> None:
    nameless = Entry(
        repository="", tags=(), id="sha256:0", size=0, created=990, source="", revision="", deployment="", in_use=False
    )

    head, first, second = images._table([ENTRY, nameless], 1065.0).splitlines()

    assert head.split() == ["REPOSITORY", "TAGS", "ID", "SIZE", "AGE", "SOURCE", "IN", "USE"]
    assert first.split() == ["r.test/x", "1,latest", "abababababab", "123", "MB", "1m", "https://git.test/x", "yes"]
    assert second.split() == ["<none>", "<none>", "0", "0", "MB", "1m", "no"]


@pytest.mark.parametrize(
    ("seconds", "text"), [(-5, "0s"), (59, "59s"), (60, "1m"), (7199, "1h"), (86_400, "1d"), (1e7, "115d")]
)
def test_an_age_is_one_number_and_a_unit(seconds: float, text: str) -> None:
    assert images._age(seconds) == text


def test_programs_read_what_the_documentation_names() -> None:
    assert images._document(ENTRY) == {
        "repository": "r.test/x",
        "tags": ["1", "latest"],
        "id": ENTRY.id,
        "size": 123_000_000,
        "created": "1970-01-01T00:16:40+00:00",
        "source": "https://git.test/x",
        "commit": "c0ffee",
        "deploymentId": "ns-x-1",
        "inUse": True,
    }


def test_what_a_resource_names_is_in_use_also_as_the_last_good_one() -> None:
    cluster = FakeCluster()
    cluster.add(SERVER, "none", {})
    for name, status in (
        ("one", {"image": {"reference": "r/x@sha256:1", "id": "sha256:a"}}),
        ("two", {"image": None, "lastGood": {"image": {"reference": "r/y@sha256:2"}}}),
    ):
        cluster.add(SERVER, name, {})["status"] = status

    assert images._references(cluster) == {"r/x@sha256:1", "sha256:a", "r/y@sha256:2"}


@pytest.mark.parametrize("words", [("list",), ("prune", "--dry-run")])
def test_without_an_engine_there_is_one_sentence_with_what_to_do_and_a_document_for_programs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")

    assert __main__.main(["images", *words]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("mcp-operator images: Docker is not running\n  Start it")

    assert __main__.main(["images", *words, "--output", "json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["images"] == []
    assert document["error"]["reason"] == "EngineUnavailable"
    assert document["error"]["hint"]


def test_a_cluster_that_cannot_be_asked_means_that_nothing_is_touched(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)

    assert __main__.main(["images", "prune", "--cluster", "--output", "json"]) == 1

    captured = capsys.readouterr()
    assert json.loads(captured.out)["error"]["reason"] == "ClusterUnavailable"
    assert "KUBECONFIG" in captured.err


@pytest.mark.parametrize("number", ["-1", "x"])
def test_a_number_that_is_none_is_wrong_usage(capsys: pytest.CaptureFixture[str], number: str) -> None:
    assert __main__.main(["images", "prune", f"--keep={number}"]) == 2
    assert "--keep" in capsys.readouterr().err

from __future__ import annotations

import base64
import dataclasses
import hashlib
import io
import json
import tarfile
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import package_registry
import pytest
from mcp_operator.images import download, npm, sources
from mcp_operator.images.budget import Budget
from mcp_operator.images.contract import BuildError, NpmSource, Step
from mcp_operator.images.detect.candidate import NodeFacts
from mcp_operator.images.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mcp_operator.images.checkout import Checkout
    from mcp_operator.settings import Settings
    from package_registry import Registry

pytestmark = pytest.mark.requirement("B-01")

NAME = "@demo/server"
MANIFEST = {
    "name": NAME,
    "version": "1.0.0",
    "bin": {"server": "dist/index.js"},
    "engines": {"node": ">=20"},
    "dependencies": {"@modelcontextprotocol/sdk": "^1"},
}
FILES = {
    "package.json": json.dumps(MANIFEST),
    "dist/index.js": 'import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js"',
    "package-lock.json": "{}",
    "tsconfig.json": "{}",
}


@pytest.fixture
def registry() -> Iterator[Registry]:
    with package_registry.serving() as running:
        yield running


@pytest.fixture
def asked(settings: Settings, registry: Registry) -> Settings:
    return dataclasses.replace(settings, npm_registry=registry.url)


def fetch(settings: Settings, tmp_path: Path, *command: str, **source: str | None) -> Checkout:
    folder = tmp_path / "source"
    folder.mkdir()
    return sources.fetch(
        NpmSource(package=source.get("package", NAME) or "", version=source.get("version")),
        settings,
        folder,
        Budget(30),
        command,
    )


def fail(settings: Settings, tmp_path: Path, **source: str | None) -> BuildError:
    with pytest.raises(BuildError) as caught:
        fetch(settings, tmp_path, **source)
    assert caught.value.hint
    return caught.value


def test_the_latest_version_is_pinned_and_what_is_installed_is_it_alone(
    registry: Registry, asked: Settings, tmp_path: Path
) -> None:
    registry.npm(NAME, "1.0.0", FILES)

    checkout = fetch(asked, tmp_path)

    assert checkout.commit == "1.0.0"
    assert checkout.committed == datetime(2026, 3, 1, 13, tzinfo=UTC)
    assert [path.name for path in checkout.root.iterdir()] == ["package.json"]
    assert json.loads((checkout.root / "package.json").read_text())["dependencies"] == {NAME: "1.0.0"}
    assert checkout.package is not None
    assert checkout.package.command == ("node", f"/app/node_modules/{NAME}/dist/index.js")
    assert checkout.package.evidence[0] == f"npm package {NAME} 1.0.0"
    assert isinstance(checkout.package.facts, NodeFacts)
    assert (checkout.package.facts.locked, checkout.package.facts.script) == (False, "")
    assert checkout.package.facts.engines == ">=20"


@pytest.mark.parametrize(("version", "found"), [("1.0.0", "1.0.0"), ("next", "2.0.0-rc.1")])
def test_a_version_or_a_tag_of_the_registry_is_taken(
    registry: Registry, asked: Settings, tmp_path: Path, version: str, found: str
) -> None:
    registry.npm(NAME, "1.0.0", FILES)
    registry.npm(NAME, "2.0.0-rc.1", FILES)
    document = registry.documents[f"/{NAME}"]
    assert isinstance(document, bytes)
    registry.documents[f"/{NAME}"] = document.replace(b'"latest"', b'"next": "2.0.0-rc.1", "latest"')

    assert fetch(asked, tmp_path, version=version).commit == found


def test_a_command_of_the_users_is_taken_as_it_is(registry: Registry, asked: Settings, tmp_path: Path) -> None:
    registry.npm(NAME, "1.0.0", FILES)

    package = fetch(asked, tmp_path, "node", "/app/node_modules/x.js").package

    assert package is not None
    assert package.command == ("node", "/app/node_modules/x.js")


def test_a_deprecated_package_is_a_warning(registry: Registry, asked: Settings, tmp_path: Path) -> None:
    registry.npm(NAME, "1.0.0", FILES, deprecated="use the other one")

    assert fetch(asked, tmp_path).warnings == ("the author has deprecated it: use the other one",)


def test_an_archive_that_is_not_what_was_announced_is_refused(
    registry: Registry, asked: Settings, tmp_path: Path
) -> None:
    registry.npm(NAME, "1.0.0", FILES)
    registry.documents[f"/{NAME}/-/1.0.0.tgz"] = package_registry.tarball({"package/evil.js": ""})

    error = fail(asked, tmp_path)

    assert (error.reason, error.step) == (Reason.SOURCE_UNSAFE, Step.FETCH)
    assert "sha512" in error.message


@pytest.mark.parametrize("dist", [{"integrity": ""}, {"integrity": "md5-AAAA"}, {"integrity": "sha512-%%%"}])
def test_a_package_without_a_digest_is_refused(
    registry: Registry, asked: Settings, tmp_path: Path, dist: dict[str, str]
) -> None:
    registry.npm(NAME, "1.0.0", FILES, dist=dist)

    assert fail(asked, tmp_path).reason == Reason.SOURCE_UNSAFE


def test_the_oldest_packages_have_a_digest_of_the_oldest_kind(
    registry: Registry, asked: Settings, tmp_path: Path
) -> None:
    packed = registry.npm(NAME, "1.0.0", FILES)
    registry.npm(NAME, "1.0.0", FILES, dist={"integrity": "", "shasum": hashlib.sha1(packed).hexdigest()})  # noqa: S324

    assert fetch(asked, tmp_path).commit == "1.0.0"


@pytest.mark.parametrize(
    ("name", "version"), [("@demo/absent", None), (NAME, "9.9.9"), (NAME, "^1.0.0"), (NAME, "nope")]
)
def test_what_is_not_there_is_said(
    registry: Registry, asked: Settings, tmp_path: Path, name: str, version: str | None
) -> None:
    registry.npm(NAME, "1.0.0", FILES)

    assert fail(asked, tmp_path, package=name, version=version).reason == Reason.REF_NOT_FOUND


@pytest.mark.parametrize("name", ["", "../x", "a b", "http://x", "@a/b/c", "-g", "a\n", "@demo/"])
def test_what_is_no_name_is_refused_before_anybody_is_asked(
    registry: Registry, asked: Settings, tmp_path: Path, name: str
) -> None:
    assert fail(asked, tmp_path, package=name).reason == Reason.INVALID_SOURCE
    assert registry.asked == []


@pytest.mark.parametrize(
    "document", [b"", b"[]", b"{}", b'{"versions": []}', b"<html>", b'{"versions": {"1.0.0": {}}}']
)
def test_a_registry_that_talks_nonsense_is_an_error_of_the_fetch(
    registry: Registry, asked: Settings, tmp_path: Path, document: bytes
) -> None:
    registry.documents[f"/{NAME}"] = document

    assert fail(asked, tmp_path, version="1.0.0").reason in (Reason.FETCH_FAILED, Reason.REF_NOT_FOUND)


def test_an_archive_that_is_gone_is_said(registry: Registry, asked: Settings, tmp_path: Path) -> None:
    registry.npm(NAME, "1.0.0", FILES)
    del registry.documents[f"/{NAME}/-/1.0.0.tgz"]

    assert fail(asked, tmp_path).reason == Reason.REF_NOT_FOUND


@pytest.mark.parametrize(
    ("status", "reason", "transient"),
    [
        (401, Reason.AUTHENTICATION_REQUIRED, False),
        (403, Reason.AUTHENTICATION_REQUIRED, False),
        (500, Reason.HOST_UNREACHABLE, True),
        (429, Reason.HOST_UNREACHABLE, True),
    ],
)
def test_a_refusal_of_the_registry_is_explained(
    registry: Registry, asked: Settings, tmp_path: Path, *, status: int, reason: Reason, transient: bool
) -> None:
    registry.documents[f"/{NAME}"] = status

    error = fail(asked, tmp_path)

    assert (error.reason, error.transient) == (reason, transient)


def test_a_registry_that_is_not_there_is_worth_another_try(settings: Settings, tmp_path: Path) -> None:
    with package_registry.serving() as gone:
        url = gone.url

    error = fail(dataclasses.replace(settings, npm_registry=url), tmp_path)

    assert (error.reason, error.transient) == (Reason.HOST_UNREACHABLE, True)


def test_an_archive_of_another_host_is_not_fetched_without_https(
    registry: Registry, asked: Settings, tmp_path: Path
) -> None:
    with package_registry.serving() as other:
        registry.npm(NAME, "1.0.0", FILES, dist={"tarball": f"{other.url}/x.tgz"})
        assert fail(asked, tmp_path).reason == Reason.SOURCE_UNSAFE
        assert other.asked == []


@pytest.mark.parametrize("to", ["file:///etc/passwd", "ftp://127.0.0.1/x", "http://127.0.0.1:1/x"])
def test_a_redirect_to_a_place_without_https_is_not_followed(
    registry: Registry, asked: Settings, tmp_path: Path, to: str
) -> None:
    registry.documents[f"/{NAME}"] = f"->{to}"

    assert fail(asked, tmp_path).reason in (Reason.SOURCE_UNSAFE, Reason.HOST_UNREACHABLE)


def test_a_redirect_on_the_same_host_is_followed(registry: Registry, asked: Settings, tmp_path: Path) -> None:
    registry.npm(NAME, "1.0.0", FILES)
    registry.documents["/moved"] = registry.documents[f"/{NAME}"]
    registry.documents[f"/{NAME}"] = "->/moved"

    assert fetch(asked, tmp_path).commit == "1.0.0"


def test_a_document_without_end_is_cut_off(registry: Registry, settings: Settings) -> None:
    registry.documents["/big"] = bytes(200_000)
    client = download.Client(registry.url, settings.build_ca_file, Budget(30))

    with pytest.raises(BuildError) as caught:
        client.get(f"{registry.url}/big", 100_000)

    assert caught.value.reason == Reason.SOURCE_TOO_LARGE


def test_a_package_that_is_no_server_is_said_before_anything_is_built(
    registry: Registry, asked: Settings, tmp_path: Path
) -> None:
    registry.npm(NAME, "1.0.0", {"package.json": '{"name": "x", "bin": "x.js"}', "x.js": "console.log(1)"})

    error = fail(asked, tmp_path)

    assert (error.reason, error.step) == (Reason.NOT_AN_MCP_SERVER, Step.DETECT)


def test_a_package_with_a_link_in_it_is_refused(registry: Registry, asked: Settings, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        link = tarfile.TarInfo("package/link")
        link.type = tarfile.SYMTYPE
        link.linkname = "/etc/passwd"
        archive.addfile(link)
    packed = buffer.getvalue()
    digest = "sha512-" + base64.b64encode(hashlib.sha512(packed).digest()).decode()
    registry.npm(NAME, "1.0.0", FILES, dist={"integrity": digest})
    registry.documents[f"/{NAME}/-/1.0.0.tgz"] = packed

    assert fail(asked, tmp_path).reason == Reason.SOURCE_UNSAFE


@pytest.mark.requirement("O-01")
def test_the_newest_version_is_told_without_fetching_it(registry: Registry, asked: Settings) -> None:
    registry.npm(NAME, "1.0.0", FILES)
    registry.npm(NAME, "1.1.0", FILES)
    assert npm.resolve(NpmSource(package=NAME, version="1.1.0"), asked, Budget(60)) == "1.1.0"
    assert npm.resolve(NpmSource(package=NAME), asked, Budget(60)) == "1.0.0"  # what `latest` names, not the highest
    assert not [path for path in registry.asked if path.endswith(".tgz")]
    with pytest.raises(BuildError, match="is not the name of an npm package"):
        npm.resolve(NpmSource(package="../x"), asked, Budget(60))

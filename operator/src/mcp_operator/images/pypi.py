"""Fetch a package of PyPI: pinned, checked, and read for how it is started; the image installs it by name.

Asked by the simple index, which every mirror has, as HTML or JSON. A wheel says by itself which commands it installs; a
source archive is looked at like a repository.
"""

from __future__ import annotations

import configparser
import dataclasses
import html.parser
import json
import re
from datetime import UTC, datetime, timedelta
from email import message_from_string
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote, urldefrag, urljoin

from mcp_operator.images import archive, redact
from mcp_operator.images.checkout import Checkout
from mcp_operator.images.contract import BuildError, Step
from mcp_operator.images.detect import detect
from mcp_operator.images.detect.candidate import Candidate, PythonFacts
from mcp_operator.images.download import Client, NotFoundError
from mcp_operator.images.reasons import Reason
from mcp_operator.images.tree import Tree, check

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from mcp_operator.images.budget import Budget
    from mcp_operator.images.contract import PypiSource
    from mcp_operator.settings import Settings

MAX_INDEX = 64 * 2**20
MAX_ARCHIVE = 256 * 2**20
MARGIN = timedelta(hours=1)
"""Between a package and those that are released together with it."""
REQUIREMENTS = "requirements.txt"

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?\Z")
_VERSION = re.compile(
    r"v?\d+(?:\.\d+)*(?:[-_.]?(?:a|b|rc|alpha|beta|c|pre|preview|post|dev)[-_.]?\d*)*\Z", re.IGNORECASE
)
_FINAL = re.compile(r"\d+(?:\.\d+)*(?:\.post\d+)?\Z")
_ACCEPT = "application/vnd.pypi.simple.v1+json, text/html;q=0.5"


class _File(NamedTuple):
    name: str
    url: str
    digest: str
    version: str
    uploaded: datetime | None
    yanked: bool


def resolve(source: PypiSource, settings: Settings, budget: Budget) -> str:
    """Give the version that a source means now, without fetching it.

    Raises:
        BuildError: There is no such package or version, or the index does not answer.
        BuildCancelled: The budget says so.
    """
    _check(source)
    return _choose(
        source, _files(source.package, settings, Client(settings.pypi_index, settings.build_ca_file, budget))
    ).version


def fetch(source: PypiSource, settings: Settings, folder: Path, budget: Budget, command: Sequence[str]) -> Checkout:
    """Put a package into ``folder``, which must be empty.

    Raises:
        BuildError: There is no such package or version, it is too large, not what was announced, or no MCP server.
        BuildCancelled: The budget says so.
    """
    _check(source)
    client = Client(settings.pypi_index, settings.build_ca_file, budget)
    chosen = _choose(source, _files(source.package, settings, client))
    packed = folder / "package.archive"
    with packed.open("wb") as file:
        try:
            client.save(chosen.url, MAX_ARCHIVE, file, chosen.digest)
        except NotFoundError as error:
            raise _absent(f"PyPI has no file {chosen.name}") from error
    files = folder / "package"
    wheel = chosen.name.endswith(".whl")
    archive.unpack(packed, files, budget, top=not wheel)
    packed.unlink()
    check(files)
    if wheel:
        _describe(files)
    root = folder / "context"
    root.mkdir()
    (root / REQUIREMENTS).write_text(f"{source.package}=={chosen.version}\n")
    return Checkout(
        root=root,
        commit=chosen.version,
        committed=(chosen.uploaded or datetime.now(UTC)) + MARGIN,
        warnings=("the author has withdrawn this version",) if chosen.yanked else (),
        package=_candidate(source.package, chosen.version, files, command),
        files=files,
    )


def _check(source: PypiSource) -> None:
    if not _NAME.match(source.package) or (source.version and not _VERSION.match(source.version)):
        raise BuildError(
            Reason.INVALID_SOURCE,
            f"{redact.line(source.package)} {redact.line(source.version or '')} is not a package and version of PyPI",
            step=Step.FETCH,
            hint="Give a name such as mcp-server-time, and an exact version such as 1.2.3.",
        )


def _files(package: str, settings: Settings, client: Client) -> list[_File]:
    normal = _normal(package)
    url = f"{settings.pypi_index.rstrip('/')}/{normal}/"
    try:
        text = client.get(url, MAX_INDEX, _ACCEPT).decode(errors="replace")
    except NotFoundError as error:
        raise _absent(f"PyPI has no package {package}") from error
    entries = _from_json(text, url) if text.lstrip().startswith("{") else _from_html(text)
    found = []
    for entry in entries:
        version = _version_of(str(entry.get("filename", "")), normal)
        if version:
            found.append(_file(entry, url, version))
    if not found:
        raise _absent(f"PyPI has no file for {package}")
    return found


def _from_json(text: str, url: str) -> list[dict[str, Any]]:
    try:
        files = json.loads(text).get("files")
    except (ValueError, RecursionError):
        files = None
    if not isinstance(files, list):
        raise BuildError(
            Reason.FETCH_FAILED,
            f"{redact.line(url)} is not an index of packages",
            step=Step.FETCH,
            hint="Check the setting TOOLMAN_PYPI_INDEX.",
        )
    return [entry for entry in files if isinstance(entry, dict)]


class _Links(html.parser.HTMLParser):
    """Collects the files of an index page as its JSON form has them (PEP 503, 592 and 700)."""

    def __init__(self) -> None:
        super().__init__()
        self.entries: list[dict[str, Any]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        href = given.get("href")
        if tag != "a" or not href:
            return
        url, digest = urldefrag(href)
        algorithm, _, value = digest.partition("=")
        self.entries.append(
            {
                "filename": unquote(url.rpartition("/")[2]),
                "url": url,
                "hashes": {algorithm: value},
                "upload-time": given.get("data-upload-time"),
                "yanked": "data-yanked" in given,
            },
        )


def _from_html(text: str) -> list[dict[str, Any]]:
    links = _Links()
    links.feed(text)
    return links.entries


def _file(entry: dict[str, Any], index: str, version: str) -> _File:
    hashes = entry.get("hashes")
    digests = (f"{name}={value}" for name, value in hashes.items()) if isinstance(hashes, dict) else ()
    try:
        uploaded = datetime.fromisoformat(str(entry.get("upload-time")))
    except ValueError:
        uploaded = None
    if uploaded and not uploaded.tzinfo:
        uploaded = uploaded.replace(tzinfo=UTC)
    return _File(
        name=str(entry["filename"]),
        url=urljoin(index, str(entry.get("url", ""))),
        digest=" ".join(digests),
        version=version,
        uploaded=uploaded,
        yanked=bool(entry.get("yanked")),
    )


def _version_of(name: str, package: str) -> str:
    """Tell the version of a file from its name; empty if it is neither wheel nor source archive of the package."""
    if name.endswith(".whl"):
        parts = name.split("-")
        found, version = parts[0], parts[1] if len(parts) in (5, 6) else ""
    else:
        stem = next((name.removesuffix(end) for end in (".tar.gz", ".zip") if name.endswith(end)), "")
        found, _, version = stem.rpartition("-")
    return version if _normal(found) == package and _VERSION.match(version) else ""


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _order(version: str) -> tuple[int, ...]:
    numbers = [int(part) for part in re.findall(r"\d+", version)]
    while numbers and numbers[-1] == 0:  # 1.0 and 1.0.0 are the same
        numbers.pop()
    return tuple(numbers)


def _same(one: str, other: str) -> bool:
    if _FINAL.match(one) and _FINAL.match(other):
        return _order(one) == _order(other)
    return _normal(one) == _normal(other)


def _choose(source: PypiSource, files: Sequence[_File]) -> _File:
    if source.version:
        fitting = [file for file in files if _same(file.version, source.version.removeprefix("v"))]
    else:
        fitting = _newest(files)
    if not fitting:
        known = ", ".join(dict.fromkeys(file.version for file in files[-10:]))
        raise _absent(f"{source.package} has no version {source.version}; the last ones are {redact.line(known)}")
    return min(fitting, key=_preference)


def _newest(files: Sequence[_File]) -> list[_File]:
    """Give the files of the newest version: one that is neither withdrawn nor a trial, if there is one."""
    served = [file for file in files if not file.yanked] or list(files)
    final = [file for file in served if _FINAL.match(file.version)] or served
    newest = max(final, key=lambda file: _order(file.version)).version
    return [file for file in final if file.version == newest]


def _preference(file: _File) -> tuple[bool, bool, str]:
    """Wheels that run anywhere first, then other wheels, then sources: all install the same commands."""
    return (not file.name.endswith(".whl"), not file.name.endswith("-none-any.whl"), file.name)


def _describe(files: Path) -> None:
    """Write a wheel's metadata as the pyproject.toml from which it may have been made: one rule for both."""
    info = next(iter(sorted(files.glob("*.dist-info"))), None)
    if info is None:
        return
    tree = Tree(info)
    said = message_from_string(tree.text("METADATA").partition("\n\n")[0])
    requires = [str(line).partition(";")[0] for line in said.get_all("Requires-Dist", [])]
    lines = [
        "[build-system]\nrequires = []",
        "[project]",
        f"name = {json.dumps(str(said.get('Name', '')))}",
        f"requires-python = {json.dumps(str(said.get('Requires-Python', '')))}",
        f"dependencies = {json.dumps(requires)}",
        "[project.scripts]",
        *(f"{json.dumps(name)} = {json.dumps(target)}" for name, target in _commands(tree.text("entry_points.txt"))),
    ]
    (files / "pyproject.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _commands(text: str) -> Iterable[tuple[str, str]]:
    parser = configparser.ConfigParser(delimiters=("=",), interpolation=None, strict=False)
    # Names are case-sensitive; the parser's default is to lower them.
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # how its documentation says to do it
    try:
        parser.read_string(text)
    except configparser.Error:
        return ()
    return parser.items("console_scripts") if parser.has_section("console_scripts") else ()


def _candidate(package: str, version: str, files: Path, command: Sequence[str]) -> Candidate:
    """Look at a package as at a repository, and say how what is installed of it is started."""
    found = detect(Tree(files), ".", "python", command)
    requires = found.facts.requires if isinstance(found.facts, PythonFacts) else ""
    return dataclasses.replace(
        found,
        folder=".",
        root=".",
        evidence=(f"PyPI package {package} {version}", *found.evidence),
        facts=PythonFacts(
            installer="requirements",
            manifests=(REQUIREMENTS,),
            requirements=(REQUIREMENTS,),
            package=False,
            sources=False,
            requires=requires,
            needs_git=False,
        ),
    )


def _absent(message: str) -> BuildError:
    return BuildError(
        Reason.REF_NOT_FOUND,
        message,
        step=Step.FETCH,
        hint="Check name and version; without a version the newest release is taken.",
    )

"""What the manifests of a Python project say: pyproject.toml, setup.py and setup.cfg (never run), requirements.txt."""

from __future__ import annotations

import configparser
import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Literal

from mcp_operator.images.detect import usage
from mcp_operator.images.detect.candidate import join
from mcp_operator.images.tree import PLAIN_PATH

if TYPE_CHECKING:
    from mcp_operator.images.tree import Tree

PROJECT = "pyproject.toml"
REQUIREMENTS = "requirements.txt"
LOCKS = ("poetry.lock", "pdm.lock")
"""Of other tools; uv reads none of them, but their versions can be kept."""

_NAME = re.compile(r"\s*([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)")
_GROUP = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?\Z")
_REQUIREMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._\[\],<>=!~* -]*\Z")
"""A distribution, and which versions of it: from no other place than the index."""
_LOCKED = re.compile(r'^name = "([^"]+)"', re.MULTILINE)
"""A package in uv.lock."""
_SETUP_LIST = re.compile(r"install_requires\s*=\s*\[(.*?)\]", re.DOTALL)
_SETUP_TEXT = r"\b{}\s*=\s*[\"']([^\"']+)[\"']"
_LOCAL = re.compile(r"^\s*(?:-[^-]|\.|/|file:)", re.MULTILINE)
"""A line of requirements that names another file or folder."""


def normal(name: str) -> str:
    """Normalise a distribution's name (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def table(value: object, *keys: str) -> dict[str, Any]:
    """Give a table inside a table of a file that strangers wrote; empty if there is none."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


def _names(lines: list[str]) -> set[str]:
    return {normal(match[1]) for match in map(_NAME.match, lines) if match}


class Project:
    """What the manifests of one folder say."""

    def __init__(self, tree: Tree, folder: str) -> None:
        self._tree = tree
        self._folder = folder
        self.settings = tree.toml(join(folder, PROJECT))
        self._project = table(self.settings, "project")
        self._poetry = table(self.settings, "tool", "poetry")
        self._cfg = _ini(tree.text(join(folder, "setup.cfg")))
        self._code = tree.text(join(folder, "setup.py"))
        self.name = str(self._project.get("name") or self._poetry.get("name") or self._set_up("name"))
        wish = self._project.get("requires-python") or table(self._poetry, "dependencies").get("python")
        self.requires = wish if isinstance(wish, str) else self._set_up("python_requires")

    def _set_up(self, key: str) -> str:
        """Give what setup.cfg or, written down plainly, setup.py says."""
        match = re.search(_SETUP_TEXT.format(key), self._code)
        section = "options" if key == "python_requires" else "metadata"
        return self._cfg.get(section, {}).get(key, match[1] if match else "").strip()

    @property
    def _setup(self) -> bool:
        return any(self._tree.is_file(join(self._folder, name)) for name in ("setup.py", "setup.cfg"))

    @property
    def package(self) -> bool:
        """It can be built and installed; without a build system uv takes a project for a bunch of files."""
        wanted = table(self.settings, "tool", "uv").get("package")
        if wanted is False or self._poetry.get("package-mode") is False:
            return False
        return wanted is True or "build-system" in self.settings or self._setup

    @property
    def backend(self) -> tuple[str, ...]:
        """What its build asks for; empty if it says nothing of that, or something that is not simply in the index."""
        said = self._asked
        own = {normal(name) for name in table(self.settings, "tool", "uv", "sources")}
        return () if own & _names(said) or not all(map(_REQUIREMENT.match, said)) else tuple(said)

    @property
    def listed(self) -> bool:
        """Which files belong to it is asked of git when it is built."""
        return self.package and "setuptools-scm" in _names(self._asked)

    @property
    def _asked(self) -> list[str]:
        wanted = table(self.settings, "build-system").get("requires")
        return [str(item) for item in wanted] if isinstance(wanted, list) else []

    def installer(self, lock: str) -> Literal["uv-lock", "project", "requirements", "none"]:
        """Choose by what is there: lock, project, requirements."""
        if lock:
            return "uv-lock"
        if self._project or self._poetry or self._setup:
            return "project"
        return "requirements" if self.requirements() else "none"

    def evidence(self, manifest: str, lock: str) -> list[str]:
        """Say what was seen, a line each."""
        said = [f"{join(self._folder, manifest)} (Python)" if manifest else "no manifest (Python)"]
        held = lock or (join(self._folder, self.other_lock) if self.other_lock else "")
        said.append(f"packages locked by {held}" if held else f"packages by {self.installer(lock)}, not locked")
        if forgotten := self.unlocked(lock):
            said.append(f"{lock} is out of date: it does not name {', '.join(forgotten)}"[:200])
        if self.requires:
            said.append(f"asks for Python {self.requires[:40]}")
        return said

    def unlocked(self, lock: str) -> tuple[str, ...]:
        """Give the direct dependencies that a lock of uv's does not name: it was not written anew for them."""
        held = set(_LOCKED.findall(self._tree.text(lock))) if lock else set()
        return tuple(sorted(_listed(self._project.get("dependencies")) - held)) if held else ()

    def requirements(self) -> tuple[str, ...]:
        """Give the requirements files, if the project's own table does not name its dependencies."""
        there = self._tree.is_file(join(self._folder, REQUIREMENTS))
        return (REQUIREMENTS,) if there and not self._project.get("dependencies") else ()

    def lines(self) -> list[str]:
        """Give the dependencies as they are written."""
        listed = self._project.get("dependencies")
        found = [str(item) for item in listed] if isinstance(listed, list) else []
        for name, value in table(self._poetry, "dependencies").items():
            found.append(f"{name} @ git+{value['git']}" if isinstance(value, dict) and "git" in value else name)
        for match in _SETUP_LIST.findall(self._code):
            found += re.findall(r"[\"']([^\"']+)[\"']", match)
        found += self._cfg.get("options", {}).get("install_requires", "").split("\n")
        for line in self._tree.text(join(self._folder, REQUIREMENTS)).splitlines():
            if line.strip() and not line.lstrip().startswith(("#", "-")):
                found.append(line)
        return found

    def dependencies(self) -> list[str]:
        """Give the normalised names of the direct dependencies, with those of the extras that are installed."""
        optional = table(self._project, "optional-dependencies")
        return sorted(_names(self.lines()).union(*(_listed(optional.get(name)) for name in self.extras())))

    def extras(self) -> tuple[str, ...]:
        """Give the optional groups that name an MCP SDK, if nothing else does."""
        if usage.PYTHON.packages & _names(self.lines()):
            return ()
        optional = table(self._project, "optional-dependencies")
        having = (name for name, lines in optional.items() if usage.PYTHON.packages & _listed(lines))
        return tuple(sorted(name for name in having if _GROUP.match(name)))[:1]

    @property
    def other_lock(self) -> str:
        """The lock of another tool than uv, if there is one."""
        return next((name for name in LOCKS if self._tree.is_file(join(self._folder, name))), "")

    @property
    def scripts(self) -> dict[str, Any]:
        """Console scripts by name, as they are written."""
        found = table(self._project, "scripts") or table(self._poetry, "scripts")
        return found or _entry_points(self._cfg.get("options.entry_points", {}).get("console_scripts", ""), self._code)

    def needs_git(self, lock: str) -> bool:
        """Tell whether installing clones something."""
        return 'source = { git = "' in self._tree.text(lock) if lock else any("git+" in line for line in self.lines())

    @property
    def _static(self) -> bool:
        """What must be installed is known without the sources."""
        dynamic = self._project.get("dynamic")
        if isinstance(dynamic, list) and "dependencies" in dynamic:
            return False
        local = table(self.settings, "tool", "uv", "sources").values()
        return not any(isinstance(source, dict) and "path" in source for source in local)

    def manifests(self, root: str, lock: str) -> tuple[str, ...]:
        """Give the files, relative to the root, from which dependencies can be installed without the sources."""
        if not self._static:
            return ()
        if lock:
            names = {lock, join(root, PROJECT), join(self._folder, PROJECT)}
        elif self._project.get("dependencies"):
            names = {join(self._folder, PROJECT)}
            names |= {join(self._folder, self.other_lock)} if self.other_lock else set()
        elif self.requirements() and not _LOCAL.search(self._tree.text(join(self._folder, REQUIREMENTS))):
            names = {join(self._folder, REQUIREMENTS)}
        else:
            return ()
        relative = sorted(str(PurePosixPath(name).relative_to(root)) for name in names)
        return tuple(relative) if all(PLAIN_PATH.match(name) for name in relative) else ()


def _listed(lines: object) -> set[str]:
    return _names([str(line) for line in lines]) if isinstance(lines, list) else set()


def _ini(text: str) -> dict[str, dict[str, str]]:
    """Read setup.cfg; what cannot be read says nothing."""
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        parser.read_string(text)
    except configparser.Error:
        return {}
    return {section: dict(parser.items(section)) for section in parser.sections()}


def _entry_points(listed: str, code: str) -> dict[str, Any]:
    """Read ``name = module:function`` lines of setup.cfg, or those of ``console_scripts`` in setup.py."""
    match = re.search(r"console_scripts[\"']?\s*[:=]\s*\[(.*?)\]", code, re.DOTALL)
    lines = [*listed.splitlines(), *(re.findall(r"[\"']([^\"']+)[\"']", match[1]) if match else [])]
    pairs = (line.partition("=") for line in lines)
    return {name.strip(): target.strip() for name, equals, target in pairs if equals}

"""Base images: those given, the real ones, or stand-ins made of Debian's and npm's packages.

The stand-ins have names of their own, so that nobody takes them for the real ones, and trust what this machine trusts.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from lab import certificates, commands, engine, npm, packages, progress
from lab.errors import LabError

if TYPE_CHECKING:
    from lab.settings import Settings

REAL = {"debian": "debian:bookworm-slim", "python": "python:3.12-slim", "node": "node:22-slim"}
STAND_INS = {"debian": "toolman-base/debian:12", "python": "toolman-base/python:3.11", "node": "toolman-base/node:22"}
RECIPE_LABEL = "toolman.dev/lab-recipe"
SUITE = "bookworm"
MIRROR = "deb http://deb.debian.org/debian bookworm main"
PULL_SECONDS = 300.0
BUILD_SECONDS = 900.0
LEFT_OUT = ("doc", "man", "info", "locale", "lintian", "bug")
"""Folders of /usr/share that nothing at run time reads, as in the slim images."""

BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
TRUSTING = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PIP_CERT", "NODE_EXTRA_CA_CERTS")
"""pip and Node bring certificate authorities of their own; these make them read the system's."""

APT = """\
DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb || true"; };
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
Acquire::Languages "none";
Acquire::GzipIndexes "true";
Apt::AutoRemove::SuggestsImportant "false";
"""
DPKG = "force-unsafe-io\n" + "".join(f"path-exclude=/usr/share/{folder}/*\n" for folder in LEFT_OUT)

DEBIAN_FILE = """\
FROM scratch
ADD root.tar /
COPY apt.conf /etc/apt/apt.conf.d/docker-lean
COPY dpkg.cfg /etc/dpkg/dpkg.cfg.d/docker-lean
ENV LANG=C.UTF-8 PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
CMD ["bash"]
"""
TRUST_LINES = f"""\
COPY certificates/ /usr/local/share/ca-certificates/
RUN update-ca-certificates
ENV {" ".join(f"{variable}={BUNDLE}" for variable in TRUSTING)}
"""
PYTHON_FILE = f"""\
FROM {STAND_INS["debian"]}
RUN apt-get update -qq \\
 && apt-get install -y -qq --no-install-recommends python3 python3-pip python3-venv \\
 && rm -rf /var/lib/apt/lists/* /usr/lib/python3*/EXTERNALLY-MANAGED \\
 && cd /usr/local/bin \\
 && ln -s /usr/bin/python3 python3 && ln -s python3 python && ln -s /usr/bin/pip3 pip3 && ln -s pip3 pip
CMD ["python3"]
"""
NODE_FILE = f"""\
FROM {STAND_INS["debian"]}
RUN groupadd --gid 1000 node && useradd --uid 1000 --gid node --shell /bin/bash --create-home node \\
 && cd /usr/local/bin \\
 && ln -s ../lib/node_modules/npm/bin/npm-cli.js npm && ln -s ../lib/node_modules/npm/bin/npx-cli.js npx
COPY root/ /usr/local/
CMD ["node"]
"""


def up(settings: Settings) -> dict[str, str]:
    """Find or make a base image of each kind; give their names.

    Raises:
        LabError: One cannot be made here, or one that is given cannot be had.
    """
    extra = _extra_certificates(settings)
    recipes = {kind: _recipe(kind, extra) for kind in STAND_INS}
    names: dict[str, str] = {}
    reachable = True
    for kind, stand_in in STAND_INS.items():
        given = settings.base_images.get(kind)
        if given:
            _check_available(given)
            names[kind] = given
        elif _present(REAL[kind]):
            names[kind] = REAL[kind]
        elif _made_from(stand_in) == recipes[kind]:
            names[kind] = stand_in
        elif reachable and _pull(REAL[kind]):
            names[kind] = REAL[kind]
        else:
            reachable = False
            _make(settings, kind, recipes, extra)
            names[kind] = stand_in
    return names


def purge() -> None:
    """Remove the stand-ins, also those that a newer recipe replaced."""
    for name in reversed(STAND_INS.values()):
        commands.attempt("docker", "rmi", name)
    commands.attempt("docker", "image", "prune", "--force", "--filter", f"label={RECIPE_LABEL}")


def _present(image: str) -> bool:
    return commands.succeeds("docker", "image", "inspect", image)


def _made_from(image: str) -> str:
    template = f'{{{{index .Config.Labels "{RECIPE_LABEL}"}}}}'
    return commands.attempt("docker", "image", "inspect", "--format", template, image).stdout.strip()


def _pull(image: str) -> bool:
    with progress.step(f"pulling {image}"):
        return commands.succeeds("docker", "pull", "--quiet", image, timeout=PULL_SECONDS)


def _extra_certificates(settings: Settings) -> list[str]:
    """Give what this machine trusts beyond Debian's package, whose certificates are single files in one folder."""
    if settings.ca_file is None:
        return []
    folder = Path("/usr/share/ca-certificates/mozilla")
    known = "".join(path.read_text() for path in sorted(folder.glob("*.crt")))
    return certificates.beyond(settings.ca_file.read_text(), known) if known else []


def _dockerfile(kind: str, extra: list[str]) -> str:
    text = {"debian": DEBIAN_FILE, "python": PYTHON_FILE, "node": NODE_FILE}[kind]
    return text + TRUST_LINES if extra and kind == "debian" else text


def _recipe(kind: str, extra: list[str]) -> str:
    """Identify everything that a stand-in is made from, but for the versions of Debian's packages."""
    parts = [APT, DPKG, _dockerfile("debian", extra), *extra, _dockerfile(kind, extra)]
    if kind == "node":
        parts += [repr(npm.node()), repr(npm.NPM)]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _make(settings: Settings, kind: str, recipes: dict[str, str], extra: list[str]) -> None:
    if kind != "debian" and _made_from(STAND_INS["debian"]) != recipes["debian"]:
        _make(settings, "debian", recipes, extra)
    with (
        progress.step(f"making the base image {STAND_INS[kind]}"),
        tempfile.TemporaryDirectory(dir=settings.folder("bases")) as temporary,
    ):
        context = Path(temporary)
        (context / "Dockerfile").write_text(_dockerfile(kind, extra))
        if kind == "debian":
            _debian_context(context, extra)
        elif kind == "node":
            _node_context(context, settings.ca_file)
        label = f"{RECIPE_LABEL}={recipes[kind]}"
        engine.docker("build", "-q", "-t", STAND_INS[kind], "--label", label, str(context), timeout=BUILD_SECONDS)


def _debian_context(context: Path, extra: list[str]) -> None:
    packages.ensure(packages.BASES, "making base images")
    options = [option for line in DPKG.splitlines() for option in ("--dpkgopt", line)]
    commands.run(
        *("mmdebstrap", "--quiet", "--mode=root", "--variant=minbase", "--include=usr-is-merged,ca-certificates"),
        *("--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr", *options),
        *(SUITE, str(context / "root.tar"), "\n".join(_sources())),
        timeout=BUILD_SECONDS,
    )
    (context / "apt.conf").write_text(APT)
    (context / "dpkg.cfg").write_text(DPKG)
    (context / "certificates").mkdir()
    for number, certificate in enumerate(extra):
        (context / "certificates" / f"machine-{number}.crt").write_text(certificate)


def _sources() -> list[str]:
    """Give the sources of Debian 12 that this machine uses: its mirror may be the only one that it reaches."""
    line = "deb $(REPO_URI) $(RELEASE) $(COMPONENT)"
    found = commands.attempt("apt-get", "indextargets", "--format", line, "Created-By: Packages").stdout.splitlines()
    debian = [source for source in dict.fromkeys(found) if source.split()[2].partition("-")[0] == SUITE]
    debian = [source for source in debian if source.split()[3] == "main"]
    return debian or [MIRROR]


def _node_context(context: Path, ca_file: Path | None) -> None:
    root = context / "root"
    (root / "bin").mkdir(parents=True)
    (root / "lib/node_modules").mkdir(parents=True)
    executable = npm.unpack(npm.node(), context, ca_file) / "bin" / "node"
    shutil.move(executable, root / "bin/node")
    (root / "bin/node").chmod(0o755)
    shutil.move(npm.unpack(npm.NPM, context, ca_file), root / "lib/node_modules/npm")


def _check_available(image: str) -> None:
    if not _present(image) and not _pull(image):
        raise LabError(f"the image {image} is not in the engine and cannot be pulled: docker pull {image} says why")

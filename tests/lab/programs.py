"""Kubernetes, etcd, CoreDNS, Helm and the pause program, compiled once from the Go module in ``tests/cluster``.

Benchmarks compile what they need from modules of their own, in the same way.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from lab import commands, packages, progress
from lab.errors import LabError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lab.settings import Settings

MODULE = Path(__file__).resolve().parents[1] / "cluster"
TARGETS = {"kube": "./kube", "dns": "./dns", "pause": "./pause", "helm": "helm.sh/helm/v3/cmd/helm"}
KUBE_NAMES = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-proxy", "kube-scheduler", "kubectl", "kubelet")
"""The executable ``kube`` is each of these, by the name that it is called by."""
CLIENTS = ("kubectl", "helm")
COMPILE_SECONDS = 3600.0
GO_FOLDER = "/usr/local/go/bin"
STAMP = re.compile(r"k8s\.io/kubernetes v(\d+)\.(\d+)\.\S+")
SMALL = ("-s", "-w")
"""For the linker: leave debug information out."""
VERSION_VARIABLES = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")


def up(settings: Settings) -> None:
    """Compile everything, unless it was compiled from these sources with this Go before.

    Raises:
        LabError: Go is missing, or the compilation failed.
    """
    go = _go("the Kubernetes cluster", otherwise="set TOOLMAN_KUBECONFIG")
    current = key(MODULE, commands.run(go, "version", cwd=MODULE))
    stamp = settings.folder("bin") / "key"
    names = [*TARGETS, *KUBE_NAMES]
    if stamp.exists() and stamp.read_text() == current and all((settings.programs / name).exists() for name in names):
        return
    stamp.unlink(missing_ok=True)
    with progress.step("compiling Kubernetes, once"):
        _compile(settings, go, TARGETS.values())
    for name in KUBE_NAMES:
        link = settings.programs / name
        link.unlink(missing_ok=True)
        link.symlink_to("kube")
    stamp.write_text(current)


def up_clients(settings: Settings) -> None:
    """See to it that kubectl and helm are there, for a cluster that is not ours: those on PATH, or compiled."""
    missing = [name for name in CLIENTS if not packages.present(name) and not (settings.programs / name).exists()]
    if not missing:
        return
    go = _go(" and ".join(missing), otherwise="put them on PATH")
    with progress.step(f"compiling {' and '.join(missing)}, once"):
        _compile(settings, go, [TARGETS["kube" if name == "kubectl" else name] for name in missing])
    if "kubectl" in missing:
        (settings.programs / "kubectl").symlink_to("kube")


def compile_pinned(module: Path, target: Path, package: str = ".") -> Path:
    """Compile a program that another module pins, unless it was compiled from the same with this Go before.

    Args:
        module: The folder of its ``go.mod``.
        target: Where the program is to be; beside it is noted what it was compiled from.
        package: What to compile, as ``go build`` takes it in that folder.

    Raises:
        LabError: Go is missing, or the compilation failed.
    """
    go = _go(target.name, module)
    current = key(module, commands.run(go, "version", cwd=module))
    stamp = target.with_name(f"{target.name}.key")
    if target.exists() and stamp.exists() and stamp.read_text() == current:
        return target
    stamp.unlink(missing_ok=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    with progress.step(f"compiling {target.name}, once"):
        _build(go, module, " ".join(SMALL), target, package)
    stamp.write_text(current)
    return target


def source(module: Path, path: str) -> Path:
    """Give the folder of the source of what a module depends on, in the version that it pins.

    Raises:
        LabError: Go is missing, or it cannot be downloaded.
    """
    answer = commands.run(_go(path, module), "mod", "download", "-json", path, cwd=module, timeout=COMPILE_SECONDS)
    return Path(json.loads(answer)["Dir"])


def key(module: Path, go_version: str) -> str:
    """Identify what is compiled: the module's files and Go's version."""
    digest = hashlib.sha256(go_version.encode())
    for path in sorted(module.rglob("*")):
        if path.is_file() and path.suffix in {".go", ".mod", ".sum"}:
            digest.update(f"\0{path.relative_to(module)}\0".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()


def linker_flags(go_mod: str) -> str:
    """Give the flags that leave debug information out and say to clients which Kubernetes this is.

    Raises:
        LabError: The module does not name a version of Kubernetes.
    """
    found = STAMP.search(go_mod)
    if not found:
        raise LabError("tests/cluster/go.mod names no version of k8s.io/kubernetes")
    version = found[0].split()[1]
    values = {"gitVersion": version, "gitMajor": found[1], "gitMinor": found[2], "gitTreeState": "clean"}
    settings = [f"-X {package}.{name}={value}" for package in VERSION_VARIABLES for name, value in values.items()]
    return " ".join([*SMALL, *settings])


def _go(purpose: str, module: Path = MODULE, otherwise: str = "") -> str:
    path = os.pathsep.join((os.environ.get("PATH", ""), GO_FOLDER))
    for folder in path.split(os.pathsep):
        if folder and os.access(Path(folder) / "go", os.X_OK):
            return str(Path(folder) / "go")
    needed = re.search(r"^go (\S+)", (module / "go.mod").read_text(), re.MULTILINE)
    version = needed[1] if needed else ""
    remedies = ", or ".join(filter(None, ("install it from https://go.dev/dl", otherwise)))
    raise LabError(f"Go {version} is needed for {purpose}: {remedies}")


def _compile(settings: Settings, go: str, targets: Iterable[str]) -> None:
    flags = linker_flags((MODULE / "go.mod").read_text())
    _build(go, MODULE, flags, f"{settings.programs}/", *targets)


def _build(go: str, module: Path, linker: str, target: Path | str, *packages: str) -> None:
    commands.run(
        *(go, "build", "-mod=readonly", "-trimpath", "-tags", "grpcnotrace", "-gcflags=all=-dwarf=false"),
        *("-ldflags", linker, "-o", str(target), *packages),
        cwd=module,
        timeout=COMPILE_SECONDS,
        env={**os.environ, "CGO_ENABLED": "0"},
    )

"""Removes everything that the demo made."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from lab import processes

from demo import install, samples
from demo.programs import Programs

if TYPE_CHECKING:
    from demo.console import Console

DELETE_SECONDS = 180.0
LAB_SECONDS = 300.0
GIT_SERVER_SECONDS = 10.0
CRDS = ("mcpagents.toolman.dev", "mcpservers.toolman.dev", "toolpolicies.toolman.dev")


def everything(console: Console, programs: Programs, *, purge: bool) -> None:
    """Remove it all.

    Args:
        console: To show the steps.
        programs: To run them.
        purge: End the lab whoever started it, and remove its downloaded and compiled programs too.
    """
    lab = Programs(programs.environ)  # without what is adopted: it would pass for a person's own choice
    environment = lab.attempt(install.LAB, "env")
    if environment.returncode == 0:
        programs.adopt(environment.stdout)
        _cluster(console, programs)
        _images(console, programs)
    with console.step("End the git server"):
        processes.Processes(install.folder()).stop(install.GIT_SERVER, seconds=GIT_SERVER_SECONDS)
    started = install.folder() / install.STARTED
    parts = started.read_text().split() if started.exists() else []
    shutil.rmtree(install.folder())
    if purge or parts:
        arguments = ["--purge"] if purge else parts
        with console.step(f"End the lab: {' '.join(arguments)} (scripts/lab down)"):
            lab.show(install.LAB, "down", *arguments, seconds=LAB_SECONDS)
    if not purge:
        console.line("What was downloaded and compiled is kept; scripts/demo down --all removes it.")


def _cluster(console: Console, programs: Programs) -> None:
    if programs.attempt("kubectl", "version").returncode:
        console.line("         no cluster answers: nothing to remove there")
        return
    with console.step("Remove the samples, the operator and its resources"):
        if _left(programs):
            # Objects first: while the operator lives, it ends their builds and cleans up behind them.
            files = [f"--filename={path}" for path in sorted(samples.FOLDER.glob("*.yaml"), reverse=True)]
            programs.kubectl("delete", "--ignore-not-found", *files, seconds=DELETE_SECONDS)
        release = ("--namespace", install.OPERATOR_NAMESPACE, "--ignore-not-found", "--wait")
        programs.run("helm", "uninstall", install.RELEASE, *release, seconds=DELETE_SECONDS)
        for namespace in (samples.NAMESPACE, install.OPERATOR_NAMESPACE):
            programs.kubectl("delete", "namespace", namespace, "--ignore-not-found", seconds=DELETE_SECONDS)
        left = _left(programs)
        if left:
            console.line(f"         the CRDs stay: these are not the demo's: {', '.join(left)}")
        else:
            programs.kubectl("delete", "crd", *CRDS, "--ignore-not-found", seconds=DELETE_SECONDS)


def _left(programs: Programs) -> list[str]:
    """Name all objects of our kinds; empty, too, when their CRDs are not there."""
    found = programs.attempt("kubectl", "get", ",".join(CRDS), "--all-namespaces", "-o", "name")
    return found.stdout.split()


def _images(console: Console, programs: Programs) -> None:
    """Remove what the demo built and what the operator built for it."""
    registry = programs.environ["TOOLMAN_REGISTRY"]
    with console.step("Remove the images"):
        for pattern in (f"{registry}/toolman/*:{install.TAG}", f"{registry}/*/{samples.NAMESPACE}/*"):
            found = programs.attempt("docker", "image", "ls", "--quiet", "--filter", f"reference={pattern}")
            if identifiers := sorted(set(found.stdout.split())):
                programs.attempt("docker", "image", "rm", "--force", *identifiers)
        programs.attempt("docker", "image", "prune", "--force", "--filter", f"label={install.LABEL}")

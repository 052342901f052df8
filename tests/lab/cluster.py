"""A one-node Kubernetes cluster of our own: real programs, beside the engine, ended without a trace."""

from __future__ import annotations

import datetime as dt
import os
import shutil
import sys
from typing import TYPE_CHECKING

from lab import control_plane, engine, kernel, node, packages, programs, progress
from lab.api import Api
from lab.errors import LabError
from lab.layout import NODE, Layout
from lab.processes import Processes, poll

if TYPE_CHECKING:
    from pathlib import Path

    from lab.settings import Settings

READY_SECONDS = 120.0
STOP_SECONDS = 5.0
"""The API server waits long for its watchers, all of which are ours."""
KEPT = ("run", "log")
ALL = (*control_plane.NAMES, node.RUNTIME, *node.NAMES)


def running(settings: Settings) -> bool:
    """Say whether anything of a cluster of our own runs, or a Pod of one whose programs died."""
    return bool(_processes(settings).names() or node.has_pods(settings.cache / "cluster"))


def up(settings: Settings, registry: str) -> Path:
    """Start the cluster, or what of it is not running; give the admin's kubeconfig.

    Raises:
        LabError: It cannot run here, or a part of it does not start.
    """
    _check_machine(settings)
    packages.ensure(packages.CLUSTER, "the Kubernetes cluster")
    programs.up(settings)
    layout = _layout(settings, registry)
    processes = _processes(settings)
    if not processes.names():
        down(settings)
        _clear(layout)
        control_plane.certificates(layout)
    with progress.step("starting Kubernetes"):
        _start(settings, layout, processes)
    return layout.admin


def _start(settings: Settings, layout: Layout, processes: Processes) -> None:
    api = Api(layout)
    since = dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    was_running = processes.pid("kubelet") is not None
    if processes.pid(node.RUNTIME) is None:
        node.push_pause_image(settings, layout)
    control_plane.start(layout, processes, api)
    node.start_runtime(layout, processes)
    node.start_dns(layout, processes, api)
    node.start_proxy(layout, processes)
    node.start_kubelet(layout, processes)

    def ready() -> bool:
        status, heard = api.node_condition(NODE) or ("", "")
        return status == "True" and (was_running or heard >= since)

    processes.wait("kubelet", ready, READY_SECONDS)
    node.open_paths()
    for name in ALL:
        processes.wait(name, lambda: True, 0)
    if not poll(lambda: api.get("/api/v1/namespaces/default/serviceaccounts/default") is not None, READY_SECONDS):
        raise LabError(f"{processes.last_line('kube-controller-manager')} (log: {processes.logs})")


def down(settings: Settings) -> None:
    """End the cluster with its Pods and its traces in the kernel."""
    processes = _processes(settings)
    if not running(settings):
        return
    layout = _layout(settings, registry="")
    with progress.step("ending Kubernetes"):
        processes.stop(*node.NAMES, "kube-scheduler", "kube-controller-manager", seconds=STOP_SECONDS)
        node.end_pods(layout, processes)  # nobody starts Pods any more
        processes.stop(node.RUNTIME, "kube-apiserver", seconds=STOP_SECONDS)
        processes.stop("etcd", seconds=STOP_SECONDS)
        node.remove_traces(layout)
        _clear(layout)


def _check_machine(settings: Settings) -> None:
    if sys.platform != "linux" or os.geteuid() != 0:
        raise LabError("no cluster: set TOOLMAN_KUBECONFIG, or install kind, or run as root on Debian 12")
    if settings.docker_host and not settings.docker_host.startswith("unix://"):
        raise LabError("the engine of DOCKER_HOST is on another machine: set TOOLMAN_KUBECONFIG to a cluster beside it")


def _layout(settings: Settings, registry: str) -> Layout:
    state = settings.folder("cluster")
    address = settings.node_address or engine.bridge_address()
    return Layout(state=state, programs=settings.programs, address=address, registry=registry)


def _clear(layout: Layout) -> None:
    """Remove the state of an earlier cluster: each begins new.

    Raises:
        LabError: Something is mounted there, perhaps a folder of this machine that must not be emptied.
    """
    if kernel.mounted_below(layout.state):
        kernel.unmount(layout.state)
    still = kernel.mounted_below(layout.state)
    if still:
        raise LabError(f"{still[0]} is mounted and cannot be unmounted: umount it, then try again")
    for path in layout.state.iterdir():
        if path.name in KEPT:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _processes(settings: Settings) -> Processes:
    return Processes(settings.cache / "cluster")

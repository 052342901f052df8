"""Work in a cluster until told to stop, or until the Lease is lost: the process of ``mcp-operator run``."""

from __future__ import annotations

import asyncio
import faulthandler
import gc
import logging
import os
import signal
import socket
import sys
import threading
import time
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import kopf

from mcp_operator import cluster, handlers, installations, kube, logs, probes, settings
from mcp_operator.admission import serving as webhooks
from mcp_operator.builder import ImageBuilder
from mcp_operator.definitions import Definitions
from mcp_operator.lease import Lease
from mcp_operator.metrics import Metrics
from mcp_operator.probes import Probes
from mcp_operator.readapi import serving
from mcp_operator.runtime import FullBuilder, Runtime
from mcp_operator.watches import INJECTED, OURS, OWNED, Watches

if TYPE_CHECKING:
    from collections.abc import Callable

    from mcp_operator.kube import Kubernetes
    from mcp_operator.settings import Settings

HEALTH_HOST: Final = "0.0.0.0"  # noqa: S104 - the kubelet asks from outside the Pod
SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
BEAT: Final = 1.0
"""Seconds between two signs of life of the loop in which kopf watches."""
SILENT: Final = 60.0
"""Seconds without one after which it is taken to hang for good."""
GARBAGE: Final = 10_000
"""Containers made and not freed until cycles are looked for: an answer of the API server is a few hundred of them. What
was imported, nearly all that there is, is never looked at again."""
EXIT_USAGE: Final = 2
EXIT_FAILED: Final = 1
EXIT_LEASE_LOST: Final = 3

logger = logging.getLogger("mcp_operator")


def run(health_port: int, make_builder: Callable[[Settings], FullBuilder] = ImageBuilder) -> int:
    """Serve a cluster; give the exit code.

    Args:
        health_port: Where the kubelet asks whether we live, and Prometheus for metrics.
        make_builder: Gives what builds images.
    """
    faulthandler.enable()  # what takes the interpreter down itself is told, too, of every thread
    metrics = Metrics()
    try:
        chosen = settings.from_environment()
        logs.configure(chosen.log_level, chosen.log_format)
        api = kube.connect(chosen.watch_namespaces, metrics)
    except (settings.SettingsError, ValueError, cluster.ClusterError) as error:
        sys.stderr.write(f"mcp-operator: {error}\n")
        return EXIT_USAGE
    if problem := installations.refusal(api, chosen.namespace):
        sys.stderr.write(f"mcp-operator: {problem}\n")
        return EXIT_FAILED
    stop = threading.Event()
    for number in SIGNALS:
        signal.signal(number, lambda *_: stop.set())
    asked = Probes(metrics)
    try:
        with (
            probes.answering(HEALTH_HOST, health_port, asked),
            serving.answering(chosen, api),
            webhooks.answering(chosen, api),
        ):
            return _lead(chosen, api, metrics, asked, make_builder, stop)
    except OSError as error:
        sys.stderr.write(f"mcp-operator: cannot listen for probes, readers or webhooks: {error}\n")
        return EXIT_FAILED


def _lead(
    chosen: Settings,
    api: Kubernetes,
    metrics: Metrics,
    asked: Probes,
    make_builder: Callable[[Settings], FullBuilder],
    stop: threading.Event,
) -> int:
    """Wait for the Lease, and work while it is ours."""
    host = f"{socket.gethostname()}_"
    # Of first processes of a container there is only one at a time.
    place = f"{host}{chosen.pod}_" if chosen.pod and os.getpid() == 1 else ""
    lease = Lease(api, chosen.namespace, f"{place or host}{uuid.uuid4()}", place=place)
    metrics.leader.set(0)
    if not lease.acquire(stop):
        return 0
    # At once, without finishing anything: another operator may be at work already.
    lease.keep(lost=lambda: os._exit(EXIT_LEASE_LOST))
    metrics.leader.set(1)
    logger.info("the lease is ours")
    definitions = Definitions(api)
    asked.ready_while(definitions.missing)
    try:
        if not definitions.wait(stop):
            return 0
        chosen = replace(chosen, installation=chosen.installation or api.identity())
        runtime = Runtime(chosen, api, make_builder(chosen), metrics)
        watched = (*OURS, *OWNED, *(INJECTED if chosen.webhook_port else ()))
        put, namespaces = runtime.queue.add, chosen.watch_namespaces
        watches = Watches(api.requests, put, namespaces, metrics, watched, runtime.own)
        return _work(_Parts(runtime, watches, chosen), asked, stop)
    except cluster.ClusterError as error:
        logger.error("the cluster cannot be told from others: %s", error)  # noqa: TRY400 - no bug, no trace
        return EXIT_FAILED
    finally:
        lease.release()


class _Parts:
    """What works while the Lease is ours."""

    def __init__(self, runtime: Runtime, watches: Watches, chosen: Settings) -> None:
        self.runtime = runtime
        self.watches = watches
        self.namespaces = chosen.watch_namespaces
        self._beat = time.monotonic()

    def hangs(self) -> str:
        """Say whether the loop in which kopf watches hangs."""
        return "the loop that watches hangs" if time.monotonic() - self._beat > SILENT else ""

    async def beat(self, stop: asyncio.Event) -> None:
        """Give signs of life until cancelled; have all end where another installation was put over this one."""
        while True:
            self._beat = time.monotonic()
            if problem := self.runtime.rival():
                logger.critical("%s", problem)
                stop.set()
                return
            await asyncio.sleep(BEAT)


def _work(parts: _Parts, asked: Probes, stop: threading.Event) -> int:
    for check in (parts.runtime.stuck, parts.watches.dead, parts.hangs):
        asked.alive_while(check)
    asked.ready_while(parts.watches.behind)
    gc.freeze()
    gc.set_threshold(GARBAGE)
    parts.runtime.start()
    parts.watches.start()
    try:
        asyncio.run(_watch(parts, stop))
    except Exception:  # whatever ends kopf ends us: the Pod's restart is the way back
        logger.exception("watching ended")
        return EXIT_FAILED
    finally:
        logger.info("stopping")
        parts.watches.stop()
        parts.runtime.stop()
    return 0


async def _watch(parts: _Parts, stop: threading.Event) -> None:
    """Run kopf until a signal comes; also one that comes before kopf listens for it."""
    flag = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in SIGNALS:
        signal.signal(number, lambda *_: loop.call_soon_threadsafe(flag.set))
    if stop.is_set():
        return
    beating = asyncio.create_task(parts.beat(flag))
    try:
        await kopf.operator(
            registry=handlers.registry(
                parts.runtime.queue.add, parts.runtime.metrics, parts.namespaces, parts.runtime.own
            ),
            standalone=True,
            clusterwide=not parts.namespaces,
            namespaces=parts.namespaces,
            stop_flag=flag,
        )
    finally:
        beating.cancel()

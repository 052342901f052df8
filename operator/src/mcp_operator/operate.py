"""Work in a cluster until told to stop, or until the Lease is lost: the process of ``mcp-operator run``."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
import threading
import uuid
from dataclasses import replace
from typing import Final

import kopf

from mcp_operator import cluster, handlers, kube, settings, standby
from mcp_operator.builder import ImageBuilder
from mcp_operator.lease import Lease
from mcp_operator.runtime import Runtime

HEALTH_HOST: Final = "0.0.0.0"  # noqa: S104 - the kubelet asks from outside the Pod
SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
EXIT_USAGE: Final = 2
EXIT_FAILED: Final = 1
EXIT_LEASE_LOST: Final = 3

logger = logging.getLogger("mcp_operator")


def run(health_port: int) -> int:
    """Serve a cluster; give the exit code.

    Args:
        health_port: Where the kubelet asks whether we live.
    """
    try:
        chosen = settings.from_environment()
        _configure_logging(chosen.log_level)
    except (settings.SettingsError, ValueError) as error:
        sys.stderr.write(f"mcp-operator: {error}\n")
        return EXIT_USAGE
    try:
        api = kube.connect()
    except cluster.ClusterError as error:
        sys.stderr.write(f"mcp-operator: {error}\n")
        return EXIT_USAGE
    lease = Lease(api, chosen.namespace, f"{socket.gethostname()}_{uuid.uuid4()}")
    stop = threading.Event()
    for number in SIGNALS:
        signal.signal(number, lambda *_: stop.set())
    try:
        with standby.answering(HEALTH_HOST, health_port):
            if not lease.acquire(stop):
                return 0
    except OSError as error:
        sys.stderr.write(f"mcp-operator: cannot listen for liveness probes: {error}\n")
        return EXIT_FAILED
    # At once, without finishing anything: another operator may be at work already.
    lease.keep(lost=lambda: os._exit(EXIT_LEASE_LOST))
    logger.info("the lease is ours")
    try:
        chosen = replace(chosen, installation=chosen.installation or api.identity())
        return _work(Runtime(chosen, api, ImageBuilder(chosen)), health_port, stop)
    except cluster.ClusterError as error:
        logger.error("the cluster cannot be told from others: %s", error)  # noqa: TRY400 - no bug, no trace
        return EXIT_FAILED
    finally:
        lease.release()


def _work(runtime: Runtime, health_port: int, stop: threading.Event) -> int:
    runtime.start()
    try:
        asyncio.run(_watch(runtime, health_port, stop))
    except Exception:  # whatever ends kopf ends us: the Pod's restart is the way back
        logger.exception("watching ended")
        return EXIT_FAILED
    finally:
        logger.info("stopping")
        runtime.stop()
    return 0


async def _watch(runtime: Runtime, health_port: int, stop: threading.Event) -> None:
    """Run kopf until a signal comes; also one that comes before kopf listens for it."""
    flag = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in SIGNALS:
        signal.signal(number, lambda *_: loop.call_soon_threadsafe(flag.set))
    if stop.is_set():
        return
    await kopf.operator(
        registry=handlers.registry(runtime.queue.add),
        standalone=True,
        clusterwide=True,
        liveness_endpoint=f"http://{HEALTH_HOST}:{health_port}/healthz",
        stop_flag=flag,
    )


def _configure_logging(level: str) -> None:
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    # One line for every event of every object says nothing that our own lines do not say better.
    for name in ("kopf.objects", "kopf._core", "aiohttp", "urllib3", "docker"):
        logging.getLogger(name).setLevel(logging.WARNING)

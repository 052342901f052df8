"""The node of our own cluster: containerd with a network for Pods, cluster DNS, kube-proxy, kubelet."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab import commands, kernel, packages
from lab import layout as places
from lab.engine import docker
from lab.processes import end, using

if TYPE_CHECKING:
    import subprocess

    from lab.api import Api
    from lab.layout import Layout
    from lab.processes import Processes
    from lab.settings import Settings

NAMES = ("kubelet", "kube-proxy", "dns")
RUNTIME = "containerd"
START_SECONDS = 60.0
CNI_PROGRAMS = "/usr/lib/cni"
CHAINS = ("CNI-", "KUBE-")
CNI_STATE = Path("/var/lib/cni")
KUBELET_STATE = Path("/var/lib/kubelet")
"""Both programs write here a little, whatever their settings say."""
POD_NETWORK_NAME = "toolman-lab"
LEFT_BEHIND_SECONDS = 5.0
SHIMS = ("containerd-shim-runc-v2",)
"""The parents of Pods' containers; they outlive containerd."""
EXEMPT_CHAIN = "DOCKER-USER"
"""The engine forbids forwarding between its networks and others, but for what this chain accepts."""

CONTAINERD = """\
version = 2
root = "{state}/containerd/root"
state = "{state}/containerd/state"
[grpc]
  address = "{socket}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  # machines without CAP_SYS_RESOURCE may not lower a score
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{cni}"
    conf_dir = "{state}/containerd/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
    SystemdCgroup = false
"""

COREFILE = """\
.:53 {{
  bind {address}
  errors
  kubernetes {domain} in-addr.arpa ip6.arpa {{
    kubeconfig {kubeconfig} toolman-lab
    pods insecure
    ttl 5
  }}
  forward . /etc/resolv.conf
  cache 5
}}
"""


def start_runtime(layout: Layout, processes: Processes) -> None:
    """Start containerd: one of our own, with the interface that the kubelet speaks and its own images."""
    text = CONTAINERD.format(
        state=layout.state, socket=layout.runtime_socket, pause=layout.pause_image, cni=CNI_PROGRAMS
    )
    config = layout.write("containerd/config.toml", text)
    layout.write("containerd/cni/10-bridge.conflist", json.dumps(_pod_network(layout)))
    program = packages.which("containerd") or "containerd"
    processes.start(RUNTIME, program, "--config", str(config))
    processes.wait(RUNTIME, lambda: _containers(layout, "version").returncode == 0, START_SECONDS)


def push_pause_image(settings: Settings, layout: Layout) -> None:
    """Put the image of the Pods' sandboxes into the registry, from which containerd pulls it."""
    file = 'FROM scratch\nADD pause /pause\nUSER 65535:65535\nENTRYPOINT ["/pause"]\n'
    context = settings.folder("pause")
    (context / "pause").unlink(missing_ok=True)
    (context / "pause").hardlink_to(layout.program("pause"))
    (context / "Dockerfile").write_text(file)
    docker("build", "-q", "-t", layout.pause_image, str(context))
    docker("push", "-q", layout.pause_image)


def remove_pause_image() -> None:
    """Remove that image from the engine."""
    found = commands.attempt("docker", "image", "ls", "-q", "--filter", "reference=*/lab/pause:1").stdout.split()
    if found:
        commands.attempt("docker", "rmi", "--force", *found)


def start_dns(layout: Layout, processes: Processes, api: Api) -> None:
    """Start CoreDNS on the node's address."""
    reads = [
        {"apiGroups": [""], "resources": ["endpoints", "services", "pods", "namespaces"], "verbs": ["list", "watch"]},
        {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
    ]
    group = "rbac.authorization.k8s.io"
    prefix = f"/apis/{group}/v1"
    api.create(f"{prefix}/clusterroles", {"metadata": {"name": "lab-dns"}, "rules": reads})
    binding = {
        "metadata": {"name": "lab-dns"},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "lab-dns"},
        "subjects": [{"apiGroup": group, "kind": "User", "name": "lab-dns"}],
    }
    api.create(f"{prefix}/clusterrolebindings", binding)
    config = layout.kubeconfig("dns")
    text = COREFILE.format(address=layout.address, domain=places.DNS_DOMAIN, kubeconfig=config)
    corefile = layout.write("Corefile", text)
    processes.start("dns", layout.program("dns"), "-conf", str(corefile))


def start_proxy(layout: Layout, processes: Processes) -> None:
    """Start kube-proxy, which gives Services their addresses."""
    nothing = {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"}
    configuration = {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "iptables",
        "clientConnection": {"kubeconfig": layout.kubeconfig("kube-proxy")},
        "clusterCIDR": places.POD_NETWORK,
        "hostnameOverride": places.NODE,
        "bindAddress": layout.address,
        "conntrack": nothing,
        "iptables": {"minSyncPeriod": "100ms", "syncPeriod": "30s"},
        "oomScoreAdj": 0,
    }
    path = layout.write("kube-proxy.yaml", json.dumps(configuration))
    processes.start("kube-proxy", layout.program("kube-proxy"), "--config", str(path))


def start_kubelet(layout: Layout, processes: Processes) -> None:
    """Start the kubelet."""
    path = layout.write("kubelet.yaml", json.dumps(_kubelet(layout)))
    processes.start(
        "kubelet",
        layout.program("kubelet"),
        *("--config", str(path), "--kubeconfig", layout.kubeconfig("kubelet")),
        *("--root-dir", str(layout.state / "kubelet"), "--cert-dir", str(layout.authority.folder)),
        *("--hostname-override", places.NODE, "--node-ip", layout.address),
    )


def open_paths() -> None:
    """Let containers of the engine and Pods reach each other, where the engine guards the way."""
    for rule in _exemptions():
        if not commands.succeeds("iptables", "-w", "-C", EXEMPT_CHAIN, *rule):
            commands.attempt("iptables", "-w", "-I", EXEMPT_CHAIN, *rule)


def has_pods(state: Path) -> bool:
    """Say whether containers of a cluster with this state run."""
    return bool(using(state, SHIMS))


def end_pods(layout: Layout, processes: Processes) -> None:
    """End what containerd runs. Its shims end with their tasks."""
    if not has_pods(layout.state):
        return
    start_runtime(layout, processes)  # only it can end containers, so if it died it is needed once more
    tasks = _containers(layout, "tasks", "ls", "-q").stdout.split()
    for task in tasks:
        _containers(layout, "tasks", "rm", "-f", task)
    containers = _containers(layout, "containers", "ls", "-q").stdout.split()
    if containers:
        _containers(layout, "containers", "rm", *containers)
    end(layout.state, SHIMS, LEFT_BEHIND_SECONDS)


def remove_traces(layout: Layout) -> None:
    """Remove what the node left in the kernel, once nothing of it runs."""
    kernel.unmount(layout.state)
    kernel.remove_cgroups("kubepods")
    kernel.remove_link(places.BRIDGE)
    commands.attempt(layout.program("kube-proxy"), "--cleanup")
    kernel.remove_chains(CHAINS)
    for rule in _exemptions():
        commands.attempt("iptables", "-w", "-D", EXEMPT_CHAIN, *rule)
    for result in (CNI_STATE / "results").glob(f"{POD_NETWORK_NAME}-*"):
        result.unlink()
    for folder in (KUBELET_STATE / "device-plugins", KUBELET_STATE, CNI_STATE / "results", CNI_STATE):
        with contextlib.suppress(OSError):  # not there, or somebody else's things are in it
            folder.rmdir()


def _exemptions() -> list[tuple[str, ...]]:
    # Not to a Service's own address: what gets so far is for one without Pods, which kube-proxy refuses further on.
    towards = ("-s", places.POD_NETWORK, "!", "-d", places.SERVICE_NETWORK, "-j", "ACCEPT")
    return [towards, ("-d", places.POD_NETWORK, "-j", "ACCEPT")]


def _containers(layout: Layout, *argv: str) -> subprocess.CompletedProcess[str]:
    return commands.attempt("ctr", "--address", str(layout.runtime_socket), "--namespace", "k8s.io", *argv)


def _pod_network(layout: Layout) -> dict[str, Any]:
    addresses = {
        "type": "host-local",
        "dataDir": str(layout.state / "containerd/addresses"),
        "ranges": [[{"subnet": places.POD_NETWORK}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    bridge = {"type": "bridge", "bridge": places.BRIDGE, "isGateway": True, "ipMasq": True, "hairpinMode": True}
    ports = {"type": "portmap", "capabilities": {"portMappings": True}}
    plugins = [{**bridge, "ipam": addresses}, ports, {"type": "firewall"}]
    return {"cniVersion": "1.0.0", "name": POD_NETWORK_NAME, "plugins": plugins}


def _kubelet(layout: Layout) -> dict[str, Any]:
    pki = layout.authority.folder
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": layout.address,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": f"{pki}/ca.crt"},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": f"{pki}/kubelet-server.crt",
        "tlsPrivateKeyFile": f"{pki}/kubelet-server.key",
        "containerRuntimeEndpoint": f"unix://{layout.runtime_socket}",
        # without systemd, and also where cgroups are still of the first version
        "cgroupDriver": "cgroupfs",
        "failCgroupV1": False,
        "enforceNodeAllocatable": [],
        "failSwapOn": False,
        "oomScoreAdj": 0,
        "clusterDNS": [layout.address],
        "clusterDomain": places.DNS_DOMAIN,
        "resolvConf": "/etc/resolv.conf",
        "podLogsDir": str(layout.state / "pod-logs"),
        "volumePluginDir": str(layout.state / "volume-plugins"),
        "configMapAndSecretChangeDetectionStrategy": "Watch",
        "syncFrequency": "5s",
        "nodeStatusUpdateFrequency": "5s",
        "serializeImagePulls": False,
        "registryPullQPS": 0,
        "eventRecordQPS": 0,
        "maxPods": 200,
        "imageGCHighThresholdPercent": 100,
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "500Mi", "imagefs.available": "500Mi"},
    }

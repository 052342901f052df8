"""An ssh server as hosts run it: one key may log in, as the user of the tests, on a port of its own."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import ports

if TYPE_CHECKING:
    from collections.abc import Iterator

SECONDS = 20
"""For the server to listen; it takes a fraction of one."""
SERVER = shutil.which("sshd", path=os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin")))


@dataclass(frozen=True, kw_only=True)
class SshServer:
    """A running server.

    Attributes:
        root: Folder with the repositories.
        port: Where it listens.
        key: The private key that may log in.
        known_hosts: The server's line of a ``known_hosts`` file.
    """

    root: Path
    port: int
    key: str
    known_hosts: str

    def url(self, repository: str) -> str:
        """Give the URL of a repository by its path below the root."""
        return f"ssh://{getpass.getuser()}@127.0.0.1:{self.port}{self.root}/{repository}"


@contextmanager
def serving(root: Path, folder: Path) -> Iterator[SshServer]:
    """Serve the repositories below ``root``; keys and configuration go into ``folder``."""
    assert SERVER is not None, "sshd is not installed: apt-get install openssh-server"
    folder.mkdir()
    for name in ("host", "user"):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
        subprocess.run(command, check=True, timeout=SECONDS)
    port = ports.free()
    configuration = folder / "sshd_config"
    configuration.write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/user.pub\n"
        "PidFile none\nStrictModes no\nUsePAM no\nPasswordAuthentication no\nPermitRootLogin prohibit-password\n"
        "KbdInteractiveAuthentication no\n",
    )
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # where it locks itself in before anybody has logged in
    with subprocess.Popen([SERVER, "-D", "-e", "-f", configuration], stderr=subprocess.DEVNULL) as process:
        try:
            _await(port, process)
            host = (folder / "host.pub").read_text().split()
            yield SshServer(
                root=root,
                port=port,
                key=(folder / "user").read_text(),
                known_hosts=f"[127.0.0.1]:{port} {host[0]} {host[1]}\n",
            )
        finally:
            process.terminate()
            process.wait(SECONDS)


def _await(port: int, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        assert process.poll() is None, f"sshd ended with status {process.returncode}"
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise TimeoutError("sshd does not listen")

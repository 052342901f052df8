"""The cluster's certificates: one authority, a certificate for each component, and their kubeconfigs."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

from lab import commands

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

DAYS = 365
CURVE = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
ADMINS = "system:masters"

CONFIGURATION = "[req]\ndistinguished_name = name\n[name]\n"
"""Without it OpenSSL would add the distribution's extensions, among them the right to sign."""


class Authority:
    """A certificate authority whose files are in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.certificate = folder / "ca.crt"
        self._configuration = folder / "openssl.cnf"

    def __repr__(self) -> str:
        return f"Authority({str(self.folder)!r})"

    def create(self) -> None:
        """Make the authority, and the key pair that signs service accounts' tokens."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o700)
        self._configuration.write_text(CONFIGURATION)
        uses = ("basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign,cRLSign")
        self._request("ca", "/CN=toolman-lab", uses)
        private = self.folder / "sa.key"
        commands.run("openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", str(private))
        commands.run("openssl", "ec", "-in", str(private), "-pubout", "-out", str(self.folder / "sa.pub"))

    def server(self, name: str, subject: str, hosts: Sequence[str]) -> None:
        """Make a server's certificate; ``hosts`` as ``DNS:name`` and ``IP:address``."""
        self._issue(name, subject, ("extendedKeyUsage=serverAuth", f"subjectAltName={','.join(hosts)}"))

    def client(self, name: str, user: str, group: str = "") -> None:
        """Make a client's certificate."""
        subject = f"/O={group}/CN={user}" if group else f"/CN={user}"
        self._issue(name, subject, ("extendedKeyUsage=clientAuth",))

    def kubeconfig(self, name: str, server: str) -> str:
        """Write down how a client reaches the API server, as JSON (which is YAML), complete in itself."""
        user = {
            "client-certificate-data": _base64(self.folder / f"{name}.crt"),
            "client-key-data": _base64(self.folder / f"{name}.key"),
        }
        cluster = {"server": server, "certificate-authority-data": _base64(self.certificate)}
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "toolman-lab",
            "contexts": [{"name": "toolman-lab", "context": {"cluster": "toolman-lab", "user": name}}],
            "clusters": [{"name": "toolman-lab", "cluster": cluster}],
            "users": [{"name": name, "user": user}],
        }
        return json.dumps(document, indent=1)

    def _issue(self, name: str, subject: str, extensions: Sequence[str]) -> None:
        signer = ("-CA", str(self.certificate), "-CAkey", str(self.folder / "ca.key"))
        self._request(name, subject, extensions, *signer)

    def _request(self, name: str, subject: str, extensions: Sequence[str], *signer: str) -> None:
        additions = [word for extension in extensions for word in ("-addext", extension)]
        commands.run(
            *("openssl", "req", "-x509", *CURVE, "-days", str(DAYS), "-config", str(self._configuration)),
            *("-subj", subject, *additions, *signer),
            *("-keyout", str(self.folder / f"{name}.key"), "-out", str(self.folder / f"{name}.crt")),
        )


def _base64(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()

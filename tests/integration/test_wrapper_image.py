"""The image of mcp-wrapper: as a bridge of its own, and installed into images that know nothing of it."""

from __future__ import annotations

import contextlib
import json
import ssl
import subprocess
import uuid
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from lab.pki import Authority
from mcp_operator import names
from scripted_server import SERVER_INFO, Request, Server, handshake, serving
from wrapper_harness import INITIALIZE, INITIALIZED

from mcp_wrapper import client_config

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

    from lab.environment import Environment

pytestmark = [pytest.mark.integration, pytest.mark.requirement("F-06", "W-07")]

ROOT = Path(__file__).parents[2]
LABEL = "toolman.dev/project=toolman"
MEGABYTE = 1_000_000
BIG = "x" * 3 * MEGABYTE
OUR_BUSYBOX = "/opt/mcp-wrapper/bin/busybox"
HARDENED = ("--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges")
HOSTILE = {
    "ENV": "/etc/passwd",
    "IFS": "/",
    "PATH": "",
    "PYTHONPATH": "/usr/lib/python3",
    "PYTHONHOME": "/nowhere",
    "PYTHONSTARTUP": "/etc/passwd",
    "PYTHONHASHSEED": "not a number",
    "PYTHONVERBOSE": "1",
    "PYTHONINSPECT": "1",
    "PYTHONPLATLIBDIR": "nowhere",
    "PYTHONMALLOC": "nonsense",
    "LD_PRELOAD": "/nowhere/evil.so",
    "LD_LIBRARY_PATH": "/lib:/usr/lib:/usr/local/lib",
    "LD_DEBUG": "libs",
    "LD_TRACE_LOADED_OBJECTS": "1",
    "GLIBC_TUNABLES": "nonsense",
    "LC_ALL": "xx_YY.UTF-8",
    "OPENSSL_CONF": "/etc/passwd",
    "OPENSSL_MODULES": "/nowhere",
    "HOME": "/nowhere",
    "TMPDIR": "/nowhere",
}
LIST = {"jsonrpc": "2.0", "id": "t", "method": "tools/list"}
LINES = b"".join(json.dumps(message).encode() + b"\n" for message in (INITIALIZE, INITIALIZED, LIST))


def docker(*words: str, data: bytes | None = None) -> bytes:
    """Run docker with ``data`` on its standard input; nothing but an answer may come of it."""
    done = subprocess.run(["docker", *words], input=data, capture_output=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    return done.stdout


def build(folder: Path, *words: str) -> str:
    tag = f"mcp-wrapper-test:{uuid.uuid4().hex[:12]}"
    docker("build", "--quiet", "--force-rm", "--label", LABEL, "--tag", tag, *words, str(folder))
    return tag


def ordinary(request: Request) -> None:
    if not handshake(request):
        request.result({"tools": [{"name": "found", "description": BIG, "inputSchema": {"type": "object"}}]})


class Encrypted(Server):
    """A server with a certificate of an authority of its own."""

    def __init__(self, folder: Path) -> None:
        self.authority = Authority(folder)
        self.authority.create()
        self.authority.server("server", "/CN=toolman", ["DNS:localhost"])
        super().__init__(ordinary)

    def _listen(self, port: int) -> socket.socket:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.authority.folder / "server.crt", self.authority.folder / "server.key")
        return context.wrap_socket(super()._listen(port), server_side=True)

    @property
    def url(self) -> str:
        return super().url.replace("http:", "https:")


@pytest.fixture(scope="module", name="image")
def fixture_image(lab: Environment) -> Iterator[str]:
    tag = build(ROOT, "--file", str(ROOT / "Dockerfile.mcp-wrapper"), "--build-arg", f"BASE_DEBIAN={lab.base_debian}")
    yield tag
    docker("image", "rm", "--force", tag)


@pytest.fixture(scope="module", name="volume")
def fixture_volume(image: str) -> Iterator[str]:
    """Install into a volume that everybody may write, as an emptyDir is, as a user that no image knows."""
    volume = docker("volume", "create", "--label", LABEL).decode().strip()
    mount = ("--volume", f"{volume}:{names.INSTALL_PATH}")
    try:
        docker("run", "--rm", "--user", "0", *mount, "--entrypoint", OUR_BUSYBOX, image, "chmod", "777", "/mcp")
        docker("run", "--rm", *HARDENED, "--user", "1234:4321", *mount, image, "install", names.INSTALL_PATH)
        yield volume
    finally:
        docker("volume", "rm", "--force", volume)


BUSYBOX = """
FROM scratch
COPY busybox /bin/busybox
"""
NOTHING = """
FROM scratch
COPY note /note
"""
MUSL = """
FROM {debian} AS packages
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends musl > /dev/null \
    && mkdir /musl && cp /lib/ld-musl-*.so.1 /musl && cp /musl/* /musl/libc.so.6
FROM scratch
COPY --from=packages /musl /lib
COPY note /etc/ld.so.preload
"""
"""Has another libc than ours, even under the name of ours, and wants a library in every process."""
PRELOADING = """
FROM {debian}
COPY note /etc/ld.so.preload
"""


@pytest.fixture(scope="module", name="made")
def fixture_made(image: str, lab: Environment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Give images that nobody made for the wrapper, by name."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "busybox").write_bytes(docker("run", "--rm", "--entrypoint", OUR_BUSYBOX, image, "cat", OUR_BUSYBOX))
    (folder / "busybox").chmod(0o755)
    (folder / "note").write_text("/lib/no-program-here.so")
    texts = {"busybox": BUSYBOX, "nothing": NOTHING, "musl": MUSL, "preloading": PRELOADING}
    tags: dict[str, str] = {}
    try:
        for name, text in texts.items():
            (folder / "Dockerfile").write_text(text.format(debian=lab.base_debian))
            tags[name] = build(folder)
        yield {"debian": lab.base_debian, "python": lab.base_python, "node": lab.base_node, **tags}
    finally:
        if tags:
            docker("image", "rm", "--force", *tags.values())


def bridges(*words: str, server: Server | None = None) -> None:
    """See that a container bridges, also what is big, says nothing besides, and ends as it should.

    Args:
        words: What ``docker run`` is told besides; the server's URL follows.
        server: Another one than an ordinary one.
    """
    with contextlib.closing(server or Server(ordinary)) as asked:
        done = subprocess.run(
            ["docker", "run", "--rm", "--interactive", "--network", "host", *words, "--url", asked.url],
            input=LINES,
            capture_output=True,
            check=False,
            timeout=120,
        )
        assert (done.returncode, done.stderr) == (0, b"")
        first, second = map(json.loads, done.stdout.splitlines())
        assert (first["id"], first["result"]["serverInfo"]) == (0, SERVER_INFO)
        assert (second["id"], second["result"]["tools"][0]["description"]) == ("t", BIG)
        assert asked.asked()[-1] == "DELETE"


@pytest.mark.parametrize("variables", [{}, HOSTILE], ids=["", "hostile"])
@pytest.mark.parametrize("name", ["busybox", "nothing", "musl", "preloading", "debian", "python", "node"])
def test_the_installed_folder_bridges_in_any_image(
    name: str, variables: dict[str, str], volume: str, made: dict[str, str]
) -> None:
    flags = [word for key, value in variables.items() for word in ("--env", f"{key}={value}")]
    mount = ("--volume", f"{volume}:{names.INSTALL_PATH}:ro")
    bridges(*HARDENED, "--user", "4242:4242", *flags, *mount, "--entrypoint", names.WRAPPER_PATH, made[name])


def test_it_needs_no_file_of_the_system_neither_proc_nor_dev_nor_tmp(volume: str, image: str) -> None:
    jail = ("--volume", f"{volume}:/jail{names.INSTALL_PATH}:ro", "--entrypoint", OUR_BUSYBOX)
    bridges(*jail, "--user", "0", image, "chroot", "/jail", names.WRAPPER_PATH)


def test_it_speaks_https_and_trusts_whom_it_is_told_to(volume: str, made: dict[str, str], tmp_path: Path) -> None:
    server = Encrypted(tmp_path / "pki")
    trust = ("--volume", f"{server.authority.certificate}:/ca.crt:ro", "--env", "SSL_CERT_FILE=/ca.crt")
    mount = ("--volume", f"{volume}:{names.INSTALL_PATH}:ro", "--entrypoint", names.WRAPPER_PATH)
    bridges(*HARDENED, "--user", "4242", *trust, *mount, made["nothing"], server=server)


def test_it_tells_nothing_to_an_https_server_that_it_has_no_reason_to_trust(image: str, tmp_path: Path) -> None:
    with contextlib.closing(Encrypted(tmp_path / "pki")) as server:
        run = ("run", "--rm", "--interactive", "--network", "host", *HARDENED, image, "--url", server.url)
        answers = [json.loads(line) for line in docker(*run, data=LINES).splitlines()]
        assert [answer["id"] for answer in answers] == [0, "t"]
        assert "SSL_CERT_FILE" in answers[0]["error"]["message"]
        assert server.asked() == []


def test_the_image_itself_bridges(image: str) -> None:
    with serving(ordinary) as server:
        environment = ("--env", f"MCP_TOOLMAN_SERVER_URL={server.url}")
        answers = docker(
            "run", "--rm", "--interactive", "--network", "host", *HARDENED, *environment, image, data=LINES
        )
    assert [json.loads(line)["id"] for line in answers.splitlines()] == [0, "t"]


def test_what_is_installed_can_be_read_by_all_and_changed_by_none_but_its_owner(volume: str, image: str) -> None:
    def find(*words: str) -> list[str]:
        mount = ("--volume", f"{volume}:/mcp:ro")
        listed = docker(
            "run", "--rm", *mount, "--entrypoint", OUR_BUSYBOX, image, "find", "/mcp", "-mindepth", "1", *words
        )
        return listed.decode().split()

    assert find("-perm", "/022") == []
    assert find("!", "-perm", "-004") == []
    assert find("!", "-user", "1234") == []
    assert {names.WRAPPER_PATH, names.BUSYBOX_PATH, names.SPAWNER_PATH} <= set(find("-type", "f"))
    assert {names.WRAPPER_PATH, names.BUSYBOX_PATH} <= set(find("-perm", "755", "-type", "f"))


def test_installing_again_changes_nothing(volume: str, image: str) -> None:
    mount = ("--volume", f"{volume}:{names.INSTALL_PATH}")
    listing = (
        "run",
        "--rm",
        *mount,
        "--entrypoint",
        OUR_BUSYBOX,
        image,
        "ls",
        "-lRi",
        "--full-time",
        names.INSTALL_PATH,
    )
    # Names mean the same in both, as in one Pod.
    pod = ("--hostname", "pod", "--network", "none", *HARDENED, "--user", "1234:4321")
    install = ("run", "--rm", *pod, *mount, image, "install", names.INSTALL_PATH)
    docker(*install)
    before = docker(*listing)
    docker(*install)
    assert docker(*listing) == before


def test_the_spawner_that_is_installed_is_one_that_our_busybox_understands(volume: str, image: str) -> None:
    mount = ("--volume", f"{volume}:{names.INSTALL_PATH}:ro")
    docker("run", "--rm", *mount, "--entrypoint", names.BUSYBOX_PATH, image, "sh", "-n", names.SPAWNER_PATH)


@pytest.mark.requirement("W-08")
def test_every_clients_configuration_is_installed_and_names_the_installed_wrapper(volume: str, image: str) -> None:
    def run(entrypoint: str, *words: str) -> str:
        mount = ("--volume", f"{volume}:{names.INSTALL_PATH}:ro", "--user", "4242")
        return docker("run", "--rm", *HARDENED, *mount, "--entrypoint", entrypoint, image, *words).decode()

    for client, name in client_config.FILES.items():
        installed = run(names.BUSYBOX_PATH, "cat", f"{names.INSTALL_PATH}/config/{name}")
        assert names.WRAPPER_PATH in installed
        assert run(names.WRAPPER_PATH, "config", client) == installed


def test_a_volume_that_may_not_be_written_is_one_clear_line(image: str) -> None:
    volume = docker("volume", "create", "--label", LABEL).decode().strip()
    try:
        done = subprocess.run(
            ["docker", "run", "--rm", "--volume", f"{volume}:/mcp:ro", image, "install", "/mcp"],
            capture_output=True,
            check=False,
            timeout=120,
        )
        assert (done.returncode, done.stderr) == (1, b"mcp-wrapper: /mcp/lib: read-only file system\n")
    finally:
        docker("volume", "rm", "--force", volume)


def test_the_image_is_small_and_runs_as_nobody_in_particular(image: str) -> None:
    assert int(docker("image", "inspect", "--format", "{{.Size}}", image)) <= 20 * MEGABYTE
    assert docker("image", "inspect", "--format", "{{.Config.User}}", image) == b"65532:65532\n"
    assert len(zlib.compress(docker("image", "save", image), 6)) <= 8 * MEGABYTE

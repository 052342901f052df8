"""The image of mcp-wrapper: as a bridge of its own, and installed into images that know nothing of it."""

from __future__ import annotations

import json
import subprocess
import uuid
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from mcp_operator import names
from wrapper_harness import INITIALIZE, INITIALIZED, Request, handshake, serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lab.environment import Environment

pytestmark = [pytest.mark.integration, pytest.mark.requirement("F-06")]

ROOT = Path(__file__).parents[2]
LABEL = "toolman.dev/project=toolman"
MEGABYTE = 1_000_000
OUR_BUSYBOX = "/opt/mcp-wrapper/bin/busybox"
HARDENED = ("--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--network", "host")
HOSTILE = {
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
        request.result({"tools": [{"name": "found", "inputSchema": {"type": "object"}}]})


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


@pytest.fixture(scope="module", name="bare")
def fixture_bare(image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], str]]:
    """Give images of a busybox alone, and of no program at all."""
    folder = tmp_path_factory.mktemp("bare")
    (folder / "busybox").write_bytes(docker("run", "--rm", "--entrypoint", OUR_BUSYBOX, image, "cat", OUR_BUSYBOX))
    (folder / "busybox").chmod(0o755)
    (folder / "note").write_text("no program here")
    tags = {}
    for name, target in (("busybox", "/bin/busybox"), ("note", "/note")):
        (folder / "Dockerfile").write_text(f"FROM scratch\nCOPY {name} {target}\n")
        tags[name] = build(folder)
    yield lambda name: tags["busybox" if name == "busybox" else "note"]
    docker("image", "rm", "--force", *tags.values())


@pytest.mark.parametrize("name", ["busybox", "nothing", "debian", "python", "hostile python"])
def test_the_installed_folder_bridges_in_any_image(
    name: str, volume: str, bare: Callable[[str], str], lab: Environment
) -> None:
    images = {"debian": lab.base_debian, "python": lab.base_python, "hostile python": lab.base_python}
    image = images[name] if name in images else bare(name)
    environment = HOSTILE if name.startswith("hostile") else {}
    flags = [word for key, value in environment.items() for word in ("--env", f"{key}={value}")]
    with serving(ordinary) as server:
        done = subprocess.run(
            [
                *("docker", "run", "--rm", "--interactive", *HARDENED, "--user", "4242:4242", *flags),
                *("--volume", f"{volume}:{names.INSTALL_PATH}:ro", "--entrypoint", names.WRAPPER_PATH),
                *(image, "--url", server.url),
            ],
            input=LINES,
            capture_output=True,
            check=False,
            timeout=120,
        )
        assert (done.returncode, done.stderr) == (0, b"")
        assert [json.loads(line)["id"] for line in done.stdout.splitlines()] == [0, "t"]
        assert server.asked()[-1] == "DELETE"


def test_the_image_itself_bridges(image: str) -> None:
    with serving(ordinary) as server:
        environment = ("--env", f"MCP_TOOLMAN_SERVER_URL={server.url}")
        answers = docker("run", "--rm", "--interactive", *HARDENED, *environment, image, data=LINES)
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
    before = docker(*listing)
    docker("run", "--rm", *HARDENED, "--user", "1234:4321", *mount, image, "install", names.INSTALL_PATH)
    assert docker(*listing) == before


def test_the_spawner_that_is_installed_is_one_that_our_busybox_understands(volume: str, image: str) -> None:
    mount = ("--volume", f"{volume}:{names.INSTALL_PATH}:ro")
    docker("run", "--rm", *mount, "--entrypoint", names.BUSYBOX_PATH, image, "sh", "-n", names.SPAWNER_PATH)


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
    assert int(docker("image", "inspect", "--format", "{{.Size}}", image)) <= 15 * MEGABYTE
    assert docker("image", "inspect", "--format", "{{.Config.User}}", image) == b"65532:65532\n"
    assert len(zlib.compress(docker("image", "save", image), 6)) <= 8 * MEGABYTE

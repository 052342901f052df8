import json
import os
import tomllib
from pathlib import Path

import pytest
from mcp_wrapper.installer import InstallError, install

from mcp_wrapper import client_config, installer, settings

FILES = {
    "bin/busybox": "box",
    "bin/mcp-wrapper": "#!{root}/bin/busybox sh\nexec {root}/lib/loader\n",
    "lib/loader": "ld",
    "lib/python3.11/lib-dynload/x.so": "x",
    "lib/spawner.sh": "spawn",
}

CONFIGURATIONS = {f"config/{name}" for name in client_config.FILES.values()}
NAMES = {"etc/hosts", "etc/resolv.conf"}


@pytest.fixture(name="source")
def fixture_source(tmp_path: Path) -> Path:
    root = tmp_path / "source"
    for name, text in FILES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.format(root=root))
        path.chmod(0o755 if "bin/" in name or "loader" in name else 0o600)
    return root


@pytest.fixture(name="target")
def fixture_target(tmp_path: Path) -> Path:
    target = tmp_path / "mcp"
    target.mkdir()
    return target


def contents(root: Path) -> dict[str, tuple[str, int]]:
    files = (path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): (path.read_text(), path.stat().st_mode & 0o7777) for path in files}


@pytest.mark.requirement("F-06")
def test_everything_is_copied_readable_by_all_and_writable_by_none_but_the_owner(source: Path, target: Path) -> None:
    previous = os.umask(0)
    try:
        install(str(source), str(target), {})
    finally:
        os.umask(previous)
    found = contents(target)
    assert found.keys() == FILES.keys() | CONFIGURATIONS | NAMES
    assert {mode for name, (_, mode) in found.items() if name.startswith("bin/")} == {0o755}
    assert found["lib/spawner.sh"] == ("spawn", 0o644)
    assert {path.stat().st_mode & 0o7777 for path in target.rglob("*") if path.is_dir()} == {0o755}


@pytest.mark.requirement("F-06")
def test_the_start_script_names_the_place_where_it_was_installed(source: Path, target: Path) -> None:
    install(str(source), f"{target}/", {})
    assert (target / "bin/mcp-wrapper").read_text() == f"#!{target}/bin/busybox sh\nexec {target}/lib/loader\n"


@pytest.mark.requirement("F-06")
def test_what_names_mean_is_kept_as_it_is_at_the_start(
    source: Path, target: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "etc"
    here.mkdir()
    (here / "hosts").write_text("192.0.2.7 web-1\n")
    monkeypatch.setattr(installer, "HERE", str(here))
    install(str(source), str(target), {})
    assert contents(target)["etc/hosts"] == ("192.0.2.7 web-1\n", 0o644)
    # Always there: in place of a file that is not, a folder would be mounted.
    assert contents(target)["etc/resolv.conf"] == ("", 0o644)


def test_installing_again_touches_nothing_that_is_as_it_should_be(source: Path, target: Path) -> None:
    install(str(source), str(target), {})
    before = {path: path.stat().st_ino for path in target.rglob("*")}
    install(str(source), str(target), {})
    assert {path: path.stat().st_ino for path in target.rglob("*")} == before


def test_what_a_killed_installation_left_is_repaired(source: Path, target: Path) -> None:
    install(str(source), str(target), {})
    (target / "lib/.loader.new").write_text("ha")
    (target / "lib/loader").write_text("half")
    install(str(source), str(target), {})
    assert contents(target)["lib/loader"] == ("ld", 0o755)
    assert not (target / "lib/.loader.new").exists()


def test_a_link_in_place_of_a_folder_is_refused(source: Path, target: Path, tmp_path: Path) -> None:
    (target / "lib").symlink_to(tmp_path)
    with pytest.raises(InstallError, match="is not a folder"):
        install(str(source), str(target), {})


def test_a_link_in_place_of_a_file_is_replaced_and_not_followed(source: Path, target: Path, tmp_path: Path) -> None:
    (target / "lib").mkdir()
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (target / "lib/loader").symlink_to(victim)
    install(str(source), str(target), {})
    assert victim.read_text() == "mine"
    assert not (target / "lib/loader").is_symlink()


@pytest.mark.parametrize("target", ["", "mcp", "/mcp dir", "/mcp/../etc", "/m\ncp", "/" + "x" * 120])
def test_a_path_that_cannot_stand_in_a_scripts_first_line_is_refused(source: Path, target: str) -> None:
    with pytest.raises(InstallError):
        install(str(source), target, {})


def test_outside_the_image_it_says_where_it_works(target: Path) -> None:
    with pytest.raises(InstallError, match="image only"):
        install("/nowhere", str(target), {})


@pytest.mark.requirement("W-08")
def test_every_clients_configuration_starts_what_was_installed_with_the_installers_variables(
    source: Path, target: Path
) -> None:
    environ = {"MCP_TOOLMAN_SERVER_URL": "http://127.0.0.1:3000/mcp", "MCP_TOOLMAN_UID": "2000000999", "HOME": "/"}
    install(str(source), str(target), environ)
    codex = tomllib.loads((target / "config/codex.toml").read_text())["mcp_servers"]["toolman"]
    others = [json.loads((target / name).read_text()) for name in sorted(CONFIGURATIONS) if name.endswith(".json")]
    entries = [codex, *(next(iter(each.values()))["toolman"] for each in others)]
    assert len(entries) == 6
    for entry in entries:
        assert (entry["command"], entry["args"]) == (f"{target}/bin/mcp-wrapper", [])
        assert entry["env"] == {name: environ[name] for name in ("MCP_TOOLMAN_SERVER_URL", "MCP_TOOLMAN_UID")}
    assert {(target / name).stat().st_mode & 0o7777 for name in CONFIGURATIONS} == {0o644}


@pytest.mark.requirement("W-08")
def test_a_wrong_variable_installs_nothing(source: Path, target: Path) -> None:
    with pytest.raises(settings.UsageError):
        install(str(source), str(target), {"MCP_WRAPPER_TIMEOUT": "soon"})
    assert list(target.iterdir()) == []


@pytest.mark.parametrize("words", [[], ["a", "b"], ["--help"]])
def test_wrong_arguments_are_a_usage_error(words: list[str]) -> None:
    assert installer.command(words) == 2

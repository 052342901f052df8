from __future__ import annotations

from pathlib import Path

import pytest
from lab import programs
from lab.errors import LabError


def module(folder: Path) -> Path:
    (folder / "kube").mkdir(parents=True)
    (folder / "go.mod").write_text("module m\n")
    (folder / "go.sum").write_text("")
    (folder / "kube/main.go").write_text("package main\n")
    return folder


def test_the_key_stays_while_the_sources_and_go_stay(tmp_path: Path) -> None:
    one, two = module(tmp_path / "one"), module(tmp_path / "two")
    assert programs.key(one, "go version go1.26.8") == programs.key(two, "go version go1.26.8")


def test_a_note_beside_the_sources_does_not_compile_them_again(tmp_path: Path) -> None:
    folder = module(tmp_path)
    before = programs.key(folder, "go")
    (folder / "README.md").write_text("about")
    assert programs.key(folder, "go") == before


@pytest.mark.parametrize("change", ["go", "source", "sum", "new file", "moved file"])
def test_the_key_changes_with_everything_that_is_compiled(tmp_path: Path, change: str) -> None:
    folder = module(tmp_path)
    before = programs.key(folder, "go version go1.26.8")
    if change == "source":
        (folder / "kube/main.go").write_text("package main // other\n")
    elif change == "sum":
        (folder / "go.sum").write_text("h1:\n")
    elif change == "new file":
        (folder / "kube/more.go").write_text("package main\n")
    elif change == "moved file":
        (folder / "kube/main.go").rename(folder / "main.go")
    version = "go version go1.26.9" if change == "go" else "go version go1.26.8"
    assert programs.key(folder, version) != before


def test_clients_are_told_which_kubernetes_this_is() -> None:
    flags = programs.linker_flags((programs.MODULE / "go.mod").read_text())
    assert flags.startswith("-s -w ")
    assert "-X k8s.io/component-base/version.gitVersion=v1." in flags
    assert "-X k8s.io/client-go/pkg/version.gitMajor=1 " in flags


def test_a_module_without_kubernetes_is_refused() -> None:
    with pytest.raises(LabError, match=r"names no version of k8s\.io/kubernetes"):
        programs.linker_flags("module m\n")


def test_everything_that_is_compiled_has_its_sources() -> None:
    own = [target for target in programs.TARGETS.values() if target.startswith("./")]
    assert own
    assert all((programs.MODULE / target / "main.go").is_file() for target in own)
    assert "tool helm.sh/helm/v3/cmd/helm" in (programs.MODULE / "go.mod").read_text()
    assert Path(programs.MODULE).name == "cluster"


GO = """\
#!/bin/sh
[ "$1" = version ] && exec echo "go version $VERSION"
echo "$*" >> "$ASKED"
while [ "$1" != -o ]; do shift; done
cat main.go > "$2"
"""


@pytest.fixture
def go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a compiler on PATH that copies ``main.go``; give the file in which it notes what it was asked for."""
    program = tmp_path / "path/go"
    program.parent.mkdir()
    program.write_text(GO)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    monkeypatch.setenv("VERSION", "go1.26.8")
    monkeypatch.setenv("ASKED", str(tmp_path / "asked"))
    return tmp_path / "asked"


def pinned(tmp_path: Path) -> Path:
    folder = tmp_path / "pinned"
    folder.mkdir()
    (folder / "go.mod").write_text("module m\n\ngo 1.26.0\n")
    (folder / "main.go").write_text("package main\n")
    return folder


def test_a_pinned_program_is_compiled_once(tmp_path: Path, go: Path) -> None:
    folder, target = pinned(tmp_path), tmp_path / "bin/program"
    for _ in range(2):
        assert programs.compile_pinned(folder, target, "example.com/program").read_text() == "package main\n"
    (asked,) = go.read_text().splitlines()
    assert asked.startswith("build -mod=readonly ")
    assert asked.endswith(f" -o {target} example.com/program")


@pytest.mark.parametrize("change", ["go", "source", "program"])
def test_a_pinned_program_is_compiled_again_when_it_would_be_another(
    tmp_path: Path, go: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    folder, target = pinned(tmp_path), tmp_path / "bin/program"
    programs.compile_pinned(folder, target)
    if change == "go":
        monkeypatch.setenv("VERSION", "go1.26.9")
    elif change == "source":
        (folder / "main.go").write_text("package main // other\n")
    else:
        target.unlink()
    assert programs.compile_pinned(folder, target).read_text() == (folder / "main.go").read_text()
    assert len(go.read_text().splitlines()) == 2


def test_what_a_failed_compilation_has_left_is_not_taken_for_the_program(tmp_path: Path, go: Path) -> None:
    folder, target = pinned(tmp_path), tmp_path / "bin/program"
    programs.compile_pinned(folder, target)
    (folder / "main.go").unlink()
    for _ in range(2):
        with pytest.raises(LabError, match="go build -mod=readonly failed"):
            programs.compile_pinned(folder, target)
    assert len(go.read_text().splitlines()) == 3

"""Puts together the folder that runs mcp-wrapper in any image: interpreter, loader, libraries, modules, busybox.

Runs while the image is built, with the very interpreter that goes into it. Nothing names a processor: which loader,
which libraries and which modules are needed is asked, not known.
"""

from __future__ import annotations

import ast
import importlib.util
import marshal
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ALSO_NEEDED = ("encodings.ascii", "encodings.latin_1", "encodings.utf_8", "warnings")
"""Modules that the interpreter may want besides those that the wrapper imports."""
LANDMARK = "os.pyc"
"""By this file the interpreter knows its library; the module itself is built into it."""
PRELOAD_LIST = (b"/etc/ld.so.preload", b"/proc/no.preloaded")
"""The loader's list of libraries for every program of a machine, and what it looks for instead: a file that cannot be
there. An agent's image may have such a list, of libraries for another libc, and no option passes over it."""
LOADER = re.compile(r"/ld[-.0-9a-z_]*\.so[.0-9]*$")


def imports(tree: ast.AST) -> Iterator[str]:
    """Name the modules that a source imports, also those that it imports only when it must; not those for types."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
        elif not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"):
            yield from imports(node)


def modules(source: Path) -> tuple[dict[str, Path], list[Path]]:
    """Find what the wrapper imports: sources of Python modules by their path in the library, and files of extensions.

    A folder of compiled modules is read faster than a zip file of them: a tenth of the time to start.
    """
    files = sorted((source / "mcp_wrapper").glob("*.py"))
    wanted = {name for path in files for name in imports(ast.parse(path.read_bytes()))}
    names = sorted({*wanted, *(f"mcp_wrapper.{path.stem}" for path in files), *ALSO_NEEDED})
    program = (
        f"import sys, importlib; sys.path.insert(0, {str(source)!r})\n"
        f"for name in {names!r}: importlib.import_module(name)\n"
        "for name, module in list(sys.modules.items()):\n"
        "    print(name, getattr(getattr(module, '__spec__', None), 'origin', None))\n"
    )
    listed = subprocess.run([sys.executable, "-I", "-S", "-c", program], check=True, capture_output=True, text=True)
    python: dict[str, Path] = {LANDMARK: Path(os.__file__)}
    extensions: list[Path] = []
    for line in listed.stdout.splitlines():
        name, _, origin = line.partition(" ")
        path = Path(origin)
        if path.suffix == ".so":
            extensions.append(path)
        elif path.suffix == ".py":
            folder = "/__init__" if path.name == "__init__.py" else ""
            python[f"{name.replace('.', '/')}{folder}.pyc"] = path
    return python, extensions


def compiled(path: Path, name: str) -> bytes:
    """Compile a module so that it is never checked against a source that is not there."""
    code = compile(path.read_bytes(), name, "exec", dont_inherit=True, optimize=2)
    unchecked = 0b01
    header = importlib.util.MAGIC_NUMBER + unchecked.to_bytes(4, "little") + importlib.util.source_hash(b"")
    return header + marshal.dumps(code)


def libraries(files: list[Path]) -> dict[str, Path]:
    """Find the shared libraries of some files, the loader as ``loader``."""
    found: dict[str, Path] = {}
    for file in files:
        listed = subprocess.run(["ldd", str(file)], check=True, capture_output=True, text=True)
        for path in re.findall(r"(/\S+) \(0x", listed.stdout):
            name = "loader" if LOADER.search(path) else Path(path).name
            found[name] = Path(path).resolve()
    return found


def without_preload_list(loader: Path) -> None:
    """Make the loader deaf to the libraries that a machine wants in all its programs.

    Raises:
        SystemExit: It is another loader than this was written for.
    """
    content, (name, other) = loader.read_bytes(), PRELOAD_LIST
    if content.count(name + b"\0") != 1:
        raise SystemExit(f"{loader}: {name.decode()} is not in it just once")
    loader.write_bytes(content.replace(name + b"\0", other + b"\0"))


def copy(source: Path, target: Path, mode: int) -> None:
    """Copy a file, and make its mode what it should be."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    target.chmod(mode)


def assemble(source: Path, script: Path, root: str, output: Path) -> None:
    """Write the folder.

    Args:
        source: Holds the package mcp_wrapper.
        script: The start script, with ``@ROOT@`` where the folder will be.
        root: Where the folder will be.
        output: Where it is written now.
    """
    python, extensions = modules(source)
    library = output / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}"
    dynamic = library / "lib-dynload"
    dynamic.mkdir(parents=True)
    for name, path in python.items():
        module = library / name
        module.parent.mkdir(parents=True, exist_ok=True)
        module.write_bytes(compiled(path, name.removesuffix("c")))
        module.chmod(0o644)
    interpreter = Path(sys.executable).resolve()
    copy(interpreter, output / "lib" / "python", 0o755)
    for path in extensions:
        copy(path, dynamic / path.name, 0o644)
    for name, path in libraries([interpreter, *extensions]).items():
        copy(path, output / "lib" / name, 0o755 if name == "loader" else 0o644)
    without_preload_list(output / "lib" / "loader")
    copy(Path("/bin/busybox"), output / "bin" / "busybox", 0o755)
    start = output / "bin" / "mcp-wrapper"
    start.write_text(script.read_text().replace("@ROOT@", root))
    start.chmod(0o755)


if __name__ == "__main__":
    os.umask(0o022)
    assemble(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], Path(sys.argv[4]))

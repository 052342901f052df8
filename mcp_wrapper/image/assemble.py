"""Puts together the folder that runs mcp-wrapper in any image: interpreter, loader, libraries, a zip, busybox.

Runs while the image is built, with the very interpreter that goes into it. Nothing names a processor: which loader,
which libraries and which modules are needed is asked, not known.
"""

from __future__ import annotations

import importlib.util
import io
import marshal
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

ALSO_NEEDED = ("encodings.ascii", "encodings.latin_1", "encodings.utf_8", "warnings")
"""Modules that the interpreter may want besides those that the wrapper imports."""
FIXED_TIME = (2020, 1, 1, 0, 0, 0)
"""Of everything in the zip: the same sources give the same bytes."""
LOADER = re.compile(r"/ld[-.0-9a-z_]*\.so[.0-9]*$")


def modules(source: Path) -> tuple[dict[str, Path], list[Path]]:
    """Find what the wrapper imports: files of Python modules by their path in the zip, and files of extensions."""
    names = [f"mcp_wrapper.{path.stem}" for path in sorted((source / "mcp_wrapper").glob("*.py"))]
    program = (
        f"import sys, importlib; sys.path.insert(0, {str(source)!r})\n"
        f"for name in {(*names, 'resource', *ALSO_NEEDED)!r}: importlib.import_module(name)\n"
        "for name, module in list(sys.modules.items()):\n"
        "    print(name, getattr(getattr(module, '__spec__', None), 'origin', None))\n"
    )
    listed = subprocess.run([sys.executable, "-I", "-S", "-c", program], check=True, capture_output=True, text=True)
    python: dict[str, Path] = {}
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
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    # The interpreter takes this folder and the zip beside it as signs of where its library is: no variable is needed.
    dynamic = output / "lib" / version / "lib-dynload"
    dynamic.mkdir(parents=True)
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        for name, path in sorted(python.items()):
            file.writestr(zipfile.ZipInfo(name, FIXED_TIME), compiled(path, name.removesuffix("c")))
    library = output / "lib" / f"{version.replace('.', '')}.zip"
    library.write_bytes(archive.getvalue())
    library.chmod(0o644)
    interpreter = Path(sys.executable).resolve()
    copy(interpreter, output / "lib" / "python", 0o755)
    for path in extensions:
        copy(path, dynamic / path.name, 0o644)
    for name, path in libraries([interpreter, *extensions]).items():
        copy(path, output / "lib" / name, 0o755 if name == "loader" else 0o644)
    copy(Path("/bin/busybox"), output / "bin" / "busybox", 0o755)
    start = output / "bin" / "mcp-wrapper"
    start.write_text(script.read_text().replace("@ROOT@", root))
    start.chmod(0o755)


if __name__ == "__main__":
    os.umask(0o022)
    assemble(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], Path(sys.argv[4]))

"""Make the repositories and serve them: ``PYTHONPATH=tests python -m sources serve --host ADDRESS``."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import threading
from pathlib import Path

from sources.downloads import DownloadError, cache_folder
from sources.repositories import make_all
from sources.server import serving


def main() -> int:
    """Run the command line; gives the exit status."""
    parser = argparse.ArgumentParser(prog="python -m sources", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    make = commands.add_parser("make", help="make the bare repositories in a folder and list them")
    make.add_argument("root", type=Path)
    make.set_defaults(run=_make)
    serve = commands.add_parser("serve", help="serve the repositories over HTTP until terminated")
    serve.add_argument("--root", type=Path, help="folder of the repositories (default: a temporary one)")
    serve.add_argument("--host", default="127.0.0.1", help="address to bind; Pods need one of this node's")
    serve.add_argument("--port", type=int, default=0, help="0, the default, takes a free one")
    serve.add_argument("--pid-file", type=Path, help="written when ready: process ID and URL; removed at the end")
    serve.set_defaults(run=_serve)
    arguments = parser.parse_args()
    try:
        arguments.run(arguments)
    except (DownloadError, OSError) as error:
        print(f"sources: {error}", file=sys.stderr)
        return 1
    return 0


def _make(arguments: argparse.Namespace) -> None:
    cache_folder().mkdir(parents=True, exist_ok=True)
    for name in make_all(arguments.root):
        print(name)


def _serve(arguments: argparse.Namespace) -> None:
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with tempfile.TemporaryDirectory(prefix="toolman-sources-") as temporary:
        root = arguments.root or Path(temporary)
        names = make_all(root)
        with serving(root, arguments.host, arguments.port) as server:
            for name in names:
                print(server.url(name), flush=True)
            if arguments.pid_file:
                arguments.pid_file.write_text(f"{os.getpid()} {server.url()}\n")
            try:
                stop.wait()
            finally:
                if arguments.pid_file:
                    arguments.pid_file.unlink(missing_ok=True)


if __name__ == "__main__":
    sys.exit(main())

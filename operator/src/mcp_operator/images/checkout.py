"""What fetching a source leaves: files in a folder, what they are pinned to, and what is known of them besides."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from mcp_operator.images.detect.candidate import Candidate


@dataclass(frozen=True, kw_only=True)
class Checkout:
    """A source's files, checked and pinned.

    Attributes:
        root: Folder that a build may copy from; without ``.git``.
        commit: 40 hex digits of git; the version of a package; empty for a folder whose files are no commit's.
        committed: Nothing published later is installed unless a lock says so.
        warnings: What was left out, a line each.
        content: Hash of the files where no commit names them.
        package: What to install, for a published package: then nothing is detected.
        files: Folder with what the author wrote, for reading only; another than ``root`` for packages.
    """

    root: Path
    commit: str
    committed: datetime
    warnings: tuple[str, ...] = field(default=())
    content: str = ""
    package: Candidate | None = None
    files: Path | None = None

"""What of ``spec.run`` an image is tried out with, and whether the one in service was tried out with it. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mcp_operator.images import placeholders
from mcp_operator.manifests.metadata import digest

if TYPE_CHECKING:
    from mcp_operator.models.run import Run
    from mcp_operator.models.status import ImageStatus

DIGITS = 16
"""Hexadecimal digits that stand for settings."""


def environment(run: Run) -> dict[str, str]:
    """Give the variables with which a server is tried out.

    Of those from Secrets and ConfigMaps placeholders, of the kind that their names ask for: nobody has looked yet at
    what runs then.
    """
    return {
        variable.name: placeholders.value(variable.name) if variable.value_from is not None else variable.value or ""
        for variable in run.env
    }


def fingerprint(run: Run) -> str:
    """Hash all that a server is tried out with: with anything else it is tried out again, whatever its source."""
    reach = [run.transport, run.port, run.path]
    return digest([run.args, environment(run), reach])[:DIGITS]


def are_verified(run: Run, image: ImageStatus | None) -> bool:
    """Tell whether the image in service was verified with these settings; one of which that is not known counts so."""
    return image is None or image.verified_with in (None, fingerprint(run))

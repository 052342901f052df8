"""Write a Dockerfile from a recipe: the same recipe always gives the same bytes.

For the classic builder of Docker Engine 20.10: no ``RUN --mount``, no ``COPY --chmod``, no heredocs. Strangers choose
names that end up here, so a value goes in only as JSON (exec form, in which nothing is expanded), as a quoted label, or
as a path of :data:`~mcp_operator.images.tree.PLAIN_PATH`.
"""

from __future__ import annotations

import json
import shlex
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from mcp_operator import names
from mcp_operator.images.contract import BuildError, Step
from mcp_operator.images.detect.candidate import APP
from mcp_operator.images.reasons import Reason
from mcp_operator.images.recipes.recipe import Copy, Run
from mcp_operator.images.tree import PLAIN_PATH

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from mcp_operator.images.recipes.recipe import Recipe

SOURCE = "source"
"""Folder of the build context with the repository's files, so that none of them can replace one of ours."""
CA_FILE = "build-ca.pem"
"""File of the build context with certificate authorities."""

_CA_FOLDER = "/opt/build-ca"
_CA_BUNDLE = f"{_CA_FOLDER}/bundle.pem"
_CA_VARIABLES = ("SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "GIT_SSL_CAINFO")
_CA_OWN = f"{_CA_FOLDER}/{CA_FILE}"
_AUTHORITIES = (
    f"COPY {CA_FILE} {_CA_OWN}",
    # Slim images may have no bundle of their own.
    f"RUN cat /etc/ssl/certs/ca-certificates.crt {_CA_OWN} > {_CA_BUNDLE} || cp {_CA_OWN} {_CA_BUNDLE}",
    f"ENV {' '.join(f'{name}={_CA_BUNDLE}' for name in _CA_VARIABLES)}",
)

# Without adduser, whose flags differ from one distribution to the next.
_USER = (
    f'RUN echo "mcp:x:{names.IMAGE_UID}:{names.IMAGE_UID}:mcp:{names.SERVER_HOME}:/bin/false" >> /etc/passwd'
    f' && echo "mcp:x:{names.IMAGE_UID}:" >> /etc/group'
)


def render(recipe: Recipe, *, owner: Mapping[str, str], labels: Mapping[str, str], ca: bool) -> str:
    """Give the text of ``Dockerfile.mcp``.

    Args:
        recipe: What to build.
        owner: Labels of every layer of his: so they can be found again, and nobody uses another's cache.
        labels: Of the final image only.
        ca: The context has :data:`CA_FILE`; the builder stage trusts it, the final stage never sees it.

    Raises:
        BuildError: Something cannot be written down safely.
    """
    lines = [
        f"FROM {recipe.base} AS builder",
        _labels({names.MANAGED_BY: names.MANAGER}),
        *(_AUTHORITIES if ca else ()),
        *_environment(recipe.builder_env),
        *_packages(recipe.builder_packages),
        *(_run(step) for step in recipe.tools),
        _labels(owner),
        f"WORKDIR {APP}",
        *_steps(recipe.steps),
        "",
        f"FROM {recipe.base}",
        _labels({names.MANAGED_BY: names.MANAGER}),
        _USER,
        *_packages(recipe.system_packages),
        _labels(owner),
        *_environment(recipe.env),
        f"WORKDIR {_plain(recipe.working_dir)}",
        *(f"COPY --from=builder {_kept(name)} {_kept(name)}" for name in recipe.keep),
        _labels(labels),
        f"USER {names.IMAGE_UID}:{names.IMAGE_UID}",
        f"ENTRYPOINT {_words(recipe.command)}",
    ]
    return "\n".join(lines) + "\n"


def _environment(variables: Mapping[str, str]) -> list[str]:
    return [f"ENV {' '.join(f'{name}={value}' for name, value in variables.items())}"] if variables else []


def _packages(packages: Iterable[str]) -> list[str]:
    wanted = " ".join(sorted(packages))
    if not wanted:
        return []
    return [
        f"RUN apt-get update && apt-get install -y --no-install-recommends {wanted} && rm -rf /var/lib/apt/lists/*",
    ]


def _steps(steps: Iterable[Copy | Run]) -> list[str]:
    lines: list[str] = []
    folder = "."
    for step in steps:
        if isinstance(step, Copy):
            lines += _copy(step)
            continue
        if step.folder != folder:
            folder = step.folder
            lines.append(f"WORKDIR {_plain(str(PurePosixPath(APP) / folder))}")
        lines.append(_run(step))
    return lines


def _copy(step: Copy) -> list[str]:
    if not step.names:
        return [f"COPY {SOURCE}/ {APP}/"]
    folders: dict[str, list[str]] = {}
    for name in step.names:
        folders.setdefault(str(PurePosixPath(name).parent), []).append(_plain(f"{SOURCE}/{name}"))
    return [f"COPY {' '.join(files)} {PurePosixPath(APP) / folder}/" for folder, files in folders.items()]


def _run(step: Run) -> str:
    if not step.otherwise:
        return f"RUN {_words(step.words)}"
    attempts = " || ".join(shlex.join(words) for words in (step.words, *step.otherwise))
    return f"RUN {_words(('sh', '-c', attempts))}"


def _kept(name: str) -> str:
    return _plain(str(PurePosixPath(APP) / name))


def _plain(path: str) -> str:
    if not PLAIN_PATH.match(path.removeprefix("/")):
        raise _unsafe(path)
    return path


def _words(words: Sequence[str]) -> str:
    for word in words:
        if "\0" in word:
            raise _unsafe(word)
    return json.dumps(list(words))


def _labels(labels: Mapping[str, str]) -> str:
    return "LABEL " + " ".join(f'{name}="{_quoted(value)}"' for name, value in sorted(labels.items()))


def _quoted(value: str) -> str:
    if not value.isprintable():
        raise _unsafe(value)
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$")


def _unsafe(value: str) -> BuildError:
    return BuildError(
        Reason.SOURCE_UNSAFE,
        f"a name cannot be used in a build: {json.dumps(value)[:100]}",
        step=Step.DETECT,
        hint="Rename it: letters, digits and @ _ + = . - only.",
    )

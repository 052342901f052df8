"""Write a Dockerfile from a recipe: the same recipe always gives the same bytes.

For the classic builder of Docker Engine 20.10: no ``RUN --mount``, no ``COPY --chmod``, no heredocs. Strangers choose
names that end up here, so a value goes in only as JSON (exec form, in which nothing is expanded), as a quoted label, or
as a path of :data:`~mcp_operator.images.tree.PLAIN_PATH`.
"""

from __future__ import annotations

import json
import re
import shlex
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from mcp_operator import names
from mcp_operator.images import liveness, stages
from mcp_operator.images.contract import BuildError, Step
from mcp_operator.images.detect.candidate import APP, Hints
from mcp_operator.images.liveness import Serving
from mcp_operator.images.reasons import Reason
from mcp_operator.images.recipes import bases
from mcp_operator.images.recipes.recipe import MOMENT, Copy, Run
from mcp_operator.images.tree import PLAIN_PATH

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from mcp_operator.images.recipes.recipe import Recipe, Stage
    from mcp_operator.images.stages import Line, Pin

SOURCE = "source"
"""Folder of the build context with the repository's files, so that none of them can replace one of ours."""
CA_FILE = "build-ca.pem"
"""File of the build context with certificate authorities."""
CONFIG_VARIABLE = "MCP_CONFIG_PATH"
CONFIG_FILE = f"{APP}/config/config.yaml"
"""Where a server that has a configuration file finds it; a volume there replaces it."""
MAX_LABEL = 16 * 1024
"""Bytes of the list of tools."""
MAX_LINE = 60 * 1024
"""Bytes of several labels in a line: it may have 64 KiB."""

_ONE_LINE = re.compile(r"[ -\[\]-~]+\Z")
"""What the shell gets as it is written here: without line ends and without the backslash that Dockerfiles know."""
_WIDTH = 120
_AND = " \\\n && "
HEAD = (
    "# Written by mcp-operator. A step each, so that the log can say which one failed. Versions of npm's packages are",
    "# bounded by date where their author left them open; those of the distribution's packages are its own: one that",
    "# is pinned here is gone from its mirrors at the next security fix. Caches are in stages that are thrown away.",
    "# hadolint global ignore=DL3008,DL3016,DL3018,DL3059,DL3060",
)
"""First lines of a generated file, for those who read or lint it."""
_TIME = "+%Y-%m-%dT%H:%M:%SZ"
_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]*\Z")
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


def render(
    recipe: Recipe,
    *,
    owner: Mapping[str, str],
    labels: Mapping[str, str],
    ca: bool,
    hints: Hints | None = None,
) -> str:
    """Give the text of ``Dockerfile.mcp``.

    Args:
        recipe: What to build.
        owner: Labels of every layer of his: so they can be found again, and nobody uses another's cache.
        labels: Of the final image only.
        ca: The context has :data:`CA_FILE`; the builder stages trust it, the final stage never sees it.
        hints: What the server says of itself: ports and health checks follow it until a handshake knows better.

    Raises:
        BuildError: Something cannot be written down safely.
    """
    kept = [(stage, _kept(name)) for stage in recipe.stages for name in stage.keep]
    lines = [
        *HEAD,
        *(line for stage in recipe.stages for line in _stage(stage, owner, ca=ca)),
        f"FROM {recipe.base}",
        *_labels({names.MANAGED_BY: names.MANAGER}),
        _USER,
        *_packages(recipe.base, recipe.system_packages),
        *_labels(owner),
        *_environment({**recipe.env, CONFIG_VARIABLE: CONFIG_FILE}),
        f"WORKDIR {_plain(recipe.working_dir)}",
        *liveness.lines(planned(recipe.language, hints or Hints())),
        f"USER {names.IMAGE_UID}:{names.IMAGE_UID}",
        f"ENTRYPOINT {_words(recipe.command)}",
        # What changes comes last. It belongs to root, whatever USER says: a server cannot change itself.
        *(f"COPY --from={stage.name} {stage.below}{name} {name}" for stage, name in kept),
        *_labels(labels),
    ]
    return "\n".join(lines) + "\n"


def planned(language: str, hints: Hints) -> Serving:
    """Say how a server is reached, as far as that is known before a handshake."""
    return Serving(language=language, transport=hints.transport or "stdio", port=hints.port, path=hints.path)


def render_own(
    lines: Sequence[Line],
    pins: Mapping[str, Pin],
    *,
    owner: Mapping[str, str],
    labels: Mapping[str, str],
    working_dir: str,
    command: Sequence[str],
) -> str:
    """Give the text of a repository's own Dockerfile with what all our images have behind it.

    Args:
        lines: Its Dockerfile, as :func:`mcp_operator.images.stages.read` gives it.
        pins: What the images in it are.
        owner: As for :func:`render`: so its layers are found again, and nobody else's cache.
        labels: Of the final image.
        working_dir: Where the command starts; as the image says if empty.
        command: What starts, whatever the Dockerfile's ENTRYPOINT and CMD were.

    Raises:
        BuildError: Something cannot be written down safely.
    """
    begin = _labels({names.MANAGED_BY: names.MANAGER, **owner})
    ours = [
        *_labels({names.MANAGED_BY: names.MANAGER, **owner, **labels}),
        *_environment({CONFIG_VARIABLE: CONFIG_FILE}),
        *([f"WORKDIR {_plain(working_dir)}"] if working_dir else []),
        f"USER {names.IMAGE_UID}:{names.IMAGE_UID}",
        f"ENTRYPOINT {_words(command)}",
        "CMD []",
    ]
    return "\n".join([*stages.render(lines, pins, begin), "", *ours]) + "\n"


def render_labels(image: str, labels: Mapping[str, str], serving: Serving, planned_as: Serving | None = None) -> str:
    """Give the text of a Dockerfile that puts on an image what only the handshake could tell. No network needed.

    Args:
        image: Its ID, ``sha256:...``.
        labels: To add; see :func:`tools_label` for the tools.
        serving: How it was reached.
        planned_as: What it says of that already.
    """
    # Each line costs the engine a container; all together may be more than a line may have.
    said = _labels(labels)
    if len("".join(said).encode()) > MAX_LINE:
        said = [line for name, value in sorted(labels.items()) for line in _labels({name: value})]
    if not planned_as or liveness.lines(planned_as) != liveness.lines(serving):
        said += liveness.lines(serving)
    return "\n".join([f"FROM {image}", *said]) + "\n"


def tools_label(tools: Iterable[str]) -> str:
    """Write the value of :data:`mcp_operator.names.LABEL_TOOLS`: tools' names as JSON, cut off where it is long."""
    said: list[str] = []
    length = 0
    for tool in tools:
        length += len(json.dumps(tool)) + 2
        if length > MAX_LABEL:
            break
        said.append(tool)
    return json.dumps(said)


def _stage(stage: Stage, owner: Mapping[str, str], *, ca: bool) -> list[str]:
    if stage.after:
        return [f"FROM {stage.after} AS {stage.name}", f"WORKDIR {APP}", *_steps(stage.steps), ""]
    return [
        f"FROM {stage.base} AS {stage.name}",
        *_labels({names.MANAGED_BY: names.MANAGER}),
        *(_AUTHORITIES if ca else ()),
        *_environment(stage.env),
        *_packages(stage.base, stage.packages),
        *(line for step in stage.tools for line in _run(step)),
        *_labels(owner),
        f"WORKDIR {APP}",
        *_steps(stage.steps),
        "",
    ]


def _environment(variables: Mapping[str, str]) -> list[str]:
    pairs = [f"{name}={value}" for name, value in variables.items()]
    line = f"ENV {' '.join(pairs)}"
    return [line if len(line) <= _WIDTH else "ENV " + " \\\n    ".join(pairs)] if pairs else []


def _packages(base: str, packages: Iterable[str]) -> list[str]:
    wanted = sorted(set(packages))
    if not wanted:
        return []
    for name in wanted:
        if not _PACKAGE.match(name):
            raise _unsafe(name)
    listed = " ".join(wanted)
    if bases.alpine(base):
        return [f"RUN apk add --no-cache {listed}"]
    return [
        f"RUN apt-get update && apt-get install -y --no-install-recommends {listed} && rm -rf /var/lib/apt/lists/*",
    ]


def _steps(steps: Sequence[Copy | Run]) -> list[str]:
    lines: list[str] = []
    folder = "."
    for number, step in enumerate(steps):
        # Before a copy that something is run after: what comes behind changed files is done anew each time.
        following = (each.folder for each in steps[number:] if isinstance(each, Run) and each.folder)
        if (wanted := next(following, folder)) != folder:
            folder = wanted
            lines.append(f"WORKDIR {_plain(str(PurePosixPath(APP) / folder))}")
        if isinstance(step, Copy):
            lines += _copy(step)
        else:
            lines += [*(f"# {_line(line)}" for line in step.why), *_run(step)]
    return lines


def _copy(step: Copy) -> list[str]:
    if not step.names:
        return [f"COPY {SOURCE}/ {APP}/"]
    folders: dict[str, list[str]] = {}
    for name in step.names:
        folders.setdefault(str(PurePosixPath(name).parent), []).append(_plain(f"{SOURCE}/{name}"))
    return [f"COPY {' '.join(files)} {PurePosixPath(APP) / folder}/" for folder, files in folders.items()]


def _run(step: Run) -> list[str]:
    found = [_command(words, step.dated) for words in step.before]
    return [*found, _command(step.words, step.dated, step.then)] if step.words else found


def _command(words: tuple[str, ...], dated: str, then: str = "") -> str:
    """Give one command: as a shell reads it where that is plain, so that people can read it, too."""
    ours = words[:2] == ("sh", "-c") and len(words) == len(("sh", "-c", ""))
    script = words[2] if ours else shlex.join(words)
    if dated:
        moment = f'"$(date -u -r {_plain(dated)} {_TIME})"'
        script, then = script.replace(MOMENT, moment), then.replace(MOMENT, moment)
    whole = f"{script} && {then}" if then else script
    # What begins with a hyphen would be an option of RUN.
    if not _ONE_LINE.match(whole) or whole.startswith("-"):
        return f"RUN {_words(('sh', '-c', whole) if dated or then else words)}"
    if len(whole) <= _WIDTH:
        return f"RUN {whole}"
    # Others' words are left as they are.
    begin = script.replace(" && ", _AND) if ours else script
    return f"RUN {_AND.join([begin, then.replace(' && ', _AND)] if then else [begin])}"


def command_at(recipe: Recipe, text: str, number: int) -> Run | None:
    """Give what a step of a Dockerfile does.

    Args:
        recipe: Of the file.
        text: The file.
        number: Of the step, as Docker counts: from 1.
    """
    lines = text.replace(_AND, " && ").replace("\\\n", "").splitlines()
    instructions = [line for line in lines if line and not line.startswith("#")]
    if not 0 < number <= len(instructions):
        return None
    commands = (step for stage in recipe.stages for step in stage.steps if isinstance(step, Run))
    wanted = instructions[number - 1]
    return next((step for step in commands if wanted in [line.replace(_AND, " && ") for line in _run(step)]), None)


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


def _labels(labels: Mapping[str, str]) -> list[str]:
    said = " ".join(f'{name}="{_quoted(value)}"' for name, value in sorted(labels.items()))
    return [f"LABEL {said}"] if said else []


def _quoted(value: str) -> str:
    return _line(value).replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$")


def _line(text: str) -> str:
    if not text.isprintable():
        raise _unsafe(text)
    return text


def _unsafe(value: str) -> BuildError:
    return BuildError(
        Reason.SOURCE_UNSAFE,
        f"a name cannot be used in a build: {json.dumps(value)[:100]}",
        step=Step.DETECT,
        hint="Rename it: letters, digits and @ _ + = . - only.",
    )

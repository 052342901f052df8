"""What the person or the Pod chose: flags first, then environment variables, then defaults."""

from __future__ import annotations

import math

from mcp_wrapper import __version__, environment
from mcp_wrapper.endpoint import Endpoint, EndpointError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

HELP = f"""\
usage: mcp-wrapper [--url URL] [--timeout SECONDS] [--debug]
       mcp-wrapper install DIRECTORY    (container image only)

Speaks MCP on stdin and stdout and forwards it to toolman over HTTP.

  --url URL          where toolman is; {environment.URL_VARIABLE} (default {environment.DEFAULT_URL})
  --timeout SECONDS  answer a call with an error after this much silence, 0 for never;
                     {environment.TIMEOUT_VARIABLE} (default 0)
  --debug            a line for every message on stderr; {environment.DEBUG_VARIABLE}=1
  --version          print the version
  --help             print this

  {environment.CONNECT_TIMEOUT_VARIABLE}  seconds to wait for a toolman that is not up yet (default 30)
  {environment.TOKEN_FILE_VARIABLE}       file with a bearer token for toolman
"""

_YES = frozenset(("1", "true", "yes", "on"))
_NO = frozenset(("", "0", "false", "no", "off"))


class UsageError(Exception):
    """A flag or a variable is wrong; the text is one line that says which and what is possible."""


class Answer(Exception):  # noqa: N818 - not an error: ``--help`` and ``--version`` end the command with a text
    """Print this and end."""


class Settings:
    """Everything that can be chosen.

    Attributes:
        endpoint: Where toolman is.
        timeout: Seconds of silence that end a call; 0 is never.
        connect_timeout: Seconds to wait for a toolman that cannot be reached.
        debug: Log every message.
        token_file: Path of a bearer token; empty for none.
    """

    __slots__ = ("connect_timeout", "debug", "endpoint", "timeout", "token_file")

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        timeout: float = environment.DEFAULT_TIMEOUT,
        connect_timeout: float = environment.DEFAULT_CONNECT_TIMEOUT,
        debug: bool = False,
        token_file: str = "",
    ) -> None:
        self.endpoint = endpoint
        self.timeout = timeout
        self.connect_timeout = connect_timeout
        self.debug = debug
        self.token_file = token_file


def read(arguments: Sequence[str], environ: Mapping[str, str]) -> Settings:
    """Combine flags and environment. An empty variable counts as absent.

    Args:
        arguments: Without the command's own name.
        environ: The environment.

    Raises:
        UsageError: Something is wrong.
        Answer: ``--help`` or ``--version``.
    """
    flags = dict(_flags(iter(arguments)))
    url = flags.get("--url") or environ.get(environment.URL_VARIABLE) or environment.DEFAULT_URL
    try:
        endpoint = Endpoint(url)
    except EndpointError as error:
        raise UsageError(str(error)) from None
    timeout = flags.get("--timeout") or environ.get(environment.TIMEOUT_VARIABLE)
    connect_timeout = environ.get(environment.CONNECT_TIMEOUT_VARIABLE)
    return Settings(
        endpoint,
        timeout=_seconds(
            "--timeout" if "--timeout" in flags else environment.TIMEOUT_VARIABLE,
            timeout,
            environment.DEFAULT_TIMEOUT,
        ),
        connect_timeout=_seconds(
            environment.CONNECT_TIMEOUT_VARIABLE,
            connect_timeout,
            environment.DEFAULT_CONNECT_TIMEOUT,
        ),
        debug="--debug" in flags or _switch(environment.DEBUG_VARIABLE, environ.get(environment.DEBUG_VARIABLE, "")),
        token_file=environ.get(environment.TOKEN_FILE_VARIABLE, ""),
    )


def _flags(words: Iterator[str]) -> Iterator[tuple[str, str]]:
    # argparse costs a megabyte and ten milliseconds, which is a third of what this process may use.
    for word in words:
        name, equals, value = word.partition("=")
        if word in {"--help", "-h"}:
            raise Answer(HELP)
        if word == "--version":
            raise Answer(f"mcp-wrapper {__version__}\n")
        if name in {"--url", "--timeout"}:
            value = value if equals else next(words, "")
            if not value:
                raise UsageError(f"{name} needs a value")
            yield name, value
        elif word == "--debug":
            yield word, ""
        else:
            raise UsageError(f"unknown argument {word!r}; see mcp-wrapper --help")


def _seconds(name: str, text: str | None, default: float) -> float:
    if not text:
        return default
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise UsageError(f"{name} must be a number of seconds, 0 or more, not {text!r}")
    return value


def _switch(name: str, text: str) -> bool:
    if text.lower() not in _YES | _NO:
        raise UsageError(f"{name} must be 1 or 0, not {text!r}")
    return text.lower() in _YES

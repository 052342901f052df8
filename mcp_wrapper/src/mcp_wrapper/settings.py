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
       mcp-wrapper config claude|codex|gemini|vscode|cursor|zed
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
  {environment.UID_VARIABLE}              user ID that toolman runs as; nothing is sent to anybody else
  {environment.CERTIFICATES_VARIABLE}                for https: file with the authorities to trust, not the system's
"""

MAX_UID = 2**32 - 2
"""The one above means "no user"."""

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
        uid: User that toolman must run as; None if it may be anybody.
        certificates: Path of the authorities to trust for https; empty for the system's.
    """

    __slots__ = ("certificates", "connect_timeout", "debug", "endpoint", "timeout", "token_file", "uid")

    def __init__(  # noqa: PLR0913 - one for each setting
        self,
        endpoint: Endpoint,
        *,
        timeout: float = environment.DEFAULT_TIMEOUT,
        connect_timeout: float = environment.DEFAULT_CONNECT_TIMEOUT,
        debug: bool = False,
        token_file: str = "",
        uid: int | None = None,
        certificates: str = "",
    ) -> None:
        self.endpoint = endpoint
        self.timeout = timeout
        self.connect_timeout = connect_timeout
        self.debug = debug
        self.token_file = token_file
        self.uid = uid
        self.certificates = certificates


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
        uid=_uid(endpoint, environ.get(environment.UID_VARIABLE, "")),
        certificates=environ.get(environment.CERTIFICATES_VARIABLE, ""),
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


def _uid(endpoint: Endpoint, text: str) -> int | None:
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > len(str(MAX_UID)) or int(text) > MAX_UID:
        raise UsageError(f"{environment.UID_VARIABLE} must be a user ID, 0 or more, not {text!r}")
    if not endpoint.is_loopback:
        raise UsageError(
            f"{environment.UID_VARIABLE} is set, so toolman must be on this machine: give a URL with localhost, "
            f"127.0.0.1 or [::1], not {endpoint.host}, or unset the variable",
        )
    return int(text)


def _switch(name: str, text: str) -> bool:
    if text.lower() not in _YES | _NO:
        raise UsageError(f"{name} must be 1 or 0, not {text!r}")
    return text.lower() in _YES

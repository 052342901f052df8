"""Keep the secrets of a request out of all that its build says: logs, progress, errors, results.

What looks like a secret is masked elsewhere, by :mod:`mcp_operator.images.redact`; here it is what is known to be one,
wherever it stands.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import re
from typing import TYPE_CHECKING
from urllib.parse import quote

from mcp_operator.images.contract import BuildError, BuildResult, GitSource
from mcp_operator.images.redact import MASK

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mcp_operator.images.contract import BuildRequest, Progress, Step

SHORTEST = 6
"""Characters of what is masked: shorter words stand in any log by chance."""
_CUT = "…"
_SECRET = re.compile(
    r"(?i)token|secret|passw(?:or)?d|passphrase|credential|key|auth|cookie|(?:\A|_)(?:pat|pwd|pass|pw)(?:\Z|_)"
)
"""Names of variables whose values are nobody's business."""


class Mask:
    """Knows the secrets of a request."""

    def __init__(self, request: BuildRequest) -> None:
        forms = {form for secret in _secrets(request) for form in _forms(secret) if len(form) >= SHORTEST}
        # The longest first: one may be part of another.
        self._forms = sorted(forms, key=lambda form: (-len(form), form))
        self._pattern = re.compile("|".join(map(re.escape, self._forms))) if self._forms else None

    def text(self, text: str) -> str:
        """Give a text without them."""
        if self._pattern is None:
            return text
        text = self._pattern.sub(MASK, text)
        return self._without_end(text) if text.endswith(_CUT) else text

    def result(self, result: BuildResult) -> BuildResult:
        """Give a result without them."""
        return dataclasses.replace(
            result,
            server_name=self.text(result.server_name),
            evidence=tuple(map(self.text, result.evidence)),
            warnings=tuple(map(self.text, result.warnings)),
        )

    @contextlib.contextmanager
    def errors(self) -> Iterator[None]:
        """Take them out of the error that ends the block."""
        try:
            yield
        except BuildError as error:
            error.message, error.hint = self.text(error.message), self.text(error.hint)
            error.log_tail = self.text(error.log_tail)
            error.args = (error.message,)
            raise

    def _without_end(self, text: str) -> str:
        """Take out the beginning of a secret at the place where a line was cut off."""
        body = text.removesuffix(_CUT)
        for form in self._forms:
            for length in range(min(len(form) - 1, len(body)), SHORTEST - 1, -1):
                if body.endswith(form[:length]):
                    return f"{body[:-length]}{MASK}{_CUT}"
        return text


class Masked:
    """A :class:`~mcp_operator.images.contract.Progress` that passes on what it hears, without secrets."""

    def __init__(self, inner: Progress, mask: Mask) -> None:
        self._inner = inner
        self._mask = mask

    def step(self, step: Step, detail: str) -> None:
        """Pass on that a step began, or what it is doing."""
        self._inner.step(step, self._mask.text(detail))

    def log(self, line: str) -> None:
        """Pass on a line."""
        self._inner.log(self._mask.text(line))


def _secrets(request: BuildRequest) -> Iterator[str]:
    source = request.source
    if isinstance(source, GitSource) and source.credentials:
        yield source.credentials.token
        yield from (line for line in source.credentials.ssh_key.splitlines() if not line.startswith("-----"))
    if request.auth:
        yield request.auth.password
        yield base64.b64encode(f"{request.auth.username}:{request.auth.password}".encode()).decode()
    yield from _named(request.build_args)
    yield from _named(request.env)


def _named(variables: Mapping[str, str]) -> Iterator[str]:
    return (value for name, value in variables.items() if _SECRET.search(name))


def _forms(secret: str) -> Iterator[str]:
    """Give a secret as it is, and as URLs and headers have it."""
    yield secret
    yield quote(secret, safe="")
    yield base64.b64encode(secret.encode()).decode().rstrip("=")

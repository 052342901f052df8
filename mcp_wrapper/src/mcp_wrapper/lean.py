"""Parts of the standard library by the doors that cost least.

``socket``, ``signal``, ``json`` and ``collections`` bring enum, functools and re for what nobody needs here: together
1.5 MB, and half of the time that this process takes to start. What they wrap is taken directly; it is the same in all
CPythons that this package supports.
"""

from __future__ import annotations

from _json import encode_basestring_ascii, make_scanner

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    import socket
    from collections import deque
    from collections.abc import Callable
    from typing import Any
else:
    import _signal as signal
    import _socket as socket
    from _collections import deque

__all__ = ["decoder", "deque", "quoted", "signal", "socket"]

_BLANKS = " \t\r\n"


def quoted(text: str) -> bytes:
    """Write a string as JSON."""
    return encode_basestring_ascii(text).encode()


class _Rules:
    """What the scanner asks a decoder for."""

    strict = True
    object_hook = object_pairs_hook = None

    def __init__(self, number: Callable[[str], Any], constant: Callable[[str], Any]) -> None:
        self.parse_float = self.parse_int = number
        self.parse_constant = constant


def decoder(number: Callable[[str], Any], constant: Callable[[str], Any]) -> Callable[[str], Any]:
    """Make a function that decodes JSON text.

    Args:
        number: Gets each number as it is written.
        constant: Gets ``NaN`` and its kin, which are not JSON.

    Returns:
        The function; it raises ValueError for what is not JSON, and RecursionError for what is nested too deeply.
    """
    scan: Callable[[str, int], tuple[Any, int]] = make_scanner(_Rules(number, constant))  # type: ignore[arg-type] # duck

    def decode(text: str) -> Any:  # noqa: ANN401 - any JSON
        text = text.strip(_BLANKS)
        try:
            value, end = scan(text, 0)
        except StopIteration as error:
            raise ValueError(f"a value is missing at character {error.value}") from None
        except SystemError:
            # It describes what is wrong with json.decoder's exception, but Python 3.11 does not load that for it.
            import json.decoder  # noqa: F401, PLC0415

            value, end = scan(text, 0)
        if end != len(text):
            raise ValueError(f"more than one value, from character {end}")
        return value

    return decode

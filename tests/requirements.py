"""Every behaviour that we promise, by the ID of the issue that asked for it.

A test names what it proves with ``@pytest.mark.requirement("F-07")``; ``tests/repo/test_requirements.py`` fails when an
ID has no test or a test names an ID that is not here.
"""

from __future__ import annotations

REQUIREMENTS: dict[str, str] = {
    "F-01": "Three packages, each installing and importing alone; the wrapper needs the standard library only",
    "F-02": "scripts/demo and scripts/test set up everything they need and remove it again",
    "F-03": "One script checks and tests a clean clone on real parts and leaves nothing behind",
    "F-04": "The CRDs accept exactly the fields that do something and are generated from the models",
    "F-05": "A git URL of a Python or Node server becomes a verified image in the registry, pushed by digest",
    "F-06": "In the agent's Pod a server is reached over named pipes only, and nothing goes around toolman",
    "F-07": "toolman lists and calls exactly the allowed tools; hidden equals unknown",
    "F-08": "Status, events and errors say what is going on and what to do; deleting leaves nothing",
    "F-09": "The documents name every part, setting, reason and module as it is",
}

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
    "T-01": "Both eras of the protocol at the front, on one endpoint, with real clients' quirks",
    "T-02": "Both eras at the back for every kind of upstream, found out once and again after an upgrade",
    "T-03": "All four pairings of eras: server requests, progress, cancellation, logs, subscriptions, tasks",
    "T-04": "The conformance suites pass through toolman, in the same era and across eras",
    "T-05": "What toolman need not change arrives byte for byte; concurrent clients never see each other's messages",
    "T-06": "Sessions of its own, resumable streams, bounded buffers; restarts are survived as the specification says",
    "T-07": "Several servers behind one endpoint, and one endpoint a server: stable names, no server delays another",
    "T-10": "One pure decision for everything listed, called, asked or subscribed to; denied equals unknown",
    "T-11": "A layer in audit mode blocks nothing; what it would deny is counted and logged",
    "T-12": "Limits of layers: the tightest wins, and an error names the limit and when it resets",
    "T-13": "A tool that differs from the manifest is hidden or reported",
    "T-14": "The configuration is reloaded whole or not at all, without losing anything that is on its way",
    "T-15": "toolman suggest prints the least allow list that recorded calls needed",
    "T-20": "Child processes leave no orphan and no zombie, and cannot grow toolman's memory without bound",
    "T-21": "Servers behind pipes: made safely, restarted quickly, incarnations never confused",
    "T-22": "A sandbox container for each session, locked down, and removed whatever happens",
    "T-23": "Sessions in Redis survive a restart and are found by several gateways",
    "T-30": "Probes, metrics and a report, without the name of anything hidden where an agent can look",
    "T-31": "An audit log of one JSON object a line, never with the values of arguments",
    "T-32": "Rebinding, tokens, slow clients and bombs: bounded memory, a clear 4xx, service for everybody else",
    "T-33": "SIGTERM ends everything in order, within the grace period, with exit code 0",
    "T-34": "The command line: helpful errors, check as a table, probe",
    "T-35": "Callers of refused users are closed before a byte is read",
    "W-01": "The wrapper carries any number of requests at once; ids keep their type; a slow call delays nobody",
    "W-02": "Legacy: session and version headers, the GET stream, answers to the server's requests, resumption, DELETE",
    "W-03": "Modern: mirrored headers, invalid tools dropped, cancellation closes, listening stays open",
    "W-04": "toolman late, restarted or gone: waits, replays, and never runs a call twice silently",
    "W-05": "Environment variables and flags; https; wrong values are one line and exit code 2",
    "W-06": "stdout carries protocol and nothing else; ends in order and in time; long lines cost linear work",
    "W-07": "The image and the installed folder run anywhere",
    "W-08": "mcp-wrapper config prints each client's configuration; agents' Pods have them ready",
    "W-09": "Small and quick: memory, start and latency are measured beside peers",
    "W-10": "The client scenarios of the conformance suite pass through the wrapper",
    "W-11": "Nothing is sent to a listener of another user",
}

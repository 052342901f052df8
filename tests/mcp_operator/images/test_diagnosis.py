from __future__ import annotations

import pytest
from mcp_operator.images import diagnosis
from mcp_operator.images.build_log import BuildLog
from mcp_operator.images.reasons import Reason


@pytest.mark.requirement("F-08")
@pytest.mark.parametrize(
    ("stderr", "names"),
    [
        ("Error: the environment variable NOTES_API_KEY is required", "NOTES_API_KEY"),
        ("KeyError: 'SQLITE_DB_PATH'", "SQLITE_DB_PATH"),
        ("BRAVE_API_KEY environment variable not set", "BRAVE_API_KEY"),
        ("Please set the FIGMA_API_KEY first", "FIGMA_API_KEY"),
        ("WARNING: LOG_LEVEL not set, using the default\nAPI_TOKEN is required", "API_TOKEN:"),
        ("Missing required: GITHUB_TOKEN", "GITHUB_TOKEN"),
        ("ValueError: Must provide APP_ID or APP_SECRET environment variables", "APP_ID"),
    ],
)
def test_a_missing_variable_is_named_with_where_to_set_it(stderr: str, names: str) -> None:
    finding = diagnosis.start(stderr.splitlines(), 1)

    assert finding.reason == Reason.SETTING_MISSING
    assert names in finding.hint
    assert "spec.run.env" in finding.hint


@pytest.mark.requirement("F-08")
@pytest.mark.parametrize(
    "stderr",
    [
        "Usage: mcp-server-filesystem <allowed-directory> [additional-directories...]",
        "error: the following arguments are required: --repository",
        "Error: --brave-api-key is required. You can get one at https://example.com",
        "At least one allowed directory must be given: please provide a directory argument",
    ],
)
def test_a_missing_argument_is_said_with_where_to_set_it(stderr: str) -> None:
    finding = diagnosis.start(["INFO starting", *stderr.splitlines()], 2)

    assert finding.reason == Reason.SETTING_MISSING
    assert "spec.run.args" in finding.hint


@pytest.mark.parametrize(
    ("stderr", "code", "reason", "hint"),
    [
        ("INFO: Uvicorn running on http://0.0.0.0:8000", -1, Reason.STARTED_HTTP, "stdio"),
        ("Server listening on port 3000", -1, Reason.STARTED_HTTP, "stdio"),
        ("Error: Cannot find module '/app/dist/index.js'", 1, Reason.HANDSHAKE_FAILED, "build script"),
        ("ModuleNotFoundError: No module named 'requests'", 1, Reason.HANDSHAKE_FAILED, "dependencies"),
        ("OSError: [Errno 30] Read-only file system: '/app/data'", 1, Reason.HANDSHAKE_FAILED, "writable"),
        ("sqlite3.OperationalError: unable to open database file", 1, Reason.HANDSHAKE_FAILED, "writable"),
        ("", 0, Reason.HANDSHAKE_FAILED, "spec.build.command"),
        ("", diagnosis.RUNNING, Reason.HANDSHAKE_FAILED, "does not answer"),
        ("", diagnosis.ANSWERED, Reason.HANDSHAKE_FAILED, "answers wrongly"),
        ("", 1, Reason.HANDSHAKE_FAILED, "says nothing"),
        ("boom", 1, Reason.HANDSHAKE_FAILED, "It ended with: boom."),
        (
            "Traceback (most recent call last):\n  File 'a.py', line 1\n    load()\nValueError: no model\n  extra",
            1,
            Reason.HANDSHAKE_FAILED,
            "It ended with: ValueError: no model.",
        ),
        ("Error: getaddrinfo ENOTFOUND api.example.com", 1, Reason.HANDSHAKE_FAILED, "from the network"),
    ],
)
def test_why_a_server_does_not_answer_is_guessed(stderr: str, code: int, reason: Reason, hint: str) -> None:
    finding = diagnosis.start(stderr.splitlines(), code)

    assert finding.reason == reason
    assert hint in finding.hint


@pytest.mark.requirement("F-08")
@pytest.mark.parametrize(
    ("output", "reason", "transient"),
    [
        ("npm error code ETARGET\nnpm error notarget No matching version", Reason.DEPENDENCY_FAILED, False),
        ("x No solution found when resolving dependencies:", Reason.DEPENDENCY_FAILED, False),
        ("npm error `npm ci` can only install packages when your package.json and", Reason.DEPENDENCY_FAILED, False),
        ("gyp ERR! find Python", Reason.SYSTEM_PACKAGE_MISSING, False),
        ("  x Failed to build `x`", Reason.DEPENDENCY_FAILED, False),
        ("src/index.ts(5,7): error TS2322: Type", Reason.COMPILE_FAILED, False),
        ("sh: 1: bunx: not found", Reason.COMPILE_FAILED, False),
        ("npm error code EAI_AGAIN", Reason.NETWORK_FAILED, True),
        ("error: dns error: failed to lookup address information", Reason.NETWORK_FAILED, True),
        ("SSLError(CERTIFICATE_VERIFY_FAILED)certificate verify failed", Reason.CERTIFICATE_UNTRUSTED, False),
        (
            "npm error code SELF_SIGNED\nself-signed certificate in certificate chain",
            Reason.CERTIFICATE_UNTRUSTED,
            False,
        ),
        ("OSError: [Errno 28] No space left on device", Reason.DISK_FULL, True),
        ("The command 'x' returned a non-zero code: 137", Reason.OUT_OF_MEMORY, False),
        ("something else", Reason.DOCKER_BUILD_FAILED, False),
    ],
)
def test_why_an_instruction_failed_is_guessed(output: str, reason: Reason, *, transient: bool) -> None:
    finding = diagnosis.build(output)

    assert finding.reason == reason
    assert finding.transient == transient
    assert finding.hint


@pytest.mark.requirement("B-12")
@pytest.mark.parametrize(
    ("output", "hint"),
    [
        (
            "fatal error: libpq-fe.h: No such file or directory",
            "needs libpq-fe.h: add the Debian package with it (libpq-dev)",
        ),
        ("fatal error: odd/thing.h: No such file or directory", "needs odd/thing.h: add the Debian package with it to"),
        ("Error: Cannot find module 'esbuild'", "esbuild is used and not among the dependencies"),
        ("sh: 1: bunx: not found", "(bunx)"),
    ],
)
def test_what_is_missing_is_named(output: str, hint: str) -> None:
    assert hint in diagnosis.build(output).hint


@pytest.mark.requirement("B-12")
@pytest.mark.parametrize(
    ("output", "quote"),
    [
        (
            "a\nnpm error code ETARGET\nnpm error notarget No matching version\nb",
            "npm error notarget No matching version",
        ),
        ("npm error code ECONNREFUSED\nnpm error syscall connect", "npm error code ECONNREFUSED"),
        ("x\n  error TS2322: Type  \ny", "error TS2322: Type"),
        ("nothing that is known", ""),
    ],
)
def test_the_line_that_decides_is_quoted(output: str, quote: str) -> None:
    assert diagnosis.build(output).quote == quote


@pytest.mark.requirement("B-12")
def test_a_deciding_line_far_above_the_end_is_found_and_shown() -> None:
    log = BuildLog()
    log.take("Step 2/3 : RUN npm ci\nnpm error code E404 x\n" + "".join(f"line {number}\n" for number in range(100)))

    error = diagnosis.failed(log, "The command returned a non-zero code: 1")

    assert error.message == "step 2/3 : RUN npm ci failed: npm error code E404 x"
    assert error.log_tail.startswith("npm error code E404 x\n...\nline 81\n")
    assert error.log_tail.endswith("non-zero code: 1")


@pytest.mark.requirement("B-12")
def test_what_fails_before_the_first_step_is_said() -> None:
    assert diagnosis.failed(BuildLog(), "odd").message == "reading the Dockerfile failed"


@pytest.mark.requirement("B-12")
@pytest.mark.parametrize(
    ("text", "reason", "named"),
    [
        (
            "ImportError: libpq.so.5: cannot open shared object file: No such file",
            Reason.SYSTEM_PACKAGE_MISSING,
            "libpq5",
        ),
        ("Error: spawn git ENOENT", Reason.SYSTEM_PACKAGE_MISSING, "program git"),
        (
            "FileNotFoundError: [Errno 2] No such file or directory: 'ffmpeg'",
            Reason.SYSTEM_PACKAGE_MISSING,
            "program ffmpeg",
        ),
        ("OSError: [Errno 30] Read-only file system: '/app/a.log'", Reason.HANDSHAKE_FAILED, "It writes /app/a.log,"),
        (
            "Error: keys not found. Please place oauth.keys.json in current directory or /tmp",
            Reason.SETTING_MISSING,
            "a file oauth.keys.json",
        ),
        ("[Errno 2] No such file or directory: 'credentials.json'", Reason.SETTING_MISSING, "a file credentials.json"),
        (
            "Error: no current-context is set and no contexts are defined in kubeconfig",
            Reason.SETTING_MISSING,
            "KUBECONFIG",
        ),
        ("Invalid kube-config file. No configuration found.", Reason.SETTING_MISSING, "a kubeconfig"),
        ("Service host/port is not set.", Reason.SETTING_MISSING, "a kubeconfig"),
        ("ValueError: client_secret.json was not found", Reason.SETTING_MISSING, "a file client_secret.json"),
    ],
)
def test_what_a_server_misses_in_its_image_is_named(text: str, reason: Reason, named: str) -> None:
    finding = diagnosis.start(["Traceback (most recent call last):", text], 1)

    assert finding.reason == reason
    assert named in finding.hint


@pytest.mark.requirement("B-12")
@pytest.mark.parametrize("code", [1, diagnosis.RUNNING])
def test_what_waits_for_a_service_on_a_local_port_is_not_taken_for_one_that_serves_there(code: int) -> None:
    finding = diagnosis.start(["GET http://localhost:8888/login", "failed: [Errno 111] Connection", "  refused"], code)

    assert finding.reason == Reason.HANDSHAKE_FAILED
    assert "waits for something that is not there" in finding.hint


@pytest.mark.requirement("B-12")
def test_of_several_exceptions_at_once_an_error_is_quoted_and_not_what_is_drawn_around_them() -> None:
    lines = [
        "  + Exception Group Traceback (most recent call last):",
        '  |   File "/app/a.py", line 1, in b',
        "  | ExceptionGroup: unhandled errors (1 sub-exception)",
        "  +-+---------------- 1 ----------------",
        '    |   File "/app/c.py", line 2, in d',
        "    | x.OddException: <code=2>",
        "    +------------------------------------",
    ]

    assert "It ended with: x.OddException: <code=2>." in diagnosis.start(lines, 1).hint


@pytest.mark.requirement("B-12")
def test_a_module_that_gos_proxy_does_not_give_is_a_dependency_that_cannot_be_had() -> None:
    finding = diagnosis.build("go: x.y/z@v1.0.0: reading https://proxy.example/x.y/z/@v/v1.0.0.mod: 403 Forbidden\n")

    assert finding.reason == Reason.DEPENDENCY_FAILED
    assert "x.y/z@v1.0.0" in finding.quote


@pytest.mark.requirement("B-12")
def test_a_warning_that_looks_like_an_error_is_not_the_cause() -> None:
    text = (
        "npm warn ERESOLVE overriding peer dependency\nnpm error code E404\nnpm error 404 Not Found - GET https://x\n"
    )

    assert diagnosis.build(text).quote == "npm error 404 Not Found - GET https://x"


@pytest.mark.requirement("B-12")
def test_a_step_whose_container_was_removed_may_succeed_later() -> None:
    finding = diagnosis.build("removal of container 1a2b is already in progress\nreturned a non-zero code: 137")

    assert finding.reason == Reason.ENGINE_FAILED
    assert finding.transient


@pytest.mark.requirement("B-12")
def test_a_start_command_that_is_not_in_the_image_is_no_fault_of_the_engine() -> None:
    finding = diagnosis.start(['exec: "nothere": executable file not found in $PATH'], 127)

    assert finding.reason == Reason.HANDSHAKE_FAILED
    assert "no program nothere" in finding.hint
    assert "spec.build.command" in finding.hint

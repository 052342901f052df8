from __future__ import annotations

import pytest
from mcp_operator import names
from mcp_operator.images import placeholders
from mcp_operator.images.placeholders import Asked, asked

HOME = names.SERVER_HOME
pytestmark = pytest.mark.requirement("B-15")


@pytest.mark.parametrize(
    ("text", "env"),
    [
        ("Error: the environment variable NOTES_API_KEY is required", "NOTES_API_KEY"),
        ("KeyError: 'SQLITE_DB_PATH'", "SQLITE_DB_PATH"),
        ("BRAVE_API_KEY environment variable not set", "BRAVE_API_KEY"),
        ("Error: --brave-api-key is required, or set BRAVE_API_KEY: it must be set", "BRAVE_API_KEY"),
        ("No FIGMA_API_KEY was provided", "FIGMA_API_KEY"),
        ("A key is required: set NOTES_API_KEY or NOTES_API_KEY_FILE", "NOTES_API_KEY"),
        ("NOTES_API_KEY_FILE is required", "NOTES_API_KEY_FILE"),
        ("Missing required environment variables:\n  - JIRA_URL\n  - JIRA_API_TOKEN\nBye", "JIRA_URL JIRA_API_TOKEN"),
        ("1 validation error for Settings\nslack_token\n  Field required [type=missing]", "SLACK_TOKEN"),
        ("WARNING: LOG_LEVEL not set, using the default\nAPI_TOKEN is required", "API_TOKEN"),
        ("    at Module._compile\n    code: 'MODULE_NOT_FOUND', required", ""),
        ("Listening. NODE_ENV is not set", ""),
        ("The weather is fine", ""),
    ],
)
def test_variables_are_read_from_what_a_server_says(text: str, env: str) -> None:
    assert placeholders.variables(text.splitlines()) == tuple(env.split())


@pytest.mark.parametrize(
    ("text", "args"),
    [
        ("x: error: the following arguments are required: --repository", ("--repository", HOME)),
        (
            "error: the following arguments are required: -r/--repository, url",
            ("--repository", HOME, "http://127.0.0.1:9"),
        ),
        ("usage: x [-h] {http,stdio} ...\nx: error: the following arguments are required: command", ("stdio",)),
        ("usage: x [-h] {one,two} ...\nx: error: the following arguments are required: command", ("one",)),
        ("Error: Missing option '--db-path'.", ("--db-path", f"{HOME}/placeholder.db")),
        ("Error: Missing argument 'DIRECTORY'.", (HOME,)),
        ("Missing required argument: connection", (placeholders.PLACEHOLDER,)),
        ("error: required option '--api-key <key>' not specified", ("--api-key", placeholders.PLACEHOLDER)),
        ("Error: In-memory databases require the --read-write flag.", ("--read-write",)),
        ('Error: required flag(s) "token" not set', ("--token", placeholders.PLACEHOLDER)),
        ("Error: --brave-api-key is required. You can get one", ("--brave-api-key", placeholders.PLACEHOLDER)),
        ("Usage: mcp-server-filesystem <allowed-directory> [additional-directories...]", (HOME,)),
        ("Usage: x [--debug <level>] --url <url>", ("--url", "http://127.0.0.1:9")),
        ("At least one allowed directory must be given: please provide a directory argument", (HOME,)),
        ("Please provide a database URL as a command-line argument", ("http://127.0.0.1:9",)),
        ("OSError: [Errno 30] Read-only file system: '/app/data'", ()),
        ("Traceback (most recent call last)", ()),
        ("Error: ENOENT: no such file or directory, mkdir '/app/data/logs'", ()),
        (
            "Usage: x [OPTIONS] COMMAND\n\nCommands:\n  init   Set up.\n  start-mcp-server  Start.\n",
            ("start-mcp-server",),
        ),
        ("Usage:\n  x [command]\n\nAvailable Commands:\n  help  Help\n  stdio  Start\n\nFlags:\n  serve", ("stdio",)),
        ("\u256d\u2500 Commands \u2500\u256e\n\u2502 status   Show.   \u2502\n\u2502 mcp  Run. \u2502", ("mcp",)),
        ("positional arguments:\n  {init,serve}\n    init  Set up\n    serve  Start", ("serve",)),
        ("Commands:\n  init   Set up.\n\nrun", ()),
    ],
)
def test_arguments_are_read_from_what_a_server_says(text: str, args: tuple[str, ...]) -> None:
    assert placeholders.arguments(text) == args


def test_a_missing_variable_is_taken_before_a_usage_text() -> None:
    found = asked(["Usage: x <path>", "Error: X_TOKEN is required"])

    assert found == Asked(env=("X_TOKEN",))


def test_a_page_of_variables_is_cut() -> None:
    text = " ".join(f"VARIABLE_{letter}" for letter in "ABCDEFGHIJKLMNOP")

    assert len(placeholders.variables([f"required: {text}"])) == placeholders.MOST


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("BRAVE_MCP_TRANSPORT", "stdio"),
        ("DATABASE_URL", "postgresql://u:p@127.0.0.1:9/db"),
        ("JIRA_URL", "http://127.0.0.1:9"),
        ("SQLITE_DB_PATH", f"{HOME}/placeholder.db"),
        ("NOTES_DIR", HOME),
        ("--allowed-directories", HOME),
        ("SMTP_PORT", "9"),
        ("USER_EMAIL", "placeholder@example.com"),
        ("AZURE_TENANT_ID", "00000000-0000-4000-8000-000000000000"),
        ("API_KEY", placeholders.PLACEHOLDER),
        ("", placeholders.PLACEHOLDER),
    ],
)
def test_a_placeholder_looks_like_what_its_name_says(name: str, given: str) -> None:
    assert placeholders.value(name) == given


def test_a_variable_that_is_to_be_exported_is_asked_for_whatever_its_name() -> None:
    lines = ["ERROR: configuration is required.", '4. Environment variable: export DSN="your-connection-string"']

    assert placeholders.asked(lines).env == ("DSN",)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SERVER_PORT", "9"),
        ("MCP_TRANSPORT", "stdio"),
        ("MONGO_PORT", "9"),
        ("MDB_MCP_CONNECTION_STRING", "mongodb://127.0.0.1:9/db"),
        ("VERIFY_TOKEN", "placeholder"),
        ("AWS_REGION", "us-east-1"),
        ("OUTPUT_DIR", names.SERVER_HOME),
        ("ENABLE_WRITES", "true"),
    ],
)
def test_the_end_of_a_name_says_what_kind_of_value_it_has(name: str, value: str) -> None:
    assert placeholders.value(name) == value


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Error: REDIS_MODE must be 'single' or 'cluster'", {"REDIS_MODE": "single"}),
        ('REDIS_MODE must be one of: "single", "cluster", "sentinel".', {"REDIS_MODE": "single"}),
        ("redis_mode\n  Input should be 'single', 'cluster' or 'x' [type=literal_error]", {"REDIS_MODE": "single"}),
        ("Expected 'single' | 'cluster', received 'placeholder'\n  path: [\n 'REDIS_MODE' ]", {"REDIS_MODE": "single"}),
        ("REDIS_MODE: 'placeholder' is not one of 'sse', 'stdio'", {"REDIS_MODE": "stdio"}),
        ("invalid REDIS_MODE, valid values are single, cluster", {"REDIS_MODE": "single"}),
        ("REDIS_MODE: invalid choice (choose from single, cluster)", {"REDIS_MODE": "single"}),
        ("REDIS_MODE must be set or provided", {}),
        ("REDIS_MODE should be a URL, such as x, y", {}),
        ("REDIS_MODE must be 'single'", {}),
        ("API_KEY must be one of the keys that you have, or a token", {}),
        ("must be one of: a, b", {}),
        ("API_KEY must be 'placeholder' or 'x'", {}),
    ],
)
def test_one_of_a_list_of_values_is_chosen(text: str, found: dict[str, str]) -> None:
    given = {"API_KEY": "placeholder", "REDIS_MODE": "placeholder"}
    assert placeholders.choices(text.splitlines(), given) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("x: error: argument mode: invalid choice: 'placeholder' (choose from one, two)", ("--mode", "one")),
        ("Error: Invalid value for '--mode': 'placeholder' is not one of 'sse', 'stdio'.", ("--mode", "stdio")),
        ("invalid choice: 'other' (choose from one, two)", ()),
        ("invalid choice: 'placeholder' (choose from placeholder, two)", ()),
        ("'placeholder' is no number", ()),
    ],
)
def test_of_an_argument_one_of_its_values_is_chosen(text: str, found: tuple[str, ...]) -> None:
    assert placeholders.fitting([text], ("--mode", "placeholder")) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("  API_ID = int(os.environ[\"API_ID\"])\nValueError: invalid literal for int() with base 10: 'x'", ["API_ID"]),
        ("api_id\n  Input should be a valid integer [type=int_parsing, input_value='x']", ["API_ID"]),
        ('strconv.Atoi: parsing "x": invalid syntax', []),
        ("API_ID is wrong", []),
    ],
)
def test_what_a_server_wants_as_a_number_is_found_among_what_it_was_given(text: str, found: list[str]) -> None:
    assert list(placeholders.numbers(text.splitlines(), ["API_KEY", "API_ID"])) == found


@pytest.mark.requirement("B-15")
@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("FATAL: ENTRY_POINT and API_KEY cannot be set at the same time", ("ENTRY_POINT", "API_KEY")),
        ("--token: ENTRY_POINT, API_KEY are mutually exclusive", ("ENTRY_POINT", "API_KEY")),
        ("set API_KEY or ENTRY_POINT, not both", ("ENTRY_POINT", "API_KEY")),
        ("API_KEY and OTHER_KEY are mutually exclusive", ()),
        ("ENTRY_POINT or API_KEY is not set", ()),
    ],
)
def test_of_variables_that_exclude_each_other_only_one_is_given(line: str, found: tuple[str, ...]) -> None:
    assert placeholders.rivals(["x", line], ["ENTRY_POINT", "API_KEY", "MODE"]) == found


@pytest.mark.requirement("B-15")
def test_a_database_that_sqlalchemy_cannot_open_may_be_another_one() -> None:
    given = {"DB_URL": placeholders.value("DB_URL"), "API_KEY": placeholders.value("API_KEY")}
    said = ['  File "/x/sqlalchemy/engine/create.py", line 599', "ModuleNotFoundError: No module named 'psycopg2'"]

    assert placeholders.databases(said, given) == ("DB_URL",)
    assert placeholders.databases(said, {"DB_URL": placeholders.SQLITE}) == ()
    assert placeholders.databases(["asyncpg cannot connect"], given) == ()


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ('API key must start with "sk_" or "rk_".', "sk_"),
        ("Slack bot tokens begin with xoxb- and", "xoxb-"),
        ("the token starts with github_pat_.", "github_pat_"),
        ("lines must start with a letter", ""),
        ("it starts with nothing", ""),
    ],
)
def test_how_a_key_begins_is_read(line: str, found: str) -> None:
    assert placeholders.prefix(["first", line]) == found


def test_only_placeholders_begin_as_a_server_wants() -> None:
    given = ["placeholder", "--api-key=placeholder", "--tools=all", "http://127.0.0.1:9"]
    assert [placeholders.begun(text, "sk_") for text in given] == [
        "sk_placeholder",
        "--api-key=sk_placeholder",
        "--tools=all",
        "http://127.0.0.1:9",
    ]

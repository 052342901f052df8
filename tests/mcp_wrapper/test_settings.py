import pytest

from mcp_wrapper import environment, settings


@pytest.mark.requirement("W-05")
def test_without_anything_the_defaults_hold() -> None:
    chosen = settings.read([], {})
    assert chosen.endpoint.url == "http://localhost:3000/mcp"
    assert (chosen.timeout, chosen.connect_timeout, chosen.debug, chosen.token_file) == (0, 30, False, "")
    assert (chosen.uid, chosen.certificates) == (None, "")


def test_variables_are_read() -> None:
    chosen = settings.read(
        [],
        {
            environment.URL_VARIABLE: "http://[::1]:1/x",
            environment.TIMEOUT_VARIABLE: "1.5",
            environment.CONNECT_TIMEOUT_VARIABLE: "0",
            environment.DEBUG_VARIABLE: "True",
            environment.TOKEN_FILE_VARIABLE: "/t",
            environment.UID_VARIABLE: "0",
            environment.CERTIFICATES_VARIABLE: "/c",
        },
    )
    assert chosen.endpoint.url == "http://[::1]:1/x"
    assert (chosen.timeout, chosen.connect_timeout, chosen.debug, chosen.token_file) == (1.5, 0, True, "/t")
    assert (chosen.uid, chosen.certificates) == (0, "/c")


@pytest.mark.requirement("W-05")
@pytest.mark.parametrize("words", [["--url", "http://f/", "--timeout", "2"], ["--timeout=2", "--url=http://f/"]])
def test_flags_win_over_variables(words: list[str]) -> None:
    environ = {environment.URL_VARIABLE: "http://v/", environment.TIMEOUT_VARIABLE: "1"}
    chosen = settings.read(words, environ)
    assert (chosen.endpoint.url, chosen.timeout) == ("http://f/", 2)


def test_an_empty_variable_is_as_good_as_none() -> None:
    empty = dict.fromkeys((environment.URL_VARIABLE, environment.TIMEOUT_VARIABLE, environment.DEBUG_VARIABLE), "")
    assert settings.read([], empty).endpoint.url == environment.DEFAULT_URL


@pytest.mark.parametrize(
    ("words", "environ", "named"),
    [
        (["--timeout", "soon"], {}, "--timeout"),
        (["--timeout=-1"], {}, "--timeout"),
        (["--timeout=nan"], {}, "--timeout"),
        (["--timeout=inf"], {}, "--timeout"),
        (["--timeout"], {}, "--timeout"),
        (["--url"], {}, "--url"),
        (["--url", "nowhere"], {}, "nowhere"),
        (["--urk", "x"], {}, "--urk"),
        (["extra"], {}, "extra"),
        ([], {environment.TIMEOUT_VARIABLE: "x"}, environment.TIMEOUT_VARIABLE),
        ([], {environment.CONNECT_TIMEOUT_VARIABLE: "-2"}, environment.CONNECT_TIMEOUT_VARIABLE),
        ([], {environment.DEBUG_VARIABLE: "maybe"}, environment.DEBUG_VARIABLE),
        ([], {environment.UID_VARIABLE: "-1"}, environment.UID_VARIABLE),
        ([], {environment.UID_VARIABLE: "4294967295"}, environment.UID_VARIABLE),
        (["--url", "http://toolman/"], {environment.UID_VARIABLE: "1"}, environment.UID_VARIABLE),
    ],
)
def test_a_wrong_value_is_named_in_one_line(words: list[str], environ: dict[str, str], named: str) -> None:
    with pytest.raises(settings.UsageError) as caught:
        settings.read(words, environ)
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_help_names_every_variable() -> None:
    names = [value for name, value in vars(environment).items() if name.endswith("_VARIABLE")]
    assert [name for name in names if name not in settings.HELP] == []


@pytest.mark.parametrize(("flag", "text"), [("--help", "usage: "), ("-h", "usage: "), ("--version", "mcp-wrapper 0.")])
def test_help_and_version_are_answers(flag: str, text: str) -> None:
    with pytest.raises(settings.Answer, match=text):
        settings.read(["--debug", flag], {})

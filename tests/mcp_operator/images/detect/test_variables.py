from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from mcp_operator.images.detect import detect, variables

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mcp_operator.images.tree import Tree

    Write = Callable[[Mapping[str, str]], Tree]

pytestmark = pytest.mark.requirement("B-02")


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("a.py", 'os.getenv("A_TOKEN"); os.environ["B_URL"]; environ.get("C_HOST")', ("A_TOKEN", "B_URL", "C_HOST")),
        ("a.py", 'os.getenv("A_TOKEN", "x"); os.getenv("B_URL") or "x"; os.environ["C_KEY"] = "x"', ()),
        ("a.ts", "process.env.A_TOKEN!; process.env['B_URL']", ("A_TOKEN", "B_URL")),
        ("a.ts", "process.env.A_TOKEN || 1; process.env.B_URL ?? 1; process.env.C_KEY = 1; process.env.D_ID === 1", ()),
        ("a.go", 'os.Getenv("A_TOKEN"); os.LookupEnv("B_URL")', ("A_TOKEN", "B_URL")),
        (
            "a.py",
            'getenv("LOG_LEVEL"); getenv("MCP_HOST"); getenv("HTTPS_PROXY"); getenv("KUBERNETES_SERVICE_HOST")',
            (),
        ),
        ("a.py", f'os.getenv("{"A" * 200}_TOKEN")', ()),
        ("a.ts", f"process.env.{'A' * 200}_TOKEN", ()),
        ("tests/a.py", 'os.getenv("A_TOKEN")', ()),
    ],
)
def test_what_sources_read_without_a_default_and_leads_to_a_service_is_found(
    write: Write, name: str, text: str, found: tuple[str, ...]
) -> None:
    runtime = {"py": "python", "ts": "node", "go": "go"}[name.rpartition(".")[2]]

    assert variables.read(write({name: text}), ".", runtime) == found


def test_those_that_are_read_most_come_first_and_not_too_many_of_them(write: Write) -> None:
    texts = [f'os.getenv("A{number}_KEY")' for number in range(20)]
    tree = write({"a.py": "\n".join([*texts, 'os.getenv("B_KEY")', 'os.getenv("B_KEY")'])})

    found = variables.read(tree, ".", "python")

    assert found[0] == "B_KEY"
    assert len(found) == variables.MOST


def test_of_a_server_whose_files_explain_a_variable_it_is_not_named_again(write: Write) -> None:
    source = 'from mcp.server import Server\nos.getenv("A_TOKEN")\nos.getenv("B_URL")\nrun()'
    readme = '```json\n{"mcpServers": {"x": {"command": "uvx", "args": ["x"], "env": {"A_TOKEN": "yours"}}}}\n```\n'
    tree = write({"requirements.txt": "mcp", "server.py": source, "README.md": readme})

    assert detect(tree).hints.read == ("B_URL",)


def test_a_dockerfile_of_its_own_has_no_sources_that_we_could_read(write: Write) -> None:
    assert variables.read(write({"a.py": 'os.getenv("A_TOKEN")'}), ".", "dockerfile") == ()

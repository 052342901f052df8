from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING

import pytest
from mcp_operator.images import dockerfile, stages
from mcp_operator.images.contract import BuildError
from mcp_operator.images.detect.candidate import Hints
from mcp_operator.images.liveness import Serving
from mcp_operator.images.recipes.recipe import Copy, Recipe, Run, Stage

if TYPE_CHECKING:
    from pathlib import Path

RECIPE = Recipe(
    language="node",
    stages=(
        Stage(
            base="base:1",
            tools=(Run(("pip", "install", "uv")),),
            packages=("git",),
            env={"A": "b"},
            steps=(
                Copy(("a/package.json", "package.json")),
                Run(("npm", "ci")),
                Copy(),
                Run(("npm", "run", "build"), "a"),
            ),
            keep=("dist",),
        ),
    ),
    base="base:1",
    system_packages=("git",),
    env={"NODE_ENV": "production"},
    working_dir="/app/a",
    command=("node", "/app/a/x.js"),
)
STDIO_CHECK = 'test "$(readlink /proc/1/fd/0)" != /dev/null && ! grep -q "^State:.[TXZ]" /proc/1/status'
OWNER = {"toolman.dev/uid": "u"}


def render(recipe: Recipe = RECIPE, *, ca: bool = False, **labels: str) -> str:
    return dockerfile.render(recipe, owner=OWNER, labels={"l": "v", **labels}, ca=ca)


def small(*steps: Copy | Run, **more: object) -> Recipe:
    keep = more.pop("keep", (".",))
    values: dict[str, object] = {"working_dir": "/app", "command": ("x",), **more}
    stage = Stage(base="b", steps=steps, keep=keep)  # type: ignore[arg-type]  # each test names real fields
    return Recipe(language="node", stages=(stage,), base="b", **values)  # type: ignore[arg-type]  # as above


def final_stage(text: str) -> str:
    return text.rpartition("\nFROM ")[2]


@pytest.mark.requirement("F-05")
def test_the_whole_file_reads_as_expected() -> None:
    assert render().splitlines() == [
        *dockerfile.HEAD,
        "FROM base:1 AS builder",
        'LABEL app.kubernetes.io/managed-by="mcp-operator"',
        "ENV A=b",
        "RUN apt-get update && apt-get install -y --no-install-recommends git && rm -rf /var/lib/apt/lists/*",
        'RUN ["pip", "install", "uv"]',
        'LABEL toolman.dev/uid="u"',
        "WORKDIR /app",
        "COPY source/a/package.json /app/a/",
        "COPY source/package.json /app/",
        'RUN ["npm", "ci"]',
        "COPY source/ /app/",
        "WORKDIR /app/a",
        'RUN ["npm", "run", "build"]',
        "",
        "FROM base:1",
        'LABEL app.kubernetes.io/managed-by="mcp-operator"',
        'RUN echo "mcp:x:1001:1001:mcp:/tmp:/bin/false" >> /etc/passwd && echo "mcp:x:1001:" >> /etc/group',
        "RUN apt-get update && apt-get install -y --no-install-recommends git && rm -rf /var/lib/apt/lists/*",
        'LABEL toolman.dev/uid="u"',
        "ENV NODE_ENV=production MCP_CONFIG_PATH=/app/config/config.yaml",
        "WORKDIR /app/a",
        "HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 CMD "
        + json.dumps(["sh", "-c", STDIO_CHECK]),
        "USER 1001:1001",
        'ENTRYPOINT ["node", "/app/a/x.js"]',
        "COPY --from=builder /app/dist /app/dist",
        'LABEL l="v"',
    ]


def test_the_same_recipe_gives_the_same_bytes() -> None:
    assert render() == render()


def test_build_authorities_are_in_the_builder_stage_only() -> None:
    text = render(ca=True)

    assert "COPY build-ca.pem /opt/build-ca/build-ca.pem" in text
    assert "NODE_EXTRA_CA_CERTS=/opt/build-ca/bundle.pem" in text
    assert "build-ca" not in final_stage(text)
    assert "build-ca" not in render()


@pytest.mark.requirement("F-05")
@pytest.mark.parametrize("word", ['"]\nRUN id', "$(id)", "${HOME}", "\\", "'; id; '", "a\nUSER 0", "\u2028"])
def test_a_hostile_word_stays_a_word(word: str) -> None:
    recipe = small(Run((word,), otherwise=((word, word),)), command=(word,))

    text = render(recipe)

    started = next(line for line in text.splitlines() if line.startswith("ENTRYPOINT "))
    assert json.loads(started.removeprefix("ENTRYPOINT ")) == [word]
    assert text.count("\nRUN ") == 2
    assert text.count("\nUSER ") == 1


@pytest.mark.parametrize("value", ['x" y="z', "$HOME", "a\\"])
def test_a_hostile_label_stays_a_label(value: str) -> None:
    line = next(line for line in render(l=value).splitlines() if line.startswith("LABEL l="))

    assert line == 'LABEL l="' + value.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$") + '"'


@pytest.mark.parametrize(
    "recipe",
    [
        small(Copy(("a b",))),
        small(Copy(("$x",))),
        small(Run(("x",), "a\nUSER 0")),
        small(working_dir="/app/a b"),
        small(keep=("*",)),
        small(command=("a\0",)),
        small(system_packages=("git; id",)),
    ],
)
def test_a_path_that_would_mean_something_else_is_refused(recipe: Recipe) -> None:
    with pytest.raises(BuildError):
        render(recipe)


def test_a_label_with_a_line_end_is_refused() -> None:
    with pytest.raises(BuildError):
        render(l="a\nUSER 0")


@pytest.mark.requirement("B-04")
def test_attempts_follow_one_another_and_say_so() -> None:
    text = render(small(Run(("npm", "install", "--x y"), otherwise=(("npm", "install"), ("sh", "-c", "a && b")))))

    assert (
        "RUN npm install '--x y' \\\n"
        " || { echo 'mcp-operator: that failed, trying otherwise'; npm install; } \\\n"
        " || { echo 'mcp-operator: that failed, trying otherwise'; a && b; }\n"
    ) in text


@pytest.mark.requirement("B-04")
def test_a_time_limit_is_that_of_the_manifest_so_that_another_commit_uses_the_same_layers(tmp_path: Path) -> None:
    words = ("echo", "--before=@moment@")
    text = render(small(Run(words, dated="package.json", otherwise=(("sh", "-c", "a && b @moment@"),))))
    line = next(line for line in text.splitlines() if line.startswith("RUN MOMENT"))
    (tmp_path / "package.json").write_text("{}")
    os.utime(tmp_path / "package.json", (86_400, 86_400))

    script = line.removeprefix("RUN ").removesuffix(" \\")
    said = subprocess.run(["sh", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60)

    assert said.stdout == "--before=1970-01-02T00:00:00Z\n"
    assert 'a && b "$MOMENT"; }' in text


@pytest.mark.requirement("B-04")
def test_a_stage_goes_on_from_an_earlier_one_with_all_that_it_has() -> None:
    recipe = Recipe(
        language="node",
        stages=(
            Stage(name="dependencies", base="b", env={"A": "b"}, steps=(Run(("x",), "inner"),), keep=()),
            Stage(name="builder", base="b", after="dependencies", steps=(Run(("y",)),)),
        ),
        base="b",
        working_dir="/app",
        command=("x",),
    )

    stage = render(recipe).split("\n\n")[1].splitlines()

    assert stage == ["FROM dependencies AS builder", "WORKDIR /app", 'RUN ["y"]']
    assert "--from=dependencies" not in render(recipe)


@pytest.mark.requirement("B-04")
def test_on_alpine_packages_come_from_alpine() -> None:
    recipe = Recipe(
        language="node",
        stages=(Stage(base="node:22-alpine", packages=("git",), steps=()),),
        base="registry:5000/debian:12",
        system_packages=("git",),
        working_dir="/app",
        command=("x",),
    )

    builder, final = render(recipe).split("\nFROM registry")

    assert "RUN apk add --no-cache git" in builder
    assert "apt-get" not in builder
    assert "apt-get install" in final


@pytest.mark.requirement("B-05")
def test_several_stages_give_what_they_keep_to_one_image() -> None:
    recipe = Recipe(
        language="python",
        stages=(
            Stage(name="node", base="n:1", steps=(), keep=("node_modules", "/usr/local/bin/node")),
            Stage(base="p:1", steps=()),
        ),
        base="p:1",
        working_dir="/app",
        command=("x",),
    )

    copied = [line for line in render(recipe).splitlines() if line.startswith("COPY --from")]

    assert copied == [
        "COPY --from=node /app/node_modules /app/node_modules",
        "COPY --from=node /usr/local/bin/node /usr/local/bin/node",
        "COPY --from=builder /app /app",
    ]


@pytest.mark.requirement("B-04")
def test_a_server_that_says_http_gets_a_port_and_is_asked_over_http() -> None:
    hints = Hints(transport="streamable-http", port=8080, path="/mcp")

    text = dockerfile.render(RECIPE, owner=OWNER, labels={}, ca=False, hints=hints)

    assert "\nEXPOSE 8080\n" in text
    assert "http://127.0.0.1:8080/mcp" in text


@pytest.mark.requirement("B-04")
def test_what_the_handshake_found_is_put_on_a_finished_image() -> None:
    serving = Serving(language="python", transport="streamable-http", port=8000, path="/mcp")

    lines = dockerfile.render_labels("sha256:abc", {"toolman.dev/tools": '["a"]'}, serving).splitlines()

    assert lines[:3] == ["FROM sha256:abc", 'LABEL toolman.dev/tools="[\\"a\\"]"', "EXPOSE 8000"]
    assert lines[3].startswith("HEALTHCHECK ")


def test_a_long_list_of_tools_is_cut_off() -> None:
    label = dockerfile.tools_label(f"tool-{index}" for index in range(100_000))

    assert len(label) <= dockerfile.MAX_LABEL
    assert json.loads(label)[0] == "tool-0"


def test_a_tools_name_in_any_script_can_be_a_label() -> None:
    label = dockerfile.tools_label(["a\nb", "\u2028", "caf\u00e9"])

    assert "LABEL" in dockerfile.render_labels("i", {"t": label}, Serving(language="node"))
    assert json.loads(label) == ["a\nb", "\u2028", "caf\u00e9"]


@pytest.mark.requirement("B-04")
def test_a_dockerfile_of_the_repositorys_own_ends_like_all_others() -> None:
    lines = stages.read("FROM x\nENTRYPOINT run me\nCMD y", {})
    pins = {"docker.io/library/x:latest": stages.Pin("sha256:1", "x@sha256:2")}

    text = dockerfile.render_own(lines, pins, owner=OWNER, labels={"l": "v"}, working_dir="/srv", command=("run", "me"))

    assert text.splitlines() == [
        *stages.HEAD.splitlines(),
        "FROM x@sha256:2",
        'LABEL app.kubernetes.io/managed-by="mcp-operator" toolman.dev/uid="u"',
        "ENTRYPOINT run me",
        "CMD y",
        "",
        'LABEL app.kubernetes.io/managed-by="mcp-operator" l="v" toolman.dev/uid="u"',
        "ENV MCP_CONFIG_PATH=/app/config/config.yaml",
        "WORKDIR /srv",
        "USER 1001:1001",
        'ENTRYPOINT ["run", "me"]',
        "CMD []",
    ]

from __future__ import annotations

import json
import os
import shlex
import subprocess
from typing import TYPE_CHECKING

import pytest
from mcp_operator.images import dockerfile, stages
from mcp_operator.images.contract import BuildError
from mcp_operator.images.detect.candidate import Hints
from mcp_operator.images.liveness import Serving
from mcp_operator.images.recipes.recipe import NOTHING, Copy, Recipe, Run, Stage

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
        "RUN pip install uv",
        'LABEL toolman.dev/uid="u"',
        "WORKDIR /app",
        "COPY source/a/package.json /app/a/",
        "COPY source/package.json /app/",
        "RUN npm ci",
        "WORKDIR /app/a",
        "COPY source/ /app/",
        "RUN npm run build",
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
@pytest.mark.parametrize(
    "word", ['"]\nRUN id', "$(id)", "${HOME}", "\\", "'; id; '", "a\nUSER 0", "\u2028", "--mount=x"]
)
def test_a_hostile_word_stays_a_word(word: str) -> None:
    recipe = small(Run((word,), before=((word, word),), why=("why",)), command=(word,))

    text = render(recipe)

    started = next(line for line in text.splitlines() if line.startswith("ENTRYPOINT "))
    assert json.loads(started.removeprefix("ENTRYPOINT ")) == [word]
    for line in text.splitlines()[-20:]:
        if line.startswith("RUN ") and "passwd" not in line:
            said = line.removeprefix("RUN ")
            assert set(json.loads(said) if said.startswith("[") else shlex.split(said)) == {word}
    assert text.count("\nRUN ") == 3
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
def test_after_changed_files_no_step_only_changes_the_folder() -> None:
    text = render(small(Run(("a",)), Copy(), Run(("b",), "in"), Run(("c",), ""), Run(("d",), "in")))

    assert "RUN a\nWORKDIR /app/in\nCOPY source/ /app/\nRUN b\nRUN c\nRUN d\n" in text


@pytest.mark.requirement("B-04")
def test_a_step_that_is_done_otherwise_says_why_and_what_comes_first_is_a_step_of_its_own() -> None:
    recipe = small(Run(("npm", "ci"), before=(("npm", "update", "x y"),), why=("x is gone.", "y is gone.")))

    assert "\n# x is gone.\n# y is gone.\nRUN npm update 'x y'\nRUN npm ci\n" in render(recipe)


def test_a_step_that_is_left_out_says_why() -> None:
    text = render(small(Run(NOTHING, why=("It cannot be taken out.",))))

    assert "WORKDIR /app\n# It cannot be taken out.\n\nFROM" in text


@pytest.mark.requirement("B-04")
def test_a_long_script_of_ours_and_a_long_environment_have_several_lines() -> None:
    script = f"echo {'a' * 100} && echo {'b' * 100}"
    recipe = small(Run(("sh", "-c", script)), env={name: name * 60 for name in ("A", "B")})

    text = render(recipe)

    assert f"RUN echo {'a' * 100} \\\n && echo {'b' * 100}\n" in text
    assert f"ENV A={'A' * 60} \\\n    B={'B' * 60} \\\n    MCP_CONFIG_PATH=" in text


@pytest.mark.requirement("B-04")
def test_what_a_step_does_is_told_by_its_number() -> None:
    script = Run(("sh", "-c", f"echo {'a' * 100} && echo {'b' * 100}"))
    mended = Run(("npm", "ci"), before=(("npm", "update", "x"),), why=("why",))
    recipe = small(Copy(), script, mended)
    text = render(recipe)
    # FROM, LABEL, LABEL, WORKDIR, COPY come before.
    found = [dockerfile.command_at(recipe, text, number) for number in (0, 5, 6, 7, 8, 9, 1000)]

    assert found == [None, None, script, mended, mended, None, None]


@pytest.mark.requirement("B-04")
def test_what_a_step_goes_on_with_is_in_the_same_step_and_others_words_stay_as_they_are() -> None:
    short = Run(("npm", "run", "build"), then="mkdir -p /own")
    long = Run(("npm", "run", "a && b"), then=f"mkdir -p /own && cp -a {'x' * 120} /own")
    odd = Run(("npm", "run", "a\nb"), then="mkdir -p /own")
    recipe = small(short, long, odd)
    text = render(recipe)

    assert "\nRUN npm run build && mkdir -p /own\n" in text
    assert f"\nRUN npm run 'a && b' \\\n && mkdir -p /own \\\n && cp -a {'x' * 120} /own\n" in text
    assert """\nRUN ["sh", "-c", "npm run 'a\\nb' && mkdir -p /own"]\n""" in text
    # FROM, LABEL, LABEL, WORKDIR come before.
    assert [dockerfile.command_at(recipe, text, number) for number in (5, 6, 7)] == [short, long, odd]


@pytest.mark.requirement("B-04")
def test_a_time_limit_is_that_of_the_manifest_so_that_another_commit_uses_the_same_layers(tmp_path: Path) -> None:
    run = Run(("echo", "--before=@moment@"), dated="package.json", then="echo @moment@")
    line = next(line for line in render(small(run)).splitlines() if line.startswith("RUN echo --before"))
    (tmp_path / "package.json").write_text("{}")
    os.utime(tmp_path / "package.json", (86_400, 86_400))

    script = line.removeprefix("RUN ")
    said = subprocess.run(["sh", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60)

    assert said.stdout == "--before=1970-01-02T00:00:00Z\n1970-01-02T00:00:00Z\n"


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

    assert stage == ["FROM dependencies AS builder", "WORKDIR /app", "RUN y"]
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


@pytest.mark.requirement("B-04")
def test_what_an_image_says_already_of_how_it_is_reached_is_not_written_again() -> None:
    served = Serving(language="node", transport="streamable-http", port=8080, path="/mcp")
    planned = dockerfile.planned("node", Hints(transport="streamable-http", port=8080, path="/mcp"))

    assert dockerfile.render_labels("i", {"a": "1"}, served, planned) == 'FROM i\nLABEL a="1"\n'
    assert "EXPOSE 8080" in dockerfile.render_labels("i", {"a": "1"}, served, dockerfile.planned("node", Hints()))


def test_labels_share_a_line_unless_it_would_be_too_long() -> None:
    serving = Serving(language="dockerfile")

    short = dockerfile.render_labels("i", {"b": "2", "a": "1"}, serving)
    long = dockerfile.render_labels("i", {"b": "2" * 40_000, "a": "1" * 40_000}, serving)

    assert short == 'FROM i\nLABEL a="1" b="2"\n'
    assert [line[:8] for line in long.splitlines()] == ["FROM i", "LABEL a=", "LABEL b="]
    assert dockerfile.render_labels("i", {}, serving) == "FROM i\n"


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

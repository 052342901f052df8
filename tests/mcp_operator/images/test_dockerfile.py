from __future__ import annotations

import json

import pytest
from mcp_operator.images import dockerfile
from mcp_operator.images.contract import BuildError
from mcp_operator.images.recipes.recipe import Copy, Recipe, Run

RECIPE = Recipe(
    base="base:1",
    tools=(Run(("pip", "install", "uv")),),
    builder_packages=("git",),
    builder_env={"A": "b"},
    steps=(Copy(("a/package.json", "package.json")), Run(("npm", "ci")), Copy(), Run(("npm", "run", "build"), "a")),
    keep=("dist",),
    system_packages=("git",),
    env={"NODE_ENV": "production"},
    working_dir="/app/a",
    command=("node", "/app/a/x.js"),
)
OWNER = {"toolman.dev/uid": "u"}


def render(recipe: Recipe = RECIPE, *, ca: bool = False, **labels: str) -> str:
    return dockerfile.render(recipe, owner=OWNER, labels={"l": "v", **labels}, ca=ca)


def final_stage(text: str) -> str:
    return text.rpartition("\nFROM ")[2]


@pytest.mark.requirement("F-05")
def test_the_whole_file_reads_as_expected() -> None:
    assert render().splitlines() == [
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
        "ENV NODE_ENV=production",
        "WORKDIR /app/a",
        "COPY --from=builder /app/dist /app/dist",
        'LABEL l="v"',
        "USER 1001:1001",
        'ENTRYPOINT ["node", "/app/a/x.js"]',
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
    recipe = Recipe(base="b", steps=(Run((word,), otherwise=((word, word),)),), working_dir="/app", command=(word,))

    text = render(recipe)

    assert json.loads(text.splitlines()[-1].removeprefix("ENTRYPOINT ")) == [word]
    assert text.count("\nRUN ") == 2
    assert text.count("\nUSER ") == 1


@pytest.mark.parametrize("value", ['x" y="z', "$HOME", "a\\"])
def test_a_hostile_label_stays_a_label(value: str) -> None:
    line = next(line for line in render(l=value).splitlines() if line.startswith("LABEL l="))

    assert line == 'LABEL l="' + value.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$") + '"'


@pytest.mark.parametrize(
    "recipe",
    [
        Recipe(base="b", steps=(Copy(("a b",)),), working_dir="/app", command=("x",)),
        Recipe(base="b", steps=(Copy(("$x",)),), working_dir="/app", command=("x",)),
        Recipe(base="b", steps=(Run(("x",), "a\nUSER 0"),), working_dir="/app", command=("x",)),
        Recipe(base="b", steps=(), working_dir="/app/a b", command=("x",)),
        Recipe(base="b", steps=(), keep=("*",), working_dir="/app", command=("x",)),
        Recipe(base="b", steps=(), working_dir="/app", command=("a\0",)),
    ],
)
def test_a_path_that_would_mean_something_else_is_refused(recipe: Recipe) -> None:
    with pytest.raises(BuildError):
        render(recipe)


def test_a_label_with_a_line_end_is_refused() -> None:
    with pytest.raises(BuildError):
        render(l="a\nUSER 0")


def test_attempts_follow_one_another() -> None:
    recipe = Recipe(
        base="b",
        steps=(Run(("npm", "install", "--x y"), otherwise=(("npm", "install"), ("npm", "i"))),),
        working_dir="/app",
        command=("x",),
    )

    assert """RUN ["sh", "-c", "npm install '--x y' || npm install || npm i"]""" in render(recipe)

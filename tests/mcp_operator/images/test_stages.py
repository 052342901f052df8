from __future__ import annotations

import pytest
from mcp_operator import names
from mcp_operator.images import stages
from mcp_operator.images.contract import BuildError, Step
from mcp_operator.images.reasons import Reason
from mcp_operator.images.stages import Pin
from mcp_operator.images.stored import Image

pytestmark = pytest.mark.requirement("B-13")

ID = f"sha256:{'a' * 64}"
LABEL = 'LABEL owner="me"'


def written(text: str, **arguments: str) -> list[str]:
    lines = stages.read(text, arguments)
    pins = {name: Pin(ID, f"<{name}>") for name in stages.images(lines)}
    return stages.render(lines, pins, [LABEL])[1:]


def refused(text: str) -> BuildError:
    with pytest.raises(BuildError) as caught:
        stages.read(text, {})
    assert caught.value.step is Step.DETECT
    assert caught.value.hint
    return caught.value


def test_every_image_is_named_by_what_it_means_and_every_stage_has_its_owners_labels() -> None:
    text = """
# syntax=docker.io/evil/frontend
# escape=`
ARG VERSION=20
FROM --platform=linux/amd64 node:${VERSION}-slim AS Build
WORKDIR /src
RUN npm ci \\
    # a comment in its middle

    && npm run build
FROM gcr.io/distroless/nodejs22:nonroot
COPY --chown=1:1 --from=build /src/dist /app
COPY --from=0 /src/x /x
COPY --from=busybox:1 /bin/busybox /bin/
from build
CMD ["/app/run"]
"""

    assert written(text) == [
        "ARG VERSION=20",
        "FROM <docker.io/library/node:20-slim> AS build",
        LABEL,
        "WORKDIR /src",
        "RUN npm ci     && npm run build",
        "FROM <gcr.io/distroless/nodejs22:nonroot>",
        LABEL,
        "COPY --chown=1:1 --from=build /src/dist /app",
        "COPY --from=0 /src/x /x",
        "COPY --from=<docker.io/library/busybox:1> /bin/busybox /bin/",
        "FROM build",
        LABEL,
        'CMD ["/app/run"]',
    ]


@pytest.mark.parametrize(
    ("start", "image"),
    [
        ("FROM $IMAGE", "docker.io/library/given:1"),
        ("ARG TAG=3\nARG NAME=x-${TAG}\nFROM ${NAME}", "docker.io/library/x-3:latest"),
        ("FROM ${ABSENT:-debian}:12", "docker.io/library/debian:12"),
        ("FROM debian${IMAGE:+:13}", "docker.io/library/debian:13"),
        ('ARG A="debian:12" B=2\nFROM $A', "docker.io/library/debian:12"),
        ("FROM ab12cd34ef56", "docker.io/library/ab12cd34ef56:latest"),
    ],
)
def test_arguments_are_filled_in_as_docker_does_and_nothing_is_taken_for_an_id(start: str, image: str) -> None:
    assert stages.images(stages.read(f"ARG IMAGE\n{start}\n", {"IMAGE": "given:1"})) == (image,)


def test_an_argument_of_a_stage_counts_for_no_image() -> None:
    lines = stages.read("ARG A=debian\nFROM $A\nARG A=other\nFROM $A\n", {})

    assert stages.images(lines) == ("docker.io/library/debian:latest",)


def test_a_stage_is_not_the_image_of_its_name_before_it_is_finished() -> None:
    lines = stages.read("FROM debian AS victim\nCOPY --from=victim /secret /\n", {})

    assert "docker.io/library/victim:latest" in stages.images(lines)


def test_labels_that_claim_another_owner_are_written_over_at_once() -> None:
    assert written("FROM scratch\nLABEL toolman.dev/uid=victim\nCOPY x /x")[2:4] == [
        "LABEL toolman.dev/uid=victim",
        LABEL,
    ]


def test_scratch_is_no_image() -> None:
    assert written("FROM scratch\nCOPY x /x") == ["FROM scratch", LABEL, "COPY x /x"]


@pytest.mark.parametrize(
    "text",
    [
        'FROM debian\nCOPY --from="victim" /a /b',
        "FROM debian\nCOPY --fr\\om=victim /a /b",
        "FROM debian\nCOPY --chown=1\u00a0--from=victim /a /b",
        "FROM debian\nCOPY --from=$VICTIM /a /b",
        "FROM debian\nCOPY --from=7 /a /b",
        "FROM debian AS a/b\n",
        "FROM debian victim\n",
        "FROM $ABSENT\n",
        "FROM debian\nRUN echo a \\",
        "FROM debian\nRUN echo a \\\n# what\n\n",
        "FROM debian\nRUN echo \x1c# \\",
        "FROM debian\n'RUN x'",
        "ARG A='\nFROM $A",
    ],
)
def test_what_docker_may_read_otherwise_is_refused(text: str) -> None:
    error = refused(text)

    assert error.reason == Reason.UNSUPPORTED
    assert "cannot be read for certain" in error.message


def test_a_flag_behind_a_blank_of_another_script_is_seen_as_docker_sees_it() -> None:
    lines = stages.read("FROM debian\nCOPY \u00a0--from=victim /a /b", {})

    assert "docker.io/library/victim:latest" in stages.images(lines)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("ADD http://169.254.169.254/latest/meta-data /x", "has the engine itself fetch something"),
        ('ADD ["https://127.0.0.1/", "/x"]', "has the engine itself fetch something"),
        ("ADD git@example.com:x.git /x", "has the engine itself fetch something"),
        ("ONBUILD COPY --from=victim / /", "ONBUILD"),
        ("onbuild ENTRYPOINT evil", "ONBUILD"),
        ("RUN --mount=type=bind,from=victim,target=/x cat /x", "only BuildKit"),
        ("RUN \\\n  --network=host curl x", "only BuildKit"),
        ('RUN cat <<"CMD []"', "only BuildKit"),
        ("COPY <<eof /x", "only BuildKit"),
    ],
)
def test_what_reaches_beyond_the_build_is_refused(line: str, said: str) -> None:
    assert said in refused(f"FROM debian\n{line}\n").message


def test_what_may_turn_into_a_url_is_copied_and_never_fetched() -> None:
    assert written("FROM debian\nADD app.tar.gz /app\nADD $WHERE /x\nADD h\\ttp:x /x")[2:] == [
        "ADD app.tar.gz /app",
        "COPY $WHERE /x",
        "COPY h\\ttp:x /x",
    ]


def test_an_image_that_was_built_for_somebody_else_is_refused_and_ones_own_is_not() -> None:
    image = Image(id=ID, size=1, labels={names.LABEL_UID: "victim"})

    with pytest.raises(BuildError, match="built for another server") as caught:
        stages.pinned("docker.io/library/x:1", image, "me")
    assert caught.value.reason == Reason.SOURCE_UNSAFE
    assert stages.pinned("docker.io/library/x:1", image, "victim") == Pin(ID, ID)


def test_an_image_with_instructions_for_builds_is_refused() -> None:
    with pytest.raises(BuildError, match="ONBUILD"):
        stages.pinned("docker.io/library/x:1", Image(id=ID, size=1, triggers=True), "me")


def test_an_image_of_a_registry_is_named_by_its_digest_there() -> None:
    digests = (f"r.test/other@sha256:{'b' * 64}", f"debian@sha256:{'c' * 64}")

    pin = stages.pinned("docker.io/library/debian:12", Image(id=ID, size=1, digests=digests), "me")

    assert pin == Pin(ID, f"debian@sha256:{'c' * 64}")


def test_an_image_that_cannot_be_had_is_the_dockerfiles_affair() -> None:
    error = BuildError(Reason.BASE_IMAGE_UNAVAILABLE, "gone", step=Step.BUILD, hint="Set TOOLMAN_BASE_NODE.")

    assert "Dockerfile" in stages.unavailable(error).hint
    other = BuildError(Reason.DISK_FULL, "full", step=Step.BUILD, hint="Free some.")
    assert stages.unavailable(other).hint == "Free some."

from __future__ import annotations

import base64
import dataclasses

import pytest
from mcp_operator.images.contract import (
    BuildError,
    BuildRequest,
    BuildResult,
    GitCredentials,
    GitSource,
    NpmSource,
    RegistryAuth,
    Step,
)
from mcp_operator.images.masking import Mask, Masked
from mcp_operator.images.reasons import Reason

pytestmark = [pytest.mark.requirement("B-11"), pytest.mark.requirement("B-13")]

KEY = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAA\n-----END OPENSSH PRIVATE KEY-----\n"
REQUEST = BuildRequest(
    source=GitSource(url="https://example.com/x", credentials=GitCredentials(token="correct/horse", ssh_key=KEY)),
    repository="r/x",
    deployment_id="x",
    uid="1",
    auth=RegistryAuth(username="me", password="battery+staple"),
    build_args={"NPM_PAT": "given-to-npm", "VERSION": "1.2.3-long"},
    env={"SERVICE_API_KEY": "given-to-it", "LEVEL": "verbose", "SHORT_TOKEN": "abc"},
)


class Heard:
    def __init__(self) -> None:
        self.said: list[str] = []

    def step(self, _step: Step, detail: str) -> None:
        self.said.append(detail)

    def log(self, line: str) -> None:
        self.said.append(line)


@pytest.mark.parametrize(
    "secret",
    [
        "correct/horse",
        "correct%2Fhorse",
        base64.b64encode(b"correct/horse").decode().rstrip("="),
        "b3BlbnNzaC1rZXktdjEAAAA",
        "battery+staple",
        base64.b64encode(b"me:battery+staple").decode(),
        "given-to-npm",
        "given-to-it",
    ],
)
def test_what_a_request_knows_to_be_secret_is_masked_in_every_form(secret: str) -> None:
    assert Mask(REQUEST).text(f"it says {secret}!") == "it says ***!"


@pytest.mark.parametrize("plain", ["1.2.3-long", "verbose", "abc", "OPENSSH PRIVATE KEY", "me"])
def test_what_is_none_stays(plain: str) -> None:
    assert Mask(REQUEST).text(f"it says {plain}!") == f"it says {plain}!"


def test_the_beginning_of_a_secret_where_a_line_was_cut_off_is_masked_too() -> None:
    mask = Mask(REQUEST)

    assert mask.text("so long battery+sta…") == "so long ***…"
    assert mask.text("so long batt…") == "so long batt…"


def test_nothing_is_masked_where_nothing_is_secret() -> None:
    request = dataclasses.replace(REQUEST, source=NpmSource(package="x"), auth=None, build_args={}, env={})

    assert Mask(request).text("battery+staple …") == "battery+staple …"


def test_progress_errors_and_results_are_told_without_secrets() -> None:
    mask, heard = Mask(REQUEST), Heard()
    masked = Masked(heard, mask)
    masked.step(Step.BUILD, "RUN echo given-to-npm")
    masked.log("correct/horse")
    assert heard.said == ["RUN echo ***", "***"]

    said = "given-to-npm"
    with pytest.raises(BuildError) as caught, mask.errors():
        raise BuildError(Reason.BUILD_LIMIT, f"m {said}", step=Step.BUILD, hint=f"h {said}", log_tail=f"t {said}")
    error = caught.value
    assert [str(error), error.message, error.hint, error.log_tail] == ["m ***", "m ***", "h ***", "t ***"]

    result = BuildResult(
        commit="",
        reference="",
        image_id="",
        size=0,
        command=(),
        working_dir="",
        evidence=(f"saw {said}",),
        protocol_version="",
        server_name=f"server {said}",
        tools=(),
        seconds=0,
        warnings=(f"warned of {said}",),
    )
    assert said not in str(mask.result(result))

from __future__ import annotations

import os
import subprocess
import sys
from importlib import metadata

import pytest
import yaml
from mcp_operator import crds

SECONDS = 60
SETTINGS = {"TOOLMAN_REGISTRY": "r", "TOOLMAN_IMAGE_TOOLMAN": "t", "TOOLMAN_IMAGE_WRAPPER": "w"}


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("TOOLMAN_", "KUBE"))}
    return subprocess.run(
        [sys.executable, "-m", "mcp_operator", *arguments],
        env={**clean, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
    )


def test_the_version_is_told() -> None:
    assert run("--version").stdout == f"mcp-operator {metadata.version('mcp-operator')}\n"


@pytest.mark.requirement("F-04")
def test_the_definitions_are_printed_for_kubectl() -> None:
    documents = list(yaml.safe_load_all(run("crds").stdout))
    assert documents == [crds.manifest(kind) for kind in crds.KINDS]


@pytest.mark.requirement("F-08")
@pytest.mark.parametrize(
    ("environment", "text"),
    [
        ({}, "mcp-operator: not set: TOOLMAN_REGISTRY, TOOLMAN_IMAGE_TOOLMAN, TOOLMAN_IMAGE_WRAPPER\n"),
        ({**SETTINGS, "TOOLMAN_MAX_BUILDS": "x"}, "mcp-operator: TOOLMAN_MAX_BUILDS must be a whole number, not 'x'\n"),
        ({**SETTINGS, "TOOLMAN_LOG_LEVEL": "LOUD"}, "mcp-operator: Unknown level: 'LOUD'\n"),
        (SETTINGS, "mcp-operator: not in a cluster, and KUBECONFIG is not set\n"),
        ({**SETTINGS, "KUBECONFIG": "/nowhere"}, None),
    ],
)
def test_a_setting_that_is_wrong_is_one_line_and_exit_code_2(environment: dict[str, str], text: str | None) -> None:
    done = run("run", **environment)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert text is None or done.stderr == text

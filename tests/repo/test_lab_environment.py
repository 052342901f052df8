from __future__ import annotations

import dataclasses
import subprocess

import pytest
from lab.environment import Environment, from_variables
from lab.errors import LabError

LAB = Environment(
    registry="127.0.0.1:5000",
    engine_socket="/var/run/docker.sock",
    node_address="172.17.0.1",
    base_python="python:3.12-slim",
    base_node="node:22-slim",
    base_debian="debian:bookworm-slim",
    kubeconfig="/home/a person's/$HOME config",
)


def test_a_shell_reads_exactly_what_was_written() -> None:
    script = LAB.exports("/home/a person's/bin") + '\nprintf "%s\\n%s" "$TOOLMAN_KUBECONFIG" "$PATH"'
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True, env={"PATH": "/bin"})
    assert done.stdout == "/home/a person's/$HOME config\n/bin:/home/a person's/bin"


def test_what_is_empty_is_not_exported() -> None:
    assert "TOOLMAN_CA_FILE" not in LAB.exports("/bin")
    assert "TOOLMAN_KUBECONFIG" not in dataclasses.replace(LAB, kubeconfig="").exports("/bin")


def test_the_variables_give_the_same_lab() -> None:
    assert from_variables(LAB.variables()) == LAB


def test_a_lab_without_a_cluster_is_a_lab() -> None:
    without = dataclasses.replace(LAB, kubeconfig="")
    assert from_variables(without.variables()) == without


def test_a_missing_variable_is_named_with_what_to_do() -> None:
    variables = LAB.variables()
    del variables["TOOLMAN_NODE_ADDRESS"]
    with pytest.raises(LabError, match=r"^TOOLMAN_NODE_ADDRESS is not set: run scripts/test, or first scripts/lab up"):
        from_variables(variables)

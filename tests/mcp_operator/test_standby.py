from __future__ import annotations

import httpx
import pytest
from mcp_operator import standby


@pytest.mark.requirement("F-08")
def test_a_kubelet_gets_an_answer_while_standing_by_and_the_port_is_free_afterwards() -> None:
    with standby.answering("127.0.0.1", 0) as port:
        assert httpx.get(f"http://127.0.0.1:{port}/healthz").status_code == 200
    with standby.answering("127.0.0.1", port) as again:
        assert again == port

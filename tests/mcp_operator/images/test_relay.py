from __future__ import annotations

import pytest
from mcp_operator.images.relay import Address, parse

TABLE = """\
sl local_address rem_address st tx_queue rx_queue tr tm->when retrnsmt uid timeout inode
0: 0100007F:0D05 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 1 1 0 100 0 0 10 0
1: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 1 1 0 100 0 0 10 0
2: 0100007F:0D05 0100007F:9C40 01 00000000:00000000 00:00000000 00000000 0 0 1 1 0 100 0 0 10 0
sl local_address remote_address st
0: 00000000000000000000000000000000:1F90 00000000000000000000000000000000:0000 0A 0 0
1: 00000000000000000000000001000000:0BB8 00000000000000000000000000000000:0000 0A 0 0
2: 00000000000000000000000000000000:0BB9 00000000000000000000000000000000:0000 0A 0 0
3: garbage
"""


@pytest.mark.requirement("B-15")
def test_what_listens_is_read_from_the_kernels_tables_each_port_once() -> None:
    assert parse(TABLE) == [
        Address("127.0.0.1", 3333),
        Address("127.0.0.1", 8080),
        Address("::1", 3000),
        Address("127.0.0.1", 3001),
    ]


def test_an_empty_table_is_nothing() -> None:
    assert parse("") == []

"""What the revisions of MCP put on the wire: one module an era, and what HTTP asks of both. Pure: no I/O.

*Legacy* revisions open with ``initialize`` and keep a session; *modern* ones carry everything in each request.
"""

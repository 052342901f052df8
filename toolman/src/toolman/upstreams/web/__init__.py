"""Servers reached over HTTP: a small client, streamable HTTP in both eras, and the older HTTP+SSE transport."""

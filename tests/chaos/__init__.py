"""Parts of a cluster ended on purpose while a client makes calls: the client, its server, the ends, and the count."""

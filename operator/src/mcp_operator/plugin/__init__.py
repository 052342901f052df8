"""``kubectl toolman``: daily questions about agents and their tools, with the rights of whoever asks."""

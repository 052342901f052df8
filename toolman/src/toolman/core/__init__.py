"""What a message does, between HTTP in front and the servers behind: what exists, what is visible, who hears of it."""

"""What the command line does, one module a command; each gives the exit code."""

"""What an agent gets, what it does not, and by whose word: with the very decision that toolman makes."""

"""Tables and galleries for the terminal."""

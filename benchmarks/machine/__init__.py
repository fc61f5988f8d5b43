"""How the commands fare beside other work on the same machine."""

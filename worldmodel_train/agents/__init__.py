"""Methods that act on what they have learned; a file with a `Config` is one, named by its path."""

"""Methods that predict pixels; a file with a `Config` is a method, named by its path."""

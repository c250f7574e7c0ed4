"""Methods that predict latents; a file with a `Config` is a method, named by its path."""

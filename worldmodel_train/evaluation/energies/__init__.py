"""Whether what goes together has less energy than what does not."""

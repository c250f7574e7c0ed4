"""Whether what is impossible surprises."""

"""Where a strategy keeps fp32 weights, moments and teachers: whole, or in pieces on many ranks."""

"""Does it learn? Each file trains one system for minutes and states what it must beat."""

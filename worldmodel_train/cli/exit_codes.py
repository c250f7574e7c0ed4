"""What the exit code of `wmt` says to a launcher; signals are 128 + their number."""

FAILED = 1
"""A file or a connection failed: starting again may help, a few times."""
USER_ERROR = 2
"""Starting again changes nothing: somebody has to fix it first."""
TRY_AGAIN = 75
"""EX_TEMPFAIL: another rank was lost; the run goes on from its last checkpoint."""

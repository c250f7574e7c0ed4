"""What the exit code of `wmt` says to a launcher.

128 + a signal's number: stopped by SIGINT (130), SIGTERM (143), SIGUSR1 (138) or SIGHUP (129).
"""

FAILED = 1
"""A file or a connection failed: starting again may help, a few times."""
USER_ERROR = 2
"""Starting again changes nothing: somebody has to fix it first."""
TRY_AGAIN = 75
"""EX_TEMPFAIL: a rank or a loading process was lost; the run resumes from its last checkpoint."""

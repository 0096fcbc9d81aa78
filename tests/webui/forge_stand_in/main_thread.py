"""The thread in which Forge does all runs of its page; it prints what they raise."""

import traceback  # noqa: F401  by which it does

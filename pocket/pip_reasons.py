"""Why the environment could not be made, as half a sentence for people. Standard library only."""

from __future__ import annotations

_REASONS = {
    "No space left on device": "the disk is full; free about 3 GB and run the same command again",
    "ensurepip": "this Python has no venv module; install it (python3.11-venv on Debian and Ubuntu)",
    "Permission denied": "a file could not be written; check the folder's permissions",
}
_NETWORK = (
    "NewConnectionError",
    "Failed to establish a new connection",
    "Temporary failure in name resolution",
    "ConnectTimeoutError",
    "Read timed out",
    "ProxyError",
    "SSLError",
    "Network is unreachable",
)


def pip_reason(output: str) -> str:
    """What went wrong, from the output of pip or venv, as half a sentence that says what to do."""
    for sign, reason in _REASONS.items():
        if sign in output:
            return reason
    # pip says that it found no version when it could not ask, so the network comes before its own ERROR lines.
    if any(sign in output for sign in _NETWORK):
        return "the package index could not be reached; check the network (or pip's proxy) and run the command again"
    errors = [line.partition("ERROR:")[2].strip() for line in output.splitlines() if line.startswith("ERROR:")]
    return errors[-1] if errors else "pip gave no reason; run the same command again"


def os_reason(error: OSError) -> str:
    """What went wrong with a file of the environment, and what to do."""
    if error.errno == 28:
        return "the disk is full; free about 3 GB and run the same command again."
    return f"{error.strerror or error} ({error.filename or 'no file'}); check the folder's permissions."

"""What `python3 pocket COMMAND` does, one module a command, each with `run(args) -> exit code`."""

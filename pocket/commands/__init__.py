"""What `python3 pocket COMMAND` does, one module a command, each with `run(args) -> exit code`."""

import warnings

# Two pinned packages are older than these remarks, which are for their authors.
warnings.filterwarnings("ignore", message="pkg_resources is deprecated")
warnings.filterwarnings("ignore", message="Please use `import python_multipart` instead")

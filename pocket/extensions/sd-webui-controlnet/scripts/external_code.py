"""Where other extensions look for `internal_controlnet.external_code`."""

from internal_controlnet.external_code import *  # noqa: F403

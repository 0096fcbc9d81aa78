"""A name that sd-webui-controlnet imports."""

from motion_module.webui.argument import get_animatediff_arg

__all__ = ["get_animatediff_arg"]

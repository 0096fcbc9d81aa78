"""A name that sd-webui-controlnet imports."""

from motion_module.webui.compat import get_animatediff_arg as get_animatediff_arg

"""A name that sd-webui-controlnet imports."""

import animatediff_aside

if not animatediff_aside.stands_aside(__file__):
    from motion_module.webui.compat import get_animatediff_arg as get_animatediff_arg

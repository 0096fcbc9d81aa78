"""Names that sd-webui-controlnet imports."""

import animatediff_aside

if not animatediff_aside.stands_aside(__file__):
    from motion_module.webui.compat import MotionModuleType as MotionModuleType
    from motion_module.webui.compat import MotionWrapper as MotionWrapper

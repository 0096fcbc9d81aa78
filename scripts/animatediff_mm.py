"""Names that sd-webui-controlnet imports."""

from motion_module.webui.compat import MotionModuleType as MotionModuleType
from motion_module.webui.compat import MotionWrapper as MotionWrapper

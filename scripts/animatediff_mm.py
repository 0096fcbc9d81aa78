"""Names that sd-webui-controlnet imports."""

from motion_module.core.sparsectrl import MotionModuleType, MotionWrapper

__all__ = ["MotionModuleType", "MotionWrapper"]

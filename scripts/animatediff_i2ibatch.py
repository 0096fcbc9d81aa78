"""The name under which ControlNet finds img2img's batch tab for videos."""

from motion_module.webui.i2i_batch import animatediff_i2i_batch as animatediff_i2i_batch

"""The name under which ControlNet finds img2img's batch tab for videos."""

import animatediff_aside

if not animatediff_aside.stands_aside(__file__):
    from motion_module.webui.request.batch_tab import animatediff_i2i_batch as animatediff_i2i_batch

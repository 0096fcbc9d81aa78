"""What the WebUI loads: the script's class, and what is registered. It may run this file twice: it keeps no state."""

import animatediff_aside

if animatediff_aside.stands_aside(__file__):
    from animatediff_aside import StandingAside  # noqa: F401 - the WebUI looks for a script's class here

    animatediff_aside.warn(__file__)
else:
    from modules import script_callbacks
    from motion_module.webui import logs
    from motion_module.webui.page import settings, xyz
    from motion_module.webui.request import batch_tab, unfinished
    from motion_module.webui.routes import routes
    from motion_module.webui.run.script import AnimateDiffScript  # noqa: F401 - as above
    from scripts import animatediff_i2ibatch, animatediff_mm, animatediff_utils  # noqa: F401 - ControlNet asks late

    logs.put_name_on()
    script_callbacks.on_ui_settings(settings.register)
    script_callbacks.on_before_ui(xyz.register)
    script_callbacks.on_app_started(routes.add)
    script_callbacks.on_app_started(unfinished.tell)
    batch_tab.take_over()

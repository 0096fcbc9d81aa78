"""What other extensions ask us about a run: sd-webui-controlnet, through `scripts.animatediff_utils`."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from motion_module.core.denoising.slerp import travelled
from motion_module.core.module.sparsectrl import MotionModuleType as MotionModuleType
from motion_module.core.module.sparsectrl import MotionWrapper as MotionWrapper
from motion_module.familiar_params import WINDOWS
from motion_module.params import VideoParams
from motion_module.travel import Travel
from motion_module.webui.answers import answered
from motion_module.webui.host_types import Processing
from motion_module.webui.request.read import params_of, script_of
from motion_module.webui.run import hooks, inner_runs
from motion_module.webui.run.hook_errors import FailedRun


@dataclass
class PromptScheduler:
    """Conditions that change from frame to frame.

    Attributes:
        prompt_map: frame -> its prompt; only the frames count here.
    """

    prompt_map: dict[int, str] = field(default_factory=dict)

    def multi_cond(self, cond: Tensor, closed_loop: bool = False) -> Tensor:
        """Put the condition of every frame between those of the frames in `prompt_map`.

        Args:
            cond: `(frames, ...)`; the rows of the frames in `prompt_map` count.
            closed_loop: after the last of them the way leads back to the first, over the end.
        """
        if not self.prompt_map:
            return cond
        keys = dict(sorted(self.prompt_map.items()))
        return travelled(cond, Travel(keys, cond.shape[0], closed_loop).mixes())


@dataclass
class VideoArgument:
    """A run as other extensions see it.

    Attributes:
        enable: whether it makes a video.
        is_i2i_batch: set by ControlNet where the run is img2img's batch tab.
        video_length: N, frames of the video; 0 as long as nobody knows.
        batch_size: frames of a context window.
        closed_loop: "N", "R-P", "R+P" or "A".
        prompt_scheduler: copied by ControlNet, to move an IP-Adapter from keyframe to keyframe.
    """

    enable: bool = False
    is_i2i_batch: bool = False
    video_length: int = 0
    batch_size: int = WINDOWS.context
    closed_loop: str = WINDOWS.closed_loop
    prompt_scheduler: PromptScheduler = field(default_factory=PromptScheduler)


@answered
def get_animatediff_arg(p: Processing) -> VideoArgument | None:
    """What the run of `p` asks of us, before or after our own hooks have read it; None where we are not in its tab.

    Raises:
        ParamError: nobody has read the request yet, and it is wrong.
    """
    running = hooks.run_of(p)
    if isinstance(running, FailedRun):
        return VideoArgument(enable=True)  # it will end with our sentence, and is nobody else's
    if running is not None:
        request = running.request
        return _argument(request.params, request.params.enable, request.frames)
    if script_of(p) is None:
        return None
    asked = params_of(p)
    upscales = getattr(p, "txt2img_upscale", False)  # one picture
    enable = asked.enable and not upscales and inner_runs.outer_of(p) is None
    return _argument(asked, enable, asked.video_length)


def _argument(asked: VideoParams, enable: bool, frames: int) -> VideoArgument:
    return VideoArgument(enable=enable, video_length=frames, batch_size=asked.batch_size, closed_loop=asked.closed_loop)

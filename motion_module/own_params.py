"""The second part of the table of parameters: the fields that are ours, each at the end of those before it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from motion_module import formats
from motion_module.familiar_params import FILES, LONG, MEMORY, MOTION, PICTURES, VIDEO_IN, WINDOWS, FamiliarParams
from motion_module.field_table import row
from motion_module.windows import AUTO, BLENDS, SCHEDULES

RETURNED = ("all", "pictures")
NO_PRESET, AUTO_PRESET = "off", "auto"
SLERP, HOLD = "slerp", "hold"  # how prompts travel from key to key
_OF_SOURCE = {"group": VIDEO_IN, "needs": ("video_source", "video_path")}
_OF_STEPS = {"limits": (0, 1), "step": 0.01, "slider": (0, 1), "group": MOTION, "line": 6}
_OF_VALUES = {
    "more": "Between these frames it goes in a straight line; with hold as the last item each value counts until the "
    "next one. Where closed loop returns the prompts to their start, it returns, too.",
    "group": MOTION,
}


@dataclass
class OwnParams(FamiliarParams):
    """The fields that people bring along, and ours behind them."""

    blend: str = row(
        WINDOWS.blend,
        "choice",
        "Blend",
        "How overlapping windows are combined.",
        more="overwrite takes the last one, the others average them.",
        choices=BLENDS,
        folded=True,
        group=LONG,
        line=2,
        always=True,
    )
    schedule: str = row(
        WINDOWS.schedule,
        "choice",
        "Window schedule",
        "static keeps the windows in place, uniform moves them at each step.",
        more="auto is static where that is steadier.",
        choices=(AUTO, *SCHEDULES),
        folded=True,
        group=LONG,
        line=2,
        always=True,
    )
    windows_per_call: int = row(
        WINDOWS.windows_per_call,
        "int",
        "Windows per call",
        "How many windows go through the UNet in one call: faster, but needs more memory.",
        limits=(1, 64),
        slider=(1, 16),
        group=MEMORY,
    )
    motion_scale: float = row(
        1.0,
        "number",
        "Motion scale",
        "How strongly frames attend to each other; above 1 means more motion.",
        step=0.05,
        limits=(0, 10),
        slider=(0, 2),
        group=MOTION,
    )
    effect: float = row(
        1.0,
        "number",
        "Effect",
        "How much the motion module adds to the picture; 0 is plain Stable Diffusion.",
        step=0.05,
        limits=(0, 2),
        slider=(0, 2),
        group=MOTION,
        line=1,
    )
    freenoise_enable: bool = row(
        False,
        "bool",
        "FreeNoise",
        "Shuffles one noise through the whole video: a long one stays consistent.",
        group=MOTION,
        line=2,
    )
    same_noise: bool = row(
        False,
        "bool",
        "Same noise for every frame",
        "Every frame starts from the same noise, for calmer videos.",
        group=MOTION,
        line=2,
    )
    drop_duplicates: bool = row(
        False, "bool", "Drop duplicates", "Skip frames of the source that repeat the one before.", line=2, **_OF_SOURCE
    )
    video_start: int = row(
        0,
        "int",
        "First frame of the source",
        "The first frame to use, counted from 0.",
        limits=(0, 10_000_000),
        slider=(0, 1000),
        line=1,
        **_OF_SOURCE,
    )
    video_end: int = row(
        0,
        "int",
        "Last frame of the source",
        "The last frame to use, counted from 0; 0 means up to the end.",
        limits=(0, 10_000_000),
        slider=(0, 1000),
        line=1,
        **_OF_SOURCE,
    )
    every_nth: int = row(
        1,
        "int",
        "Every n-th frame",
        "2 uses every other frame; the duration stays the same.",
        limits=(1, 1000),
        slider=(1, 16),
        line=1,
        **_OF_SOURCE,
    )
    keep_sound: bool = row(
        False,
        "bool",
        "Keep sound",
        f"Puts the sound of the video source into {formats.listed(formats.WITH_SOUND)}.",
        group=VIDEO_IN,
        line=2,
        needs=("video_source",),
    )
    returned: str = row(
        "all",
        "choice",
        "Returned",
        f"What images holds in the API; pictures leaves {formats.listed(formats.NO_PICTURES)} out.",
        more="For clients that open every entry as a picture: a video that is nothing else is its first frame there. "
        "The paths of all files are in info.",
        choices=RETURNED,
        tabs=(),  # the page shows what it can
        group=FILES,
        line=2,
        recorded=False,
    )
    hold_pictures: bool = row(
        False,
        "bool",
        "Hold the pictures",
        "The first frame, and the last one if given, stay exactly the pictures that they start from.",
        tabs=("img2img",),
        group=PICTURES,
    )
    hold: tuple[tuple[int, Any], ...] = row(
        (),
        "held",
        "Hold frames",
        "Pictures that single frames keep exactly: 8: /path/to/picture.png, one on each line.",
        more="Frames count from 0; also on txt2img. In the API: [[8, path or base64]].",
        group=PICTURES,
        line=2,
        recorded=False,
    )
    motion_scale_travel: str = row(
        "",
        "values",
        "Motion scale travel",
        "Another motion scale at other frames: 0: 1.0, 8: 0.6 goes from 1.0 to 0.6. Empty: the number beside it.",
        limits=(0, 10),
        **_OF_VALUES,
    )
    effect_travel: str = row(
        "",
        "values",
        "Effect travel",
        "Another effect at other frames: 0: 0, 8: 1.0 begins with a still picture. Empty: the number beside it.",
        limits=(0, 2),
        line=1,
        **_OF_VALUES,
    )
    cfg_travel: str = row(
        "",
        "values",
        "CFG travel",
        "Another CFG scale at other frames, as in 0: 7, 8: 4. Empty: the WebUI's CFG Scale.",
        limits=(1, 30),
        line=4,
        **_OF_VALUES,
    )
    denoise_travel: str = row(
        "",
        "values",
        "Denoising travel",
        "Another denoising strength at other frames, as in 0: 0.3, 8: 0.8. Empty: the WebUI's Denoising strength.",
        limits=(0, 1),
        line=4,
        tabs=("img2img",),
        **_OF_VALUES,
    )
    travel: str = row(
        SLERP,
        "choice",
        "Prompt travel",
        "slerp turns one prompt into the next, frame by frame; hold keeps each prompt until the next.",
        choices=(SLERP, HOLD),
        group=MOTION,
        line=4,
    )
    continue_from: str = row(
        "",
        "path",
        "Continue from",
        "A video or a folder of frames to continue; Number of frames says how many are added.",
        more="Its frames stay, and the new ones follow from them; prompts and pictures for ControlNet count on.",
        pattern_help="a video file or a folder",
        group=LONG,
        line=3,
    )
    resume: str = row(
        "",
        "text",
        "Resume",
        "What a video that broke off is called: the same request goes on where it stopped.",
        more="The messages and the log say it: after too little memory, a crash or an interrupt. Seeds may stay -1.",
        group=LONG,
        line=3,
        recorded=False,
    )
    preset: str = row(
        NO_PRESET,
        "choice",
        "Preset",
        "auto sets steps, CFG scale, sampler and schedule as a motion module for few steps wants them.",
        more="Also how many frames it sees at once, where it was trained on another number than the usual one. What "
        "suits it already stays, and a message says what was set. The page has presets of its own.",
        choices=(NO_PRESET, AUTO_PRESET),
        tabs=(),
        group=MEMORY,
        recorded=False,
    )
    pe_stretch: int = row(
        0,
        "int",
        "PE stretch",
        "How many learnt positions to spread over a longer context window, for slower motion: 16 suits most. 0: off.",
        more="With it a context may be longer than the motion module has learnt. A module that has learnt fewer "
        "positions spreads all of them.",
        limits=(0, 256),
        slider=(0, 64),
        group=MOTION,
        line=5,
    )
    effect_blocks: str = row(
        "",
        "numbers",
        "Effect by level",
        "Effect in each level of the UNet, from fine to coarse: 1, 1, 0.5, 0. Empty: 1 in all of them.",
        more="SD1.5 has 4 levels, SDXL 3. 9 or 7 numbers say it for the way down, the middle and the way up. Effect "
        "is multiplied by them.",
        limits=(0, 2),
        group=MOTION,
        line=5,
    )
    motion_start: float = row(
        0.0,
        "number",
        "Starting Motion Step",
        "Where in the steps motion begins, like ControlNet's Starting Control Step: 0.2 leaves out the first 20 %.",
        more="Until then each frame is made by itself, as a picture.",
        **_OF_STEPS,
    )
    motion_end: float = row(
        1.0,
        "number",
        "Ending Motion Step",
        "Where in the steps motion ends, like ControlNet's Ending Control Step: 0.8 leaves out the last 20 %.",
        more="After that each frame is finished by itself, as a picture.",
        **_OF_STEPS,
    )
    elastic: bool = row(
        WINDOWS.elastic,
        "bool",
        "Elastic windows",
        "Windows are up to an eighth longer where the video then needs one less.",
        more="Never longer than the motion module has learnt; windows that move or are overwritten stay as they are. "
        "In the API it is off where batch_size is given and this is not.",
        group=LONG,
        line=2,
        always=True,
        off_beside=("batch_size",),
    )

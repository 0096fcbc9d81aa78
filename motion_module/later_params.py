"""The third part of the table of parameters: ours that came later, each at the end of those before it."""

from __future__ import annotations

from dataclasses import dataclass

from motion_module.familiar_params import LONG, MEMORY, MOTION, WINDOWS
from motion_module.field_table import row
from motion_module.own_params import OwnParams

NO_PRESET, AUTO_PRESET = "off", "auto"


@dataclass
class LaterParams(OwnParams):
    """The fields that people bring along, ours behind them, and the later ones."""

    resume: str = row(
        "",
        "text",
        "Resume",
        "The name of a run that broke off: the same request goes on where it stopped.",
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
        limits=(0, 1),
        step=0.01,
        slider=(0, 1),
        group=MOTION,
        line=6,
    )
    motion_end: float = row(
        1.0,
        "number",
        "Ending Motion Step",
        "Where in the steps motion ends, like ControlNet's Ending Control Step: 0.8 leaves out the last 20 %.",
        more="After that each frame is finished by itself, as a picture.",
        limits=(0, 1),
        step=0.01,
        slider=(0, 1),
        group=MOTION,
        line=6,
    )
    remember: float = row(
        0.0,
        "number",
        "Remember the first window",
        "How much of the first frames the rest of a long video keeps: 0 nothing, more holds its look together.",
        more="It counts most in the first steps, while the picture is laid out. High values repeat the motion, too.",
        step=0.05,
        limits=(0, 1),
        slider=(0, 1),
        group=LONG,
        line=3,
    )
    elastic: bool = row(
        WINDOWS.elastic,
        "bool",
        "Elastic windows",
        "Windows are up to an eighth longer where the video then needs one less.",
        more="Never longer than the motion module has learnt; windows that move or are overwritten stay as they are. "
        "In the API it is off where the context batch size is given and this is not.",
        group=LONG,
        line=2,
        always=True,
        off_beside=("batch_size",),
    )

"""Motion modules that are distilled for few steps: AnimateLCM, and AnimateDiff-Lightning (arXiv 2403.12706)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

from motion_module.core.module.arch import LCM
from motion_module.webui.request.motion_modules import ModuleFile
from motion_module.wording import either, number_text

# As published; in the file itself nothing tells it from AnimateDiff v2.
_LIGHTNING = re.compile(r"lightning_(\d+)step", re.IGNORECASE)
CFG, SCHEDULE = either("cfg_scale", "CFG Scale"), either("scheduler", "Schedule type")
STEPS, SAMPLER = either("steps", "Sampling steps"), either("sampler_name", "Sampling method")
"""The host's fields in sentences."""


@dataclass(frozen=True)
class FewSteps:
    """What a module is made for.

    Attributes:
        fewest, most: steps of a sampling pass.
        sampler, scheduler: by the host's names.
        cfg: from and to.
        lora: it wants the LoRA that was published with it, too.
    """

    fewest: int
    most: int
    sampler: str
    cfg: tuple[float, float] = (1, 1)
    scheduler: str = "SGM Uniform"
    lora: bool = False

    @property
    def others(self) -> str:
        """What else is to be set, in words with mentions."""
        with_lora = " its LoRA," * self.lora
        return f"the sampler {self.sampler},{with_lora} {CFG} {self.cfg_text} and {SCHEDULE} {self.scheduler}"

    def steps_near(self, steps: int) -> int:
        """Those that are asked for, if it is made for so many, else what lies in the middle."""
        return steps if self.fewest <= steps <= self.most else (self.fewest + self.most) // 2

    def cfg_near(self, cfg: float) -> float:
        """The same for the CFG scale."""
        return cfg if self.cfg[0] <= cfg <= self.cfg[1] else sum(self.cfg) / 2

    @property
    def cfg_text(self) -> str:
        """The CFG scales in words."""
        low, high = map(number_text, self.cfg)
        return low if low == high else f"{low} to {high}"

    @property
    def text(self) -> str:
        """The steps in words."""
        if self.fewest < self.most:
            return f"{self.fewest} to {self.most} steps"
        return f"{self.most} step{'s' * (self.most > 1)}"


def few_steps(module: ModuleFile) -> FewSteps | None:
    """What the module is made for; None where it is used with as many steps as any checkpoint."""
    if module.spec.kind == LCM:
        return FewSteps(4, 8, "LCM", cfg=(1, 2), lora=True)
    lightning = _LIGHTNING.search(PurePosixPath(module.name).name)
    if lightning is None or not int(lightning[1]):
        return None
    steps = int(lightning[1])
    return FewSteps(steps, steps, "Euler")

"""The stages in their order: what each trains, from which files, for how long, and what it leaves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor, nn

from train import loop, lora, motion, progress, text, unet, vae, words
from train.denoiser import Batch, Denoiser
from train.loop import Loss, Plan
from train.world import FRAMES

_LORA_FEW = 180  # steps of a LoRA with few frames of each clip; then it sees all
Maker = Callable[["Setting"], tuple[nn.Module, Loss, Callable[[int], None]]]


@dataclass(frozen=True)
class Setting:
    """What is the same for every stage.

    Attributes:
        folder: of checkpoints and finished weights.
        device: "cpu" or "cuda".
        seed: of everything.
        size: multiplies the number of examples in a step and of those that are looked at (tests train with little).
    """

    folder: Path
    device: str = "cpu"
    seed: int = 1
    size: float = 1.0

    def count(self, usual: int) -> int:
        """So many examples, as the size asks, at least one."""
        return max(1, round(usual * self.size))


@dataclass(frozen=True)
class Stage:
    """One stage: its plan without the seed, how its module and loss are made, and the stages it builds on."""

    plan: Plan
    make: Maker


def run_stage(
    name: str, setting: Setting, steps: int | None = None, stop: Callable[[int], bool] | None = None
) -> list[float]:
    """Trains a stage to its end (at once where that is done already), from where it was left; the losses on the way.

    Raises:
        FileNotFoundError: a stage that it builds on has not been trained.
    """
    stage = STAGES[name]
    plan = Plan(**{**vars(stage.plan), "seed": setting.seed, "steps": steps or stage.plan.steps})
    torch.manual_seed(setting.seed)
    module, loss, look = stage.make(setting)
    losses = loop.train(plan, module, loss, setting.folder, stop or (lambda step: False), look)
    if loop.rank() == 0:
        look(plan.steps)
    return losses


def new_denoiser(setting: Setting) -> Denoiser:
    """A denoiser that knows nothing yet."""
    model = motion.build(motion.V2_SPEC)
    return Denoiser(unet.build(), words.Reader(text.TextEncoder()), model).to(setting.device)


def trained_denoiser(setting: Setting, stage: str) -> Denoiser:
    """The denoiser that a stage left."""
    denoiser = new_denoiser(setting)
    denoiser.load_state_dict(read(setting, stage))
    return denoiser


def trained_v1(setting: Setting, stage: str) -> Denoiser:
    """A denoiser with the v1 module that a stage left in the place of the v2 one."""
    denoiser = new_denoiser(setting)
    denoiser.motion = motion.build(motion.V1_SPEC).to(setting.device)
    denoiser.load_state_dict(read(setting, stage))
    return denoiser


def read(setting: Setting, stage: str) -> dict[str, Tensor]:
    """The weights that a stage left."""
    return safetensors.torch.load_file(setting.folder / f"{stage}.safetensors", device=setting.device)


def _make_vae(setting: Setting) -> tuple[nn.Module, Loss, Callable[[int], None]]:
    module = vae.build().to(setting.device)
    whole = int(STAGES["vae"].plan.steps * 0.9)  # the last steps are not in bfloat16, for the last decibel

    def loss(step: int, generator: torch.Generator) -> Tensor:
        return vae.loss_of(module, vae.Examples(setting.count(10), generator), generator, half=step < whole)

    return module, loss, _vae_looker(module, setting)


def _make_decoder(setting: Setting) -> tuple[nn.Module, Loss, Callable[[int], None]]:
    module = vae.build().to(setting.device)
    module.load_state_dict(read(setting, "vae"))
    for part in (module.encoder, module.quant_conv):
        part.requires_grad_(False)

    def loss(step: int, generator: torch.Generator) -> Tensor:
        examples = vae.Examples(setting.count(10), generator)
        pixels, code = examples.pixels.to(setting.device), examples.latents.to(setting.device)
        return vae.decoder_loss(module, pixels, code, vae.CALM_NOISE, generator)

    return module, loss, _vae_looker(module, setting)


def _make_words(setting: Setting) -> tuple[nn.Module, Loss, Callable[[int], None]]:
    module = words.Reader(text.TextEncoder()).to(setting.device)
    count = setting.count(64)
    return module, lambda step, generator: module(count, generator), lambda step: print(f"  {module.right()}")


def _make_pictures(setting: Setting) -> tuple[nn.Module, Loss, Callable[[int], None]]:
    denoiser = new_denoiser(setting)
    denoiser.reader.load_state_dict(read(setting, "words"))
    for part in (denoiser.motion, denoiser.listeners):
        part.requires_grad_(False)

    def loss(step: int, generator: torch.Generator) -> Tensor:
        told = denoiser.reader(setting.count(16), generator)  # single frames give no reason to tell motions apart
        return denoiser.pictures_loss(setting.count(48), generator) + 0.1 * told

    return denoiser, loss, _looker(denoiser, setting, 1)


def _make_plans(setting: Setting) -> tuple[nn.Module, Loss, Callable[[int], None]]:
    denoiser = trained_denoiser(setting, "pictures")

    def loss(step: int, generator: torch.Generator) -> Tensor:
        foreseen, heard = denoiser.plan_losses(setting.count(13), 3, generator)
        told = denoiser.reader(setting.count(24), generator)
        return foreseen + 0.3 * (heard + told) + 0.2 * denoiser.pictures_loss(setting.count(6), generator)

    return denoiser, loss, _looker(denoiser, setting, 6)


def _make_clips(setting: Setting) -> tuple[nn.Module, Loss, Callable[[int], None]]:
    denoiser = trained_denoiser(setting, "plans")
    batch = Batch(pictures=setting.count(6), clips=setting.count(7), frames=5)
    return denoiser, _joint_loss(setting, denoiser, batch, batch), _looker(denoiser, setting, 6)


def _make_motions(setting: Setting) -> tuple[nn.Module, Loss, Callable[[int], None]]:
    denoiser = trained_denoiser(setting, "clips")
    batch = Batch(pictures=setting.count(5), clips=setting.count(8), frames=5, power=0.3)
    whole = Batch(pictures=setting.count(5), clips=setting.count(2), frames=FRAMES, power=1.5)
    return denoiser, _joint_loss(setting, denoiser, batch, whole), _looker(denoiser, setting, 6)


def _make_v1(setting: Setting) -> tuple[nn.Module, Loss, Callable[[int], None]]:
    denoiser = trained_denoiser(setting, "motions").requires_grad_(False)
    v1 = motion.build(motion.V1_SPEC).to(setting.device)
    motion.copy_into_v1(denoiser.motion, v1)
    denoiser.motion = v1.requires_grad_(True)
    batch = Batch(pictures=0, clips=setting.count(4), frames=16, power=0.5)
    return denoiser, lambda step, generator: denoiser.clips_loss(batch, generator), _looker(denoiser, setting, 6)


def _make_lora(target: str) -> Maker:
    def make(setting: Setting) -> tuple[nn.Module, Loss, Callable[[int], None]]:
        denoiser = trained_denoiser(setting, "motions").requires_grad_(False)
        module = lora.MotionLora(denoiser.motion).to(setting.device)
        few = Batch(pictures=0, clips=setting.count(16), frames=2, power=0.15)
        whole = Batch(pictures=0, clips=setting.count(4), frames=8, power=0.3)

        def loss(step: int, generator: torch.Generator) -> Tensor:
            return lora.loss_of(module, denoiser, target, few if step < _LORA_FEW else whole, generator)

        def look(step: int) -> None:
            with module.applied(denoiser.motion):
                made = progress.motions(denoiser, setting.count(4))
                print(f"  {progress.plan(denoiser)}\n  {made} (wanted: {target})", flush=True)

        return module, loss, look

    return make


def _joint_loss(setting: Setting, denoiser: Denoiser, few: Batch, whole: Batch) -> Loss:
    """Clips of the two kinds in turn, with a little of everything that was learnt before."""

    def loss(step: int, generator: torch.Generator) -> Tensor:
        batch = few if step % 2 else whole
        clips = denoiser.clips_loss(batch, generator) + 0.5 * denoiser.pictures_loss(batch.pictures, generator)
        foreseen, heard = denoiser.plan_losses(setting.count(4), 3, generator)
        return clips + 0.4 * foreseen + 0.1 * (heard + denoiser.reader(setting.count(8), generator))

    return loss


def _vae_looker(module: nn.Module, setting: Setting) -> Callable[[int], None]:
    def look(step: int) -> None:
        print(f"  {vae.quality(module, count=setting.count(48))}", flush=True)

    return look


def _looker(denoiser: Denoiser, setting: Setting, frames: int) -> Callable[[int], None]:
    """Clips are long in the making: while they are learnt only their plan is looked at."""

    def look(step: int) -> None:
        line = progress.report(denoiser, setting.count(16), frames=1) if frames == 1 else progress.plan(denoiser)
        print(f"  {line}", flush=True)

    return look


STAGES: dict[str, Stage] = {
    "vae": Stage(Plan("vae", 550, rate=1.5e-3, cooldown=0.4, decay=0.99), _make_vae),
    "words": Stage(Plan("words", 500, rate=3e-3, cooldown=0.5, decay=0.98), _make_words),
    "pictures": Stage(Plan("pictures", 600, rate=2e-3, cooldown=0.15, decay=0.99), _make_pictures),
    "plans": Stage(Plan("plans", 380, rate=1.5e-3, warmup=20, cooldown=0.2, decay=0.97), _make_plans),
    "clips": Stage(Plan("clips", 700, rate=1.5e-3, cooldown=0.5, decay=0.99), _make_clips),
    "motions": Stage(Plan("motions", 640, rate=1.2e-3, warmup=10, cooldown=0.8, decay=0.98), _make_motions),
    "decoder": Stage(Plan("decoder", 130, rate=1e-3, warmup=10, cooldown=0.7, decay=0.97), _make_decoder),
    "v1": Stage(Plan("v1", 120, rate=6e-4, warmup=5, cooldown=0.7, decay=0.95), _make_v1),
    "pan_left": Stage(Plan("pan_left", 250, rate=5e-3, warmup=5, cooldown=0.5, decay=0.95), _make_lora("right")),
    "zoom_in": Stage(Plan("zoom_in", 120, rate=5e-3, warmup=5, cooldown=0.5, decay=0.95), _make_lora("growing")),
}

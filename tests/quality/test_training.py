"""The parts of the training: the same data from the same seed, and a run that is killed ends as one that is not."""

from __future__ import annotations

import dataclasses
import hashlib
import random
from collections import Counter
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torch import nn
from train import (
    captions,
    diffusion,
    export,
    latents,
    loop,
    lora,
    measure,
    motion,
    optimiser,
    plans,
    progress,
    stages,
    vae,
    world,
)

import modules.torch_compat  # noqa: F401  (makes ldm importable)

MODEL = Path(__file__).parents[2] / "pocket" / "model"
PIXELS = "785355d8b18286eb"  # change these only together with the bundled weights
CAPTIONS = "07bebebe2059f39d"


def digest(*tensors: torch.Tensor) -> str:
    levels = [(tensor * 255).round().to(torch.uint8).numpy().tobytes() for tensor in tensors]
    return hashlib.sha256(b"".join(levels)).hexdigest()[:16]


def test_the_same_seed_gives_the_same_pictures_and_captions() -> None:
    scenes = world.scenes_of(3, 20)
    assert digest(*map(world.draw, scenes)) == digest(*map(world.draw, world.scenes_of(3, 20)))
    assert digest(*map(world.draw, scenes)) != digest(*map(world.draw, world.scenes_of(4, 20)))
    assert scenes[:5] == world.scenes_of(3, 5)
    said = [[captions.caption_of(scene, random.Random(8)) for scene in scenes] for _ in range(2)]
    assert said[0] == said[1]


def test_the_data_are_what_the_bundled_model_was_trained_on() -> None:
    scenes = world.scenes_of(1, 12)
    assert digest(*map(world.draw, scenes)) == PIXELS
    said = "\n".join(captions.caption_of(scene, random.Random(1)) for scene in scenes)
    assert hashlib.sha256(said.encode()).hexdigest()[:16] == CAPTIONS


def test_what_is_drawn_can_be_read_back() -> None:
    right: Counter[str] = Counter()
    for scene in world.scenes_of(7, 40):
        seen = measure.look_at(world.draw(scene).permute(0, 2, 3, 1).numpy())
        for name in ("shape", "colour", "background", "motion"):
            right[name] += getattr(seen, name) == getattr(scene, name)
        assert seen.flicker == 0
    assert min(right[name] for name in ("colour", "background", "motion")) == 40
    assert right["shape"] >= 39


def test_held_out_combinations_are_never_shown() -> None:
    shown = {(s.shape, s.colour, s.background) for s in world.scenes_of(0, 400)}
    rng = random.Random(0)
    kept = {(s.shape, s.colour, s.background) for s in (world.random_scene(rng, held_out=True) for _ in range(100))}
    assert shown.isdisjoint(kept)
    assert len(kept) > 30
    # every word of theirs is shown in other company
    for place in range(3):
        assert {combination[place] for combination in kept} <= {combination[place] for combination in shown}


@pytest.mark.parametrize("size", [32, 96])
def test_a_scene_is_the_same_at_any_size(size: int) -> None:
    scene = world.scenes_of(2, 1)[0]
    large = torch.nn.functional.interpolate(world.draw(scene, size), (64, 64), mode="bilinear", antialias=True)
    assert (large - world.draw(scene)).abs().mean() < 0.02


def small_run(folder, kill_at: int | None = None) -> tuple[dict[str, torch.Tensor], list[float]]:
    torch.manual_seed(5)
    module = nn.Sequential(nn.Linear(24, 32), nn.Tanh(), nn.Linear(32, 24))
    plan = loop.Plan("small", 12, rate=1e-2, warmup=3, seed=2)

    def loss(step: int, generator: torch.Generator) -> torch.Tensor:
        x = torch.randn(8, 24, generator=generator)
        return (module(x) - x.flip(1)).square().mean()

    losses = loop.train(plan, module, loss, folder, stop=lambda step: step == kill_at)
    return module.state_dict(), losses


def test_a_killed_run_goes_on_where_it_was(tmp_path) -> None:
    whole, all_losses = small_run(tmp_path / "whole")
    _, before = small_run(tmp_path / "killed", kill_at=4)
    assert not (tmp_path / "killed" / "small.safetensors").exists()
    resumed, after = small_run(tmp_path / "killed")
    assert before + after == all_losses
    assert len(before) == 5
    for name, value in whole.items():
        assert torch.equal(resumed[name], value)


def words_run(folder, kill_at: int | None = None) -> tuple[dict[str, torch.Tensor], list[float]]:
    setting = stages.Setting(folder, size=0.1)
    losses = stages.run_stage("words", setting, 5, lambda step: step == kill_at)
    return (stages.read(setting, "words") if kill_at is None else {}), losses


def test_a_stage_that_is_killed_ends_as_one_that_is_not(tmp_path) -> None:
    whole, all_losses = words_run(tmp_path / "whole")
    _, before = words_run(tmp_path / "killed", kill_at=1)
    resumed, after = words_run(tmp_path / "killed")
    assert before + after == pytest.approx(all_losses, rel=1e-4)
    assert len(before) == 2
    for name, value in whole.items():
        assert torch.allclose(resumed[name], value, atol=1e-4), name


def test_a_checkpoint_that_was_being_written_is_not_read(tmp_path) -> None:
    small_run(tmp_path, kill_at=4)
    (tmp_path / "small.unfinished").write_bytes(b"half")
    _, after = small_run(tmp_path)
    assert len(after) == 7


def test_a_finished_run_is_not_trained_again(tmp_path) -> None:
    first, _ = small_run(tmp_path)
    again, losses = small_run(tmp_path)
    assert losses == []
    assert all(torch.equal(again[name], value) for name, value in first.items())


def test_a_lora_is_written_with_its_largest_directions() -> None:
    generator = torch.Generator().manual_seed(0)
    down, up = torch.randn(3, 20, generator=generator), torch.randn(30, 3, generator=generator)
    kept_down, kept_up = lora.largest(down, up, 3)
    assert torch.allclose(kept_up @ kept_down, up @ down, atol=1e-4)
    short_down, short_up = lora.largest(down, up, 2)
    assert (short_down.shape, short_up.shape) == ((2, 20), (30, 2))
    away = torch.linalg.svdvals(up @ down - short_up @ short_down)
    assert torch.allclose(away[0], torch.linalg.svdvals(up @ down)[2], rtol=1e-3)


def test_the_rate_rises_stays_and_falls() -> None:
    plan = loop.Plan("x", 100, rate=1.0, warmup=10, cooldown=0.2)
    rates = [loop.rate_at(plan, step) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9:80] == [1.0] * 71
    assert rates[99] == pytest.approx(0.05)
    assert rates == sorted(rates[:10]) + sorted(rates[10:], reverse=True)


def test_the_code_of_a_scene_tells_its_colours_and_its_outline() -> None:
    scene = world.scenes_of(6, 1)[0]
    seen = latents.latents_of(scene)
    cells = torch.nn.functional.avg_pool2d(world.draw(scene), latents.CELL)
    assert torch.allclose(latents.thumbnails(seen), cells, atol=1e-5)
    assert latents.distances(seen).amin() < 0 < latents.distances(seen).amax()


def test_the_mean_of_drawn_clips_moves_as_it_is_called() -> None:
    scenes = [scene for scene in world.scenes_of(1, 200) if scene.motion in ("left", "down")]
    for way, other in (("left", "down"), ("down", "left")):
        mean = torch.stack([latents.latents_of(scene) for scene in scenes if scene.motion == way]).mean(0)
        assert progress.shift(mean, way) > 15
        assert abs(progress.shift(mean, other)) < 5


def clips_called(words: tuple[str, str, str], count: int) -> list[world.Scene]:
    """Scenes of this shape, motion and size, in black and white."""
    rng, found = random.Random(8), []
    while len(found) < count:
        scene = world.random_scene(rng)
        if (scene.shape, scene.motion, scene.size) == words:
            found.append(dataclasses.replace(scene, fill=world.COLOURS["white"], ground=world.COLOURS["black"]))
    return found


def test_what_a_caption_foretells_is_the_mean_of_its_clips() -> None:
    clips = clips_called(("square", "up", "large"), 24)
    scene = dataclasses.replace(clips[0], colour="white", background="black")
    mean = torch.stack([latents.latents_of(clip) for clip in clips]).mean(0)
    foretold = plans.expected(scene, "a large white square moving up, black background")
    assert foretold.shape == mean.shape == (16, 4, 8, 8)
    assert (foretold - mean).square().mean() < 0.1
    others = plans.expected(dataclasses.replace(scene, motion="down"), "a large white square moving down, on black")
    assert (others - mean).square().mean() > 0.3
    assert progress.shift(foretold, "up") > 15


def test_a_caption_that_hides_the_size_foretells_all_sizes() -> None:
    scene = clips_called(("circle", "still", "small"), 1)[0]
    sizes = [dataclasses.replace(scene, size=size) for size in world.SIZES]
    told = [plans.expected(scene, f"a {scene.size} circle at rest, on red") for scene in sizes]
    hidden = [plans.expected(scene, "a circle getting bigger, on red") for scene in sizes]
    assert torch.equal(hidden[0], hidden[1])
    assert torch.equal(hidden[1], hidden[2])
    assert told[0][:, 3].mean() > hidden[0][:, 3].mean() > told[2][:, 3].mean()  # the smaller, the farther away


@pytest.mark.parametrize(
    ("caption", "tells"),
    [("a small red star", True), ("huge, red star", True), ("a star getting bigger", False), ("a star", False)],
)
def test_captions_tell_a_size_or_do_not(caption: str, tells: bool) -> None:
    assert captions.tells_size(caption) is tells


def test_who_knows_nothing_foresees_nothing() -> None:
    torch.manual_seed(0)
    denoiser = stages.new_denoiser(stages.Setting(Path()))
    context = denoiser.text(["a red star moving left", ""])
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        nothing = denoiser.foreseen(context, torch.tensor([0, 8, 15]), generator.manual_seed(2))
        denoiser.unet.out[2].bias[3] -= 0.01
        something = denoiser.foreseen(context, torch.tensor([0, 8, 15]), generator.manual_seed(2))
    assert nothing.shape == (2, 3, 4, 8, 8)
    assert nothing.abs().mean() < 0.1
    sigma = float((1 / diffusion.alphas_cumprod(diffusion.CLIPS, 1000)[-1] - 1) ** 0.5)
    change = (something - nothing).mean((0, 1, 3, 4))
    assert torch.allclose(change, torch.tensor([0, 0, 0, 0.01 * sigma]), atol=1e-3)


def test_listeners_hear_the_motion_in_what_the_layers_see() -> None:
    model = motion.build(motion.V1_SPEC)
    listeners = plans.Listeners(model)
    scenes = world.scenes_of(5, 6)
    places = torch.tensor([world.MOTIONS.index(scene.motion) for scene in scenes])
    heard = [torch.nn.functional.one_hot(places, 64).float().repeat_interleave(2, 0) for _ in listeners.heads]
    with torch.no_grad():
        for head in listeners.heads:
            head.weight.copy_(20 * torch.eye(64)[:8])
    assert listeners(heard, scenes) < 0.01
    assert listeners(heard, scenes[::-1]) > 1


def test_listening_ends_with_its_context() -> None:
    model = motion.build(motion.V1_SPEC)
    layer = model.layers()[0].temporal_transformer.norm
    with plans.Listeners(model).listening(model) as heard:
        layer(torch.randn(4, 64, 3, 3))
    layer(torch.randn(4, 64, 3, 3))
    assert [tuple(seen.shape) for seen in heard] == [(4, 64)]


def test_all_stages_make_all_files_of_the_bundled_model(tmp_path) -> None:
    """One step of each, from nothing: what `python3 pocket/train/run.py` does in its order."""
    setting = stages.Setting(tmp_path / "work", size=0.1)
    for name in stages.STAGES:
        losses = stages.run_stage(name, setting, 1)
        assert len(losses) == 1 and losses[0] < 1e6
    written = {path.relative_to(tmp_path / "out"): path for path in export.export(setting, tmp_path / "out")}
    assert {path.as_posix() for path in written} == {
        path.relative_to(MODEL).as_posix() for path in MODEL.rglob("*") if path.suffix in (".safetensors", ".yaml")
    }
    for name, path in written.items():
        if path.suffix == ".yaml":
            assert path.read_text() == (MODEL / name).read_text()
        else:
            with safe_open(path, "pt") as made, safe_open(MODEL / name, "pt") as bundled:
                assert {key: made.get_slice(key).get_shape() for key in made.keys()} == {  # noqa: SIM118
                    key: bundled.get_slice(key).get_shape()
                    for key in bundled.keys()  # noqa: SIM118
                }


def test_the_plan_teaches_text_unet_and_motion_module(tmp_path) -> None:
    setting = stages.Setting(tmp_path, size=0.15)
    loop.write_weights(stages.new_denoiser(setting).state_dict(), tmp_path / "pictures.safetensors")
    stages.run_stage("plans", setting, 2)
    before, after = stages.read(setting, "pictures"), stages.read(setting, "plans")
    changed = {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"unet", "reader", "motion", "listeners", "balance"}


def test_the_target_leads_back_to_the_clean_picture() -> None:
    generator = torch.Generator().manual_seed(1)
    clean = torch.randn(50, 4, 8, 8, generator=generator)
    t = torch.arange(0, 1000, 20)
    noisy = diffusion.make_noisy(clean, t, diffusion.CLIPS, generator)
    alphas = diffusion.alphas_cumprod(diffusion.CLIPS, 1000)[t].view(-1, 1, 1, 1)
    back = (noisy.x - (1 - alphas).sqrt() * noisy.target) / alphas.sqrt()
    assert torch.allclose(back, clean, atol=1e-3)


def test_the_last_step_shows_no_trace_of_the_picture() -> None:
    clean = torch.ones(4000, 1)
    noisy = diffusion.make_noisy(clean, torch.full((4000,), 999), diffusion.CLIPS, torch.Generator().manual_seed(0))
    usual = diffusion.alphas_cumprod(diffusion.CLIPS, 1000)[-1].sqrt()
    assert abs(noisy.x.mean()) < usual


def test_the_sampler_reaches_what_a_perfect_denoiser_knows() -> None:
    clean = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(3))
    alphas = diffusion.alphas_cumprod(diffusion.PICTURES, 1000)

    def denoise(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        sigmas = ((1 - alphas) / alphas).sqrt().log()
        low = t[0].floor().long()
        sigma = torch.lerp(sigmas[low], sigmas[(low + 1).clamp(max=999)], t[0] - low).exp()
        return (x * (sigma**2 + 1) ** 0.5 - clean) / sigma

    noise = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(4))
    assert torch.allclose(diffusion.sample(denoise, noise, diffusion.PICTURES, 12), clean, atol=1e-4)


def test_orthogonalised_updates_are_those_of_the_plain_iteration() -> None:
    gradient = torch.randn(2, 24, 60, generator=torch.Generator().manual_seed(0))
    x = gradient / gradient.flatten(1).norm(dim=1)[:, None, None]
    for _ in range(5):
        square = x @ x.mT
        x = 3.4445 * x + (-4.7750 * square + 2.0315 * square @ square) @ x
    assert torch.allclose(optimiser.orthogonalised(gradient), x, atol=1e-3)
    assert torch.allclose(optimiser.orthogonalised(gradient.mT), x.mT, atol=1e-3)


def test_the_decoder_is_taught_alone_in_the_last_lesson(tmp_path) -> None:
    setting = stages.Setting(tmp_path, size=0.1)
    loop.write_weights(vae.build().state_dict(), tmp_path / "vae.safetensors")
    stages.run_stage("decoder", setting, 1)
    before, after = stages.read(setting, "vae"), stages.read(setting, "decoder")
    changed = {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"decoder"}


def test_orthogonalised_updates_leave_what_is_held() -> None:
    gradient = torch.randn(1, 20, 40, generator=torch.Generator().manual_seed(0))
    gradient[:, 3] = 0
    gradient[:, :, 5] = 0
    update = optimiser.orthogonalised(gradient)[0]
    assert not update[3].any()
    assert not update[:, 5].any()
    singular = torch.linalg.svdvals(update)
    assert singular[0] < 1.3
    assert singular[18] > 0.5  # one row less than twenty

"""The parts of the training: the same data from the same seed, and a run that is killed ends as one that is not."""

from __future__ import annotations

import hashlib
import random
from collections import Counter

import pytest
import torch
from torch import nn
from train import captions, diffusion, latents, loop, lora, measure, optimiser, progress, stages, vae, world

import modules.torch_compat  # noqa: F401  (makes ldm importable)

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

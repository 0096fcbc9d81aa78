"""The bundled model: its files are what they should be, and it can do what its card says.

The thresholds lie just under what the full measurement reached (pocket/model/README.md), with room for chance, since
fewer prompts are measured. A usual run takes few of them, in few steps; `-m slow` takes more (docs/slow-tests.md).
"""

from __future__ import annotations

from pathlib import Path

import pytest
from measuring import measured
from safetensors import safe_open

from motion_module.core.module.arch import V1, V2
from motion_module.core.module.checkpoint import read_motion_weights
from motion_module.core.module.model import load_motion_model

HERE = Path(__file__).parent
MODEL = HERE.parents[1] / "pocket" / "model"
WEIGHTS = sorted(path.relative_to(MODEL).as_posix() for path in MODEL.rglob("*.safetensors"))

pytestmark = pytest.mark.skipif(not WEIGHTS, reason="there is no bundled model in this checkout")


def test_every_file_is_there_and_the_whole_is_small() -> None:
    assert WEIGHTS == [
        "lora/pocket_pan_left.safetensors",
        "lora/pocket_zoom_in.safetensors",
        "motion/pocket_mm_v1.safetensors",
        "motion/pocket_mm_v2.safetensors",
        "pocket.safetensors",
    ]
    assert (MODEL / "pocket.yaml").exists()
    assert sum(path.stat().st_size for path in MODEL.rglob("*") if path.is_file()) <= 25_000_000


@pytest.mark.parametrize("name", WEIGHTS)
def test_weights_are_halves_and_finite(name: str) -> None:
    with safe_open(MODEL / name, "pt") as file:
        for key in file.keys():  # noqa: SIM118  (the file is no mapping)
            value = file.get_tensor(key)
            assert value.isfinite().all(), key
            assert str(value.dtype) in ("torch.float16", "torch.float32"), key
            assert str(value.dtype) == "torch.float16" or value.numel() <= 1000, key


@pytest.mark.parametrize(
    ("name", "kind", "frames", "mid"), [("pocket_mm_v2", V2, 32, True), ("pocket_mm_v1", V1, 24, False)]
)
def test_motion_modules_are_recognised_by_their_keys(name: str, kind: object, frames: int, mid: bool) -> None:
    path = MODEL / "motion" / f"{name}.safetensors"
    spec, _ = read_motion_weights(path)
    assert (spec.kind, spec.frames, spec.has_mid) == (kind, frames, mid)
    assert len(load_motion_model(path, "cpu", __import__("torch").float32).layers()) == (21 if mid else 20)


def test_the_checkpoint_has_stable_diffusions_keys_and_the_whole_vocabulary() -> None:
    with safe_open(MODEL / "pocket.safetensors", "pt") as file:
        keys = set(file.keys())
        table = file.get_slice("cond_stage_model.transformer.text_model.embeddings.token_embedding.weight")
        assert table.get_shape()[0] == 49408
    assert {key.split(".")[0] for key in keys} == {"model", "first_stage_model", "cond_stage_model", "alphas_cumprod"}
    for key in (
        "input_blocks.11.0.in_layers.2.weight",
        "middle_block.1.proj_in.weight",
        "output_blocks.11.1.norm.bias",
    ):
        assert f"model.diffusion_model.{key}" in keys


@pytest.mark.parametrize("name", ["pocket_pan_left", "pocket_zoom_in"])
def test_motion_lora_have_the_published_names(name: str) -> None:
    first = "down_blocks.0.motion_modules.0.temporal_transformer.transformer_blocks.0.attention_blocks.0.processor"
    with safe_open(MODEL / "lora" / f"{name}.safetensors", "pt") as file:
        keys = set(file.keys())
    assert len(keys) == 21 * 2 * 4 * 2
    for part in ("to_q", "to_k", "to_v", "to_out"):
        assert {f"{first}.{part}_lora.down.weight", f"{first}.{part}_lora.up.weight"} <= keys


SIZES = {
    "few": ("--prompts", "8", "--few", "3", "--steps", "8"),
    "many": ("--prompts", "16", "--few", "4", "--steps", "20"),
}


@pytest.fixture(scope="module", params=["few", pytest.param("many", marks=pytest.mark.slow)])
def found(request, tmp_path_factory) -> dict:
    return measured("harness.py", tmp_path_factory.mktemp("found"), *SIZES[request.param])


def test_prompts_decide_the_colours(found) -> None:
    assert found["v2"]["both colours"] >= LEAST["both colours"]
    assert found["v1"]["both colours"] >= 0.75


def test_prompts_decide_the_shape(found) -> None:
    assert found["v2"]["shape"] >= LEAST["shape"]


def test_prompts_decide_the_direction_of_motion(found) -> None:
    assert found["v2"]["motion"] >= LEAST["motion"]
    assert found["v1"]["motion"] >= 0.5
    assert found["without"]["motion"] < 0.5, "single pictures have no motion"


@pytest.mark.parametrize("way", ["left", "right", "up", "down", "growing", "shrinking"])
def test_each_motion_is_made_where_it_is_asked_for(found, way: str) -> None:
    assert set(found["v2"]["motions"][way]) == {way}


def test_a_motion_module_makes_one_track_of_a_clip(found) -> None:
    assert found["v2"]["jerk"] <= found["without"]["jerk"] / 4
    assert found["v1"]["jerk"] <= found["without"]["jerk"] / 4


def test_backgrounds_are_calm(found) -> None:
    assert found["v2"]["flicker"] <= LEAST["flicker"]  # levels of 255
    assert found["same pixels"]["v2"] <= found["same pixels"]["without"] / 4


def test_the_zoom_lora_makes_things_grow(found) -> None:
    zoom = found["lora"]["pocket_zoom_in"]
    assert zoom["with"] > zoom["without"] + 1.2  # doublings of the area


def test_the_pan_lora_makes_things_move_to_the_right(found) -> None:
    pan = found["lora"]["pocket_pan_left"]
    assert pan["with"] > pan["without"] + 15  # pixels


@pytest.mark.parametrize("name", ["pocket_pan_left", "pocket_zoom_in"])
def test_a_lora_at_weight_0_changes_nothing(found, name: str) -> None:
    assert found["lora"][name]["at 0"] == 0


LEAST = {"both colours": 0.95, "shape": 0.9, "motion": 0.8, "flicker": 4.0}

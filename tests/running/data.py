"""Makes a data folder for a running WebUI that the tests are to run against: `python tests/running/data.py FOLDER`.

Checkpoints, motion modules and control models of seeded random numbers, those of tests/webui and those of the reference
pictures, CLIP's tokeniser, and the settings. CONTRIBUTING.md says what to do with the folder.
"""

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS.parent), str(TESTS.parent / "pocket"), str(TESTS)]

from omegaconf import OmegaConf  # noqa: E402
from transformers import CLIPTextConfig  # noqa: E402

from modules.sd_text_encoder import make_tokenizer  # noqa: E402
from tests.conftest import make_weights  # noqa: E402
from tests.reference.reference_weights import make_all  # noqa: E402
from tests.reference.reference_weights_xl import make_all as make_all_xl  # noqa: E402
from tests.running.webui import MODULES  # noqa: E402

SETTINGS = {
    "sd_model_checkpoint": "tiny.safetensors",
    "samples_format": "png",
    "batch_cond_uncond": True,
    "CLIP_stop_at_last_layers": 1,
    "live_previews_enable": False,
    "show_progress_type": "Approx cheap",  # the others need a file that would be downloaded
}
CLIP_L = 768  # the width of its text encoder
XL = {"params": {"context_dim": CLIP_L}}  # SDXL's own `context_dim` is that of two encoders
NARROW = Path(__file__).with_name("narrow_controlnet")


def make_data(folder: Path) -> Path:
    """Write everything into a folder, which a WebUI takes as `--data-dir`."""
    models, made = folder / "models", folder / "made"
    checkpoints, control, lora = (models / name for name in ("Stable-diffusion", "ControlNet", "Lora"))
    for path in (
        checkpoints,
        control,
        lora,
        models / "VAE-approx",
        folder / "extensions",
        folder / "own",
    ):
        path.mkdir(parents=True, exist_ok=True)
    weights = make_weights(made)
    reference, reference_xl = make_all(folder / "reference"), make_all_xl(folder / "reference_xl")
    own = (weights[name] for name in ("checkpoint", "other", "wide"))
    for path in (*own, reference / "sd15tiny.safetensors", reference_xl / "sdxltiny.safetensors"):
        move_checkpoint(path, checkpoints, folder)
    for path in (weights["control"], *(reference / "controlnet").iterdir()):
        path.replace(control / path.name)
    for path in (*(reference / "lora").iterdir(), *(reference_xl / "lora").iterdir()):
        path.replace(lora / path.name)
    weights["v1"].parent.replace(folder / "own" / "motion")
    shutil.rmtree(made)
    (folder / "motion").symlink_to(folder / "own" / "motion")
    (folder / "extensions" / f"zz_{NARROW.name}").symlink_to(NARROW)  # it comes after sd-webui-controlnet
    settings = {**SETTINGS, MODULES: str(folder / "motion"), "control_net_models_path": str(control)}
    (folder / "config.json").write_text(json.dumps(settings, indent=2))
    return folder


def move_checkpoint(path: Path, target: Path, folder: Path) -> None:
    """Move a checkpoint; its `.yaml` then says where CLIP's tokeniser and sizes are, which else would be downloaded."""
    config = OmegaConf.to_container(OmegaConf.load(path.with_suffix(".yaml")))
    width = config["model"]["params"].get("unet_config", XL)["params"]["context_dim"]
    for encoder in _text_encoders(config):
        encoder["params"] = {
            **(encoder.get("params") or {}),
            "version": str(_clip(folder / "clip" / str(width), width)),
        }
    OmegaConf.save(OmegaConf.create(config), target / path.with_suffix(".yaml").name)
    path.with_suffix(".yaml").unlink()
    path.replace(target / path.name)


def _text_encoders(config: Any) -> Iterator[dict[str, Any]]:
    """The parts of a configuration that are CLIP's text encoder."""
    if isinstance(config, dict) and str(config.get("target", "")).endswith(".FrozenCLIPEmbedder"):
        yield config
    for part in config.values() if isinstance(config, dict) else config if isinstance(config, list) else ():
        yield from _text_encoders(part)


def _clip(folder: Path, width: int) -> Path:
    """CLIP's tokeniser, and the sizes of a text encoder of this width."""
    layers, heads = (12, 12) if width == CLIP_L else (2, max(width // 64, 1))
    make_tokenizer().save_pretrained(folder)
    sizes = {"hidden_size": width, "intermediate_size": 4 * width, "num_hidden_layers": layers}
    CLIPTextConfig(**sizes, num_attention_heads=heads, max_position_embeddings=77).save_pretrained(folder)
    return folder


if __name__ == "__main__":
    print(make_data(Path(sys.argv[1]).absolute()))

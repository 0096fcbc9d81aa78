"""Checkpoints: what is found, what is loaded, what is refused, and that pictures depend on the request."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import weights
from modules import paths, sd_hijack, sd_models, sd_vae, shared
from modules.sd_models_config import UnsupportedCheckpointError


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """Two checkpoints of different widths."""
    folder = tmp_path_factory.mktemp("two") / "Stable-diffusion"
    weights.make_checkpoint(folder / "first.safetensors", seed=1)
    weights.make_checkpoint(folder / "sub" / "second.safetensors", seed=2, model_channels=64, channel_mult=(1, 1, 1, 1))
    return folder.parent


@pytest.fixture
def loader(monkeypatch):
    """The model loader as in a fresh process; what a running host has loaded is there again afterwards."""
    kept = [(each, dict(each)) for each in (sd_models.checkpoints_list, sd_models.checkpoint_aliases)]
    kept.append((vars(sd_hijack.model_hijack), dict(vars(sd_hijack.model_hijack))))
    kept.append((shared.opts.data, dict(shared.opts.data)))
    kept.append((sd_vae.vae_dict, dict(sd_vae.vae_dict)))
    monkeypatch.setattr(sd_models, "model_data", sd_models.SdModelData())
    monkeypatch.setattr(sd_vae._Loaded, "file", None)
    monkeypatch.setattr(sd_vae._Loaded, "own_weights", None)
    for name in ("ckpt", "ckpt_dir"):
        monkeypatch.setattr(shared.cmd_opts, name, None)
    for name in ("disable_console_progressbars", "no_prompt_history"):
        monkeypatch.setattr(shared.cmd_opts, name, True)
    shared.opts.data["sd_model_checkpoint"] = None
    yield sd_models
    for mapping, content in kept:
        mapping.clear()
        mapping.update(content)


@pytest.fixture
def listed(loader, two, monkeypatch):
    monkeypatch.setattr(paths, "models_path", str(two))
    loader.list_models()
    return loader


def test_checkpoints_are_listed_with_their_folders(listed):
    assert listed.checkpoint_tiles() == ["first.safetensors", "sub/second.safetensors"]
    assert listed.checkpoint_tiles(use_short=True) == ["first", "second"]
    assert listed.get_closet_checkpoint_match("second").name_for_extra == "second"
    assert listed.get_closet_checkpoint_match("first.safetensors [0123456789]").name == "first.safetensors"
    assert listed.get_closet_checkpoint_match("sub_second").name == "sub/second.safetensors"
    assert listed.get_closet_checkpoint_match("third") is None
    assert listed.get_closet_checkpoint_match("") is None


def test_the_first_one_is_taken_where_the_chosen_one_is_not_there(listed, capsys):
    shared.opts.data["sd_model_checkpoint"] = "gone.safetensors"
    assert listed.select_checkpoint().name == "first.safetensors"
    assert "gone.safetensors" in capsys.readouterr().err


def test_no_checkpoint_at_all(loader, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(paths, "models_path", str(tmp_path))
    loader.list_models()
    with pytest.raises(FileNotFoundError, match=r"\.safetensors"):
        loader.select_checkpoint()
    assert shared.sd_model is None
    assert "No checkpoints found" in capsys.readouterr().err


def test_hash_becomes_part_of_the_title(listed, monkeypatch):
    monkeypatch.setattr(shared.cmd_opts, "no_hashing", False)
    info = listed.checkpoints_list["first.safetensors"]
    assert len(info.calculate_shorthash()) == 10
    assert listed.checkpoint_tiles() == [f"first.safetensors [{info.shorthash}]", "sub/second.safetensors"]
    assert listed.checkpoint_aliases[info.shorthash] is info


def test_the_model_is_what_the_webui_gives(listed):
    model = shared.sd_model
    assert model.is_sd1
    assert not model.is_sdxl
    assert model.sd_checkpoint_info.name == "first.safetensors"
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert model.cond_stage_model_empty_prompt.shape == (1, 77, 64)
    assert model.alphas_cumprod_original is model.alphas_cumprod
    assert model.alphas_cumprod[-1].item() == pytest.approx(0.00466, abs=1e-5)
    assert len(model.model.diffusion_model.input_blocks) == 12
    assert sd_hijack.model_hijack.clip is model.cond_stage_model
    stored = load_file(model.sd_checkpoint_info.filename)["model.diffusion_model.out.2.weight"]
    assert torch.equal(model.model.diffusion_model.out[2].weight, stored.float())


def test_switching(listed):
    first = shared.sd_model
    assert listed.reload_model_weights() is first
    shared.opts.data["sd_model_checkpoint"] = "sub/second.safetensors"
    second = listed.reload_model_weights()
    assert shared.sd_model is second
    assert second.model.diffusion_model.model_channels == 64
    assert listed.model_data.loaded_sd_models == [second]
    with listed.SkipWritingToConfig():
        listed.reload_model_weights(info=listed.get_closet_checkpoint_match("first"))
    assert shared.sd_model.sd_checkpoint_info.name_for_extra == "first"
    assert shared.opts.sd_model_checkpoint == second.sd_checkpoint_info.title


def test_noise_schedule_of_the_settings(listed):
    from types import SimpleNamespace

    model, p = shared.sd_model, SimpleNamespace(extra_generation_params={})
    own = model.alphas_cumprod.clone()
    shared.opts.data.update(sd_noise_schedule="Zero Terminal SNR", use_downcasted_alpha_bar=True)
    listed.apply_alpha_schedule_override(model, p)
    assert model.alphas_cumprod[-1] < 1e-6
    assert model.alphas_cumprod[0].item() == pytest.approx(own[0].item(), rel=1e-3)
    assert p.extra_generation_params == {"Downcast alphas_cumprod": True, "Noise Schedule": "Zero Terminal SNR"}
    shared.opts.data.update(sd_noise_schedule="Default", use_downcasted_alpha_bar=False)
    listed.apply_alpha_schedule_override(model)
    assert torch.equal(model.alphas_cumprod, own)


def test_tiling_and_back(listed):
    shared.sd_model  # noqa: B018 (reading it loads it)
    hijack = sd_hijack.model_hijack
    convolutions = [layer for layer in hijack.layers if isinstance(layer, torch.nn.Conv2d)]
    hijack.apply_circular(True)
    assert {layer.padding_mode for layer in convolutions} == {"circular"}
    hijack.apply_circular(False)
    assert {layer.padding_mode for layer in convolutions} == {"zeros"}


def test_a_separate_vae_and_back(listed, tmp_path, monkeypatch):
    model = shared.sd_model
    own = {key: value.clone() for key, value in model.first_stage_model.state_dict().items()}
    save_file({key: value + 1 for key, value in own.items()}, tmp_path / "other.safetensors")
    monkeypatch.setattr(shared.cmd_opts, "vae_dir", str(tmp_path))
    sd_vae.refresh_vae_list()
    shared.opts.data["sd_vae"] = "other.safetensors"
    sd_vae.reload_vae_weights()
    assert sd_vae.get_loaded_vae_name() == "other.safetensors"
    assert torch.equal(model.first_stage_model.state_dict()["quant_conv.bias"], own["quant_conv.bias"] + 1)
    shared.opts.data["sd_vae"] = "Automatic"
    sd_vae.reload_vae_weights()
    assert sd_vae.get_loaded_vae_name() is None
    assert torch.equal(model.first_stage_model.state_dict()["quant_conv.bias"], own["quant_conv.bias"])


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda t: t.update({"conditioner.embedders.0.model.ln_final.weight": torch.zeros(1)}), "SDXL refiner"),
        (lambda t: t.pop("model.diffusion_model.input_blocks.0.0.weight"), "not a Stable Diffusion checkpoint"),
        (lambda t: t.update({"model.diffusion_model.input_blocks.0.0.weight": torch.zeros(32, 8, 3, 3)}), "8 input"),
        (lambda t: t.pop("first_stage_model.decoder.conv_out.weight"), "lacks 1 weights.*conv_out"),
        (lambda t: t.update({"model.diffusion_model.out.2.bias": torch.zeros(5)}), "does not fit"),
    ],
)
def test_other_files_are_refused_by_name(listed, two, tmp_path, change, told):
    tensors = load_file(two / "Stable-diffusion" / "first.safetensors")
    change(tensors)
    save_file(tensors, tmp_path / "odd.safetensors")
    (tmp_path / "odd.yaml").write_text((two / "Stable-diffusion" / "first.yaml").read_text())
    with pytest.raises(UnsupportedCheckpointError, match=told):
        listed.load_model(listed.CheckpointInfo(str(tmp_path / "odd.safetensors")))


def test_a_configuration_from_elsewhere_with_its_number_of_heads(listed, two, tmp_path, monkeypatch):
    source = two / "Stable-diffusion" / "first.safetensors"
    (tmp_path / "bare.safetensors").write_bytes(source.read_bytes())
    info = listed.CheckpointInfo(str(tmp_path / "bare.safetensors"))
    with pytest.raises(UnsupportedCheckpointError, match="does not fit"):
        listed.load_model(info)  # without one it is taken for a full-size SD1.x
    config = source.with_suffix(".yaml").read_text().rstrip() + "\n      params: {heads: 4}\n"
    (tmp_path / "elsewhere.yaml").write_text(config)
    monkeypatch.setattr(shared.cmd_opts, "config", str(tmp_path / "elsewhere.yaml"))
    model = listed.load_model(info)
    assert model.used_config.endswith("elsewhere.yaml")
    assert model.cond_stage_model.wrapped.transformer.config.num_attention_heads == 4


def test_names_for_extensions(tmp_path):
    from modules import lowvram, modelloader, safe

    assert not lowvram.is_enabled(None)
    torch.save({"a": torch.ones(1)}, tmp_path / "plain.pth")
    assert safe.unsafe_torch_load(tmp_path / "plain.pth")["a"] == 1
    found = modelloader.load_file_from_url("https://example.org/x/plain.pth?download=1", model_dir=str(tmp_path))
    assert found == str(tmp_path / "plain.pth")
    with pytest.raises(FileNotFoundError, match="downloads nothing"):
        modelloader.load_file_from_url("https://example.org/other.pth", model_dir=str(tmp_path))


def test_old_names_of_the_text_encoder(tmp_path):
    save_file(
        {"cond_stage_model.transformer.encoder.x": torch.zeros(1), "y": torch.zeros(1)}, tmp_path / "old.safetensors"
    )
    read = sd_models.read_state_dict(str(tmp_path / "old.safetensors"))
    assert sorted(read) == ["cond_stage_model.transformer.text_model.encoder.x", "y"]


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n and more", b"PK\x03\x04 and more", b"words"])
def test_a_file_without_weights_is_one_sentence(tmp_path, content):
    (tmp_path / "a.ckpt").write_bytes(content)
    with pytest.raises(
        ValueError, match="^it holds no weights that can be read without running what is in it"
    ) as caught:
        sd_models.read_state_dict(str(tmp_path / "a.ckpt"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("saved", [[1], {"state_dict": 1}])
def test_a_file_with_something_else_is_one_sentence(tmp_path, saved):
    torch.save(saved, tmp_path / "a.ckpt")
    with pytest.raises(ValueError, match="it holds no table of weights"):
        sd_models.read_state_dict(str(tmp_path / "a.ckpt"))


def test_code_in_a_ckpt_is_not_run(tmp_path):
    class Nasty:
        def __reduce__(self):
            return (Path(tmp_path / "run").touch, ())

    torch.save({"state_dict": {"a": Nasty()}}, tmp_path / "nasty.ckpt")
    with pytest.raises(ValueError, match=r"^it holds no weights that can be read without running what is in it\.$"):
        sd_models.read_state_dict(str(tmp_path / "nasty.ckpt"))
    assert not (tmp_path / "run").exists()


def test_weights_are_the_same_each_time(tmp_path, two):
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    again = weights.make_checkpoint(tmp_path / "again.safetensors", seed=1)
    assert torch.equal(torch.rand(1), expected)  # torch's own stream is left alone
    assert again.read_bytes() == (two / "Stable-diffusion" / "first.safetensors").read_bytes()
    other = weights.make_checkpoint(tmp_path / "other.safetensors", seed=3)
    assert other.read_bytes() != again.read_bytes()
    modules = [weights.make_motion_module(tmp_path / f"{seed}.safetensors", seed=seed) for seed in (1, 2)]
    assert modules[0].read_bytes() != modules[1].read_bytes()
    assert modules[0].read_bytes() == weights.make_motion_module(tmp_path / "1b.safetensors", seed=1).read_bytes()


@pytest.mark.parametrize(
    ("version", "count", "frames", "mid"), [("v1", 20, 24, 0), ("v2", 21, 32, 1), ("v3", 20, 32, 0)]
)
def test_motion_modules(tmp_path, version, count, frames, mid):
    path = weights.make_motion_module(tmp_path / "m.safetensors", version=version, widths=(32, 64, 96, 128))
    tensors = load_file(path)
    ends = [key for key in tensors if key.endswith("temporal_transformer.proj_out.weight")]
    assert len(ends) == count
    assert sum(key.startswith("mid_block") for key in ends) == mid
    assert all(tensors[key].any() for key in ends)
    assert {tensors[key].shape[1] for key in tensors if key.endswith(".pe")} == {frames}
    assert tensors["up_blocks.0.motion_modules.2.temporal_transformer.proj_in.weight"].shape == (128, 128)
    with pytest.raises(ValueError, match="v9"):
        weights.make_motion_module(tmp_path / "m.safetensors", version="v9")


def test_command_line_of_the_weights(tmp_path, capsys):
    weights.main(["motion", str(tmp_path / "m.safetensors"), "--version", "v3", "--widths", "32,32,32,32"])
    assert "m.safetensors" in capsys.readouterr().out
    assert load_file(tmp_path / "m.safetensors")[
        "down_blocks.3.motion_modules.1.temporal_transformer.norm.bias"
    ].shape == (32,)


def make(request, folder):
    """The pictures of a request, by the run that API and page use."""
    from modules import processing

    request = {**request, "do_not_save_samples": True, "do_not_save_grid": True, "outpath_samples": str(folder)}
    p = processing.StableDiffusionProcessingTxt2Img(outpath_grids=str(folder), **request)
    try:
        result = processing.process_images(p)
    finally:
        p.close()
    return [np.array(picture.convert("RGB")).astype(int) for picture in result.images[result.index_of_first_image :]]


@pytest.mark.parametrize("name", ["prompt", "seed", "cfg_scale", "negative_prompt"])
def test_pictures_of_random_weights_have_structure_and_depend_on_the_request(listed, tmp_path, name):
    request = {"prompt": "a cat", "negative_prompt": "bad", "seed": 1, "steps": 6, "width": 64, "height": 64}
    request |= {"sampler_name": "Euler", "scheduler": "Automatic", "cfg_scale": 7.0}
    other = {"prompt": "a red dog on a beach", "seed": 2, "cfg_scale": 1.0, "negative_prompt": "long, ugly, blue"}
    picture = make(request, tmp_path)[0]
    assert picture.std() > 25
    assert np.isin(picture, (0, 255)).mean() < 0.15
    assert np.abs(picture - make({**request, name: other[name]}, tmp_path)[0]).mean() > 2

"""What `hosts/forge_lora.py`, `forge_control.py` and `forge_units.py` take for granted, as in forge_facts.py."""

import copy
import dataclasses
from pathlib import Path

import torch
from forge_facts import FRAMES, calls_of, kmodel_of, names
from safetensors.torch import save_file
from torch import nn

MEMBERS = {
    "input_mode": ("SIMPLE", "BATCH", "MERGE"),
    "resize_mode": ("RESIZE", "INNER_FIT", "OUTER_FIT"),
    "control_mode": ("BALANCED", "PROMPT", "CONTROL"),
    "hr_option": ("BOTH", "LOW_RES_ONLY", "HIGH_RES_ONLY"),
}


def check_patchers(of):
    patcher = of.sd_model.forge_objects.unet
    other = patcher.clone()
    assert other.model is patcher.model
    assert other.lora_loader is patcher.lora_loader
    assert (other.lora_patches, patcher.controlnet_linked_list) == (patcher.lora_patches, None)
    assert isinstance(patcher.lora_loader.loaded_hash, str)
    assert isinstance(of.sd_model.forge_objects.clip.patcher.lora_loader.loaded_hash, str)


def check_lora(of):
    """Merged, and put back, by the names that weights have at that time; a list of patches with its own keys is known."""
    patcher, key = of.sd_model.forge_objects.unet.clone(), "diffusion_model.output_blocks.2.1.conv.weight"
    layer = kmodel_of(of).diffusion_model.output_blocks[2][1].conv
    bits = layer.weight.clone()
    own, up, down = layer.weight, torch.randn(layer.weight.shape[0], 2), torch.randn(2, layer.weight[0].numel())
    known = patcher.add_patches(
        filename="a", patches={key: of.patch(up, down, 2.0), "no such key": 1}, strength_patch=0.5
    )
    assert known == {key}
    assert [*patcher.lora_patches] == [("a", 0.5, 1.0, False)]
    try:
        patcher.refresh_loras()
        torch.testing.assert_close(layer.weight.data, own + 0.5 * (up @ down).reshape(own.shape), atol=1e-4, rtol=1e-4)
        before = layer.weight
        patcher.refresh_loras()
        assert layer.weight is before
        patcher.lora_loader.loaded_hash = "another"
        patcher.refresh_loras()
        assert layer.weight is not before
    finally:
        of.sd_model.forge_objects_original.unet.refresh_loras()
    assert torch.equal(layer.weight, bits)


def check_networks(of):
    networks = of.networks
    for name in ("loaded_networks", "available_networks", "available_network_aliases"):
        assert hasattr(networks, name)
    assert networks.network.NetworkOnDisk
    assert names(networks.load_networks) == ("names", "te_multipliers", "unet_multipliers", "dyn_dims")
    assert names(networks.load_lora_state_dict) == ("filename",)
    assert networks.load_lora_state_dict.cache_info().maxsize == 5
    assert {"load_lora_state_dict", "load_lora_for_models", "load_network"} <= {
        *networks.load_networks.__code__.co_names
    }
    assert not hasattr(networks, "network_restore_weights_from_backup")
    assert of.kind_of_network == "lora"


def check_loading_networks(of):
    """Files and weights are noted first, and where they are those of the last time nothing is loaded."""
    networks, sd_model, halves = of.networks, of.sd_model, {"up": torch.ones(64, 2), "down": torch.ones(2, 64)}
    key, path = "lora_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_q", Path(of.folder) / "facts.safetensors"
    save_file({f"{key}.lora_{half}.weight": value for half, value in halves.items()}, path)
    torn = path.with_name("torn.safetensors")
    torn.write_bytes(bytes(40))
    for file in (path, torn):
        known = networks.network.NetworkOnDisk(file.stem, str(file))
        networks.available_networks[file.stem] = networks.available_network_aliases[file.stem] = known

    def load(name):
        networks.load_networks([name], [0.25], [0.5], [None])
        return sd_model.forge_objects_after_applying_lora.unet

    try:
        first = load("facts")
        assert sd_model.current_lora_hash == str([[str(path), 0.5, 0.25, False]])
        assert [*first.lora_patches] == [(str(path), 0.5, 1.0, False)]
        (net,) = networks.loaded_networks
        assert (net.mentioned_name, net.network_on_disk.filename) == ("facts", str(path))
        assert (net.te_multiplier, net.unet_multiplier, net.modules) == (1.0, 1.0, {})
        assert load("facts") is first
        sd_model.current_lora_hash = "another"
        assert load("facts") is not first
        assert _failure(lambda: load("torn"))
        assert sd_model.current_lora_hash == str([[str(torn), 0.5, 0.25, False]])
        assert len(networks.loaded_networks) == 1
        assert isinstance(_failure(lambda: load("there is none")), AttributeError)
    finally:
        networks.load_networks([], [], [], [])
        networks.list_available_networks()
    assert sd_model.forge_objects_after_applying_lora.unet is sd_model.forge_objects_original.unet


def _failure(call):
    try:
        call()
    except Exception as error:
        return error
    return None


def check_file_of_lora(of):
    """Of a file with more than twelve keys that it does not know nothing is used."""
    width = kmodel_of(of).diffusion_model.output_blocks[2][1].conv.weight.shape[0]
    halves = {"up": torch.ones(width, 2, 1, 1), "down": torch.ones(2, width, 3, 3)}
    known = {f"lora_unet_output_blocks_2_1_conv.lora_{half}.weight": value for half, value in halves.items()}
    objects = of.sd_model.forge_objects_original
    for unknown, used in ((12, True), (13, False)):
        state = {**known, **{f"layer{number}.lora_up.weight": torch.ones(1) for number in range(unknown)}}
        unet, clip = of.networks.load_lora_for_models(objects.unet, objects.clip, state, 0.5, 0.25, filename="a")
        assert [*unet.lora_patches] == [("a", 0.5, 1.0, False)] * used
        assert (unet is not objects.unet, clip is objects.clip) == (used, True)


class Head:
    """A ControlNet that notes how it is asked."""

    def __init__(self, previous=None):
        self.previous_controlnet, self.asked = previous, []

    def get_control(self, *of):
        self.asked.append((of, self.transformer_options))
        return "what it adds"


def check_asking_controlnets(of):
    """Once for all rows of a call, before that; all in a chain are told what the layers are told."""
    patcher, head = of.sd_model.forge_objects.unet, Head(Head())
    patcher.controlnet_linked_list = head
    try:
        params, calls, _ = calls_of(of)
    finally:
        patcher.controlnet_linked_list = None
    ((x, sigmas, conds, _),), (((rows, sigmas_of_rows, cond, branches), told),) = calls, head.asked
    assert (conds["control"], conds["control_model"]) == ("what it adds", head)
    assert rows is x
    assert sigmas_of_rows is sigmas
    assert branches == 2
    assert torch.equal(cond["c_crossattn"], conds["c_crossattn"])
    assert told is head.previous_controlnet.transformer_options is conds["transformer_options"]


class Echo(nn.Module):
    """Adds the mean of its hints in all places; notes how many rows it was called with."""

    dtype = torch.float32

    def __init__(self):
        super().__init__()
        self.rows = []

    def forward(self, x, hint, timesteps, context, y=None):
        self.rows.append(len(x))
        return [hint.mean(dim=(1, 2, 3), keepdim=True).expand(len(x), -1, -1, -1) + 0 * x[:, :1] for _ in range(13)]


def check_controlnet(of):
    """Frames of a branch are given the first hints, once for each branch; weights and masks go by frames."""
    assert names(of.controlnet.get_control) == ("self", "x_noisy", "t", "cond", "batched_number")
    hints = torch.arange(1.0, FRAMES + 1).view(-1, 1, 1, 1).expand(-1, 3, 64, 64).clone()
    one, other = (of.new_controlnet(model) for model in (Echo(), Echo()))
    one.cond_hint_original, other.cond_hint_original, one.previous_controlnet = hints, hints[:1] * 10, other
    one.pre_run(kmodel_of(of), lambda percent: 1000.0 * (1 - percent))
    other.pre_run(kmodel_of(of), lambda percent: 1000.0 * (1 - percent))
    one.advanced_frame_weighting = [1.0, 0.5, 0.0]
    one.advanced_mask_weighting = torch.tensor([1.0, 1.0, 2.0]).view(-1, 1, 1, 1)
    sigmas = torch.tensor([3.0, 2.0, 1.0])
    told = {"cond_or_uncond": [1, 0], "sigmas": sigmas, "cond_mark": torch.tensor([1.0] * 3 + [0.0] * 3)}
    one.transformer_options = other.transformer_options = told
    text = {"c_crossattn": torch.zeros(6, 5, 8)}
    made = one.get_control(torch.randn(6, 4, 8, 8), sigmas.repeat(2), text, 2)
    assert [len(made[place]) for place in ("input", "middle", "output")] == [0, 1, 12]
    for tensor in (*made["middle"], *made["output"]):
        torch.testing.assert_close(tensor[:, 0, 0, 0], torch.tensor([11.0, 11.0, 10.0] * 2))
    assert (one.cond_hint.shape[0], other.cond_hint.shape[0]) == (6, 1)
    assert one.control_model.rows == other.control_model.rows == [6]
    one.cond_hint = one.cond_hint + 1
    again = one.get_control(torch.randn(6, 4, 8, 8), sigmas.repeat(2), text, 2)["middle"][0]
    torch.testing.assert_close(again[:, 0, 0, 0], torch.tensor([12.0, 11.5, 10.0] * 2))
    assert one.get_control(torch.randn(6, 4, 8, 8), sigmas.repeat(2) + 2000, text, 2) is None


def check_units(of):
    defaults = {field.name: field.default for field in dataclasses.fields(of.units.ControlNetUnit)}
    for name in ("input_mode", "resize_mode", "control_mode", "hr_option"):
        assert [*type(defaults[name]).__members__] == list(MEMBERS[name])
    for name in (
        "batch_image_dir",
        "batch_mask_dir",
        "batch_input_gallery",
        "use_preview_as_input",
        "image",
        "mask_image",
    ):
        assert name in defaults
    unit = of.units.ControlNetUnit.from_dict({"input_mode": "batch", "no such field": 1, "control_mode": 7})
    assert (unit.input_mode, unit.control_mode) == ("batch", 7)
    assert of.units.resize_mode_from_value("Scale to Fit (Inner Fit)") is of.units.ResizeMode.INNER_FIT
    assert of.units.resize_mode_from_value(3) is of.units.ResizeMode.RESIZE
    copied = copy.copy(unit)
    copied.batch_modifiers = [max]  # a field that it does not have
    assert not hasattr(unit, "batch_modifiers")

"""LoRA files that cannot be used, each for one reason: name -> (how it is written, what the sentence says)."""

import pickle
import zipfile

import torch
from loras import GUOYWW, layer_name, low_ranks
from safetensors.torch import save_file

from tests.core.lora_layouts import guoyww

QUERY = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"
PLACE = ("down_blocks.0.motion_modules.1", 0, "to_q")
DOWN, UP = guoyww(layer_name(*PLACE), "down"), guoyww(layer_name(*PLACE), "up")


def motion():
    """One layer of a motion LoRA that fits."""
    down, up = low_ranks()[PLACE]
    return {DOWN: down, UP: up}


def spatial(down=None, up=None, **parts):
    """One layer of a spatial LoRA that fits, or parts that do not."""
    state = {f"{QUERY}.lora_down.weight": torch.ones(2, 32) if down is None else down}
    state[f"{QUERY}.lora_up.weight"] = torch.ones(32, 2) if up is None else up
    return state | {f"{QUERY}.{part}": value for part, value in parts.items()}


def tensors(make, ending="safetensors"):
    def write(folder, name):
        path = folder / f"{name}.{ending}"
        save_file(make(), path) if ending == "safetensors" else torch.save(make(), path)

    return write


def data(content, ending="safetensors"):
    return lambda folder, name: (folder / f"{name}.{ending}").write_bytes(content)


def pickled(make):
    return tensors(make, "ckpt")


def renamed(folder, name):
    """A pickle that is called safetensors."""
    tensors(motion, "ckpt")(folder, name)
    (folder / f"{name}.ckpt").rename(folder / f"{name}.safetensors")


def renamed_the_other_way(folder, name):
    tensors(motion)(folder, name)
    (folder / f"{name}.safetensors").rename(folder / f"{name}.ckpt")


def flipped(folder, name):
    """A zip with bits flipped in its directory."""
    tensors(motion, "ckpt")(folder, name)
    path = folder / f"{name}.ckpt"
    content = bytearray(path.read_bytes())
    for place in range(len(content) - 90, len(content) - 60):
        content[place] ^= 0xFF
    path.write_bytes(content)


def torn(folder, name):
    tensors(motion)(folder, name)
    path = folder / f"{name}.safetensors"
    path.write_bytes(path.read_bytes()[:-9])


def archive(folder, name):
    with zipfile.ZipFile(folder / f"{name}.pt", "w") as made:
        made.writestr("readme.txt", "no weights")


def packed(folder, name):
    """A small file that unpacks to a large one."""
    with zipfile.ZipFile(folder / f"{name}.ckpt", "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr(f"{name}/data.pkl", bytes(50_000_000))
        made.writestr(f"{name}/version", "3\n")


def of_down(change):
    """The motion LoRA with its down half changed."""
    return lambda: motion() | {DOWN: change(motion()[DOWN])}


FILES = {
    "torn": (torn, "cannot be read"),
    "empty": (data(b""), "cannot be read"),
    "web_page": (data(b"<!DOCTYPE html><html>"), "cannot be read"),
    "huge_header": (data(b"\xff" * 7 + b"\x7f" + b"{" + bytes(100)), "cannot be read"),
    "odd_alias": (data(b'\x2f\0\0\0\0\0\0\0{"__metadata__":{"ss_output_name":"{\\"a\\": 1}"}}'), "cannot be read"),
    "renamed": (renamed, "cannot be read"),
    "renamed_ckpt": (renamed_the_other_way, "cannot be read"),
    "flipped": (flipped, "cannot be read"),
    "archive": (archive, "cannot be read"),
    "old_pickle": (data(pickle.dumps({"state_dict": print}, protocol=2), "pt"), "cannot be read"),
    "packed": (packed, "unpacks to 50,000,002, which no LoRA does"),
    "a_list": (pickled(lambda: [torch.ones(3)]), "cannot be read"),
}
VALUES = {
    "nan": (tensors(of_down(lambda down: down * float("nan"))), "down.weight holds numbers that are not finite"),
    "inf": (tensors(lambda: motion() | {UP: torch.full((32, 4), torch.inf).half()}), "not finite"),
    "spatial_nan": (tensors(lambda: spatial(torch.full((2, 32), torch.nan))), "not finite"),
    "alpha_nan": (tensors(lambda: spatial(alpha=torch.tensor(torch.nan))), "alpha holds numbers that are not finite"),
    "alphas": (tensors(lambda: spatial(alpha=torch.ones(3))), "alpha is 3 numbers, not one"),
    "int8": (tensors(of_down(lambda down: (down * 9).to(torch.int8))), "down.weight holds numbers of type int8"),
    "bool": (tensors(of_down(lambda down: down > 0)), "numbers of type bool"),
    "complex": (pickled(of_down(lambda down: down.to(torch.complex64))), "numbers of type complex64"),
    "spatial_int8": (tensors(lambda: spatial(torch.ones(2, 32, dtype=torch.int8))), "numbers of type int8"),
    "meta": (pickled(of_down(lambda down: down.to("meta"))), "down.weight has a shape but no numbers"),
    "sparse": (pickled(of_down(lambda down: down.to_sparse())), "is not stored as plain numbers"),
    "quantised": (
        pickled(of_down(lambda down: torch.quantize_per_tensor(down, 0.1, 0, torch.qint8))),
        "",  # newer readers refuse it themselves
    ),
    "no_numbers": (tensors(of_down(lambda down: down[:0])), "down.weight is empty"),
    "expanded": (pickled(of_down(lambda down: torch.ones(1).expand(10_000_000, 32))), "more numbers than the file"),
    "ranks": (tensors(of_down(lambda down: down[:3])), r"two halves \(32x4 and 3x32\) do not belong together"),
    "a_row": (tensors(of_down(lambda down: down[0])), "do not belong together"),
    "outer": (tensors(lambda: spatial(torch.ones(1, 99_999), torch.ones(99_999, 1))), "which no model's layer is"),
    "twice": (
        tensors(lambda: motion() | {DOWN.replace("processor.to_q_lora", "to_q.lora"): motion()[DOWN] + 1}),
        "has already under another name",
    ),
    "half": (tensors(lambda: {DOWN: motion()[DOWN]}), "not whole: .*to_q has only lora_down"),
    "half_spatial": (
        tensors(lambda: {f"{QUERY}.lora_up.weight": torch.ones(32, 2)}),
        "not whole: .*to_q has only lora_up",
    ),
}
FAR = DOWN.replace("down_blocks.0", "down_blocks.999999999999")
PLACES = {
    "far": (tensors(lambda: {FAR: motion()[DOWN], FAR.replace("down.w", "up.w"): motion()[UP]}), "has no such layer"),
    "digits": (tensors(lambda: {"lora_unet_down_blocks_" + "9" * 5000 + "_attentions_0_x.diff": torch.ones(1)}), ""),
    "long": (tensors(lambda: {"module." * 9999 + "x.lora_A.weight": torch.ones(1, 1)}), "nothing for any layer"),
    "wide": (tensors(lambda: spatial(torch.ones(2, 48), torch.ones(48, 2))), "does not fit the layer .*to_q.*32x32"),
    "another_model": (
        tensors(
            lambda: (
                {"lora_unet_double_blocks_0_img_attn_qkv.lora_down.weight": torch.ones(2, 4)}
                | {"lora_unet_double_blocks_0_img_attn_qkv.lora_up.weight": torch.ones(4, 2)}
            )
        ),
        "nothing for any layer of tiny; it is a LoRA for another kind of model, or not a LoRA",
    ),
    "embedding": (tensors(lambda: {"emb_params": torch.ones(2, 4)}), "nothing for any layer of tiny"),
    "unknown_kind": (tensors(lambda: {f"{QUERY}.hada_w1_a": torch.ones(2, 2)}), "kind of network"),
    "unknown_part": (tensors(lambda: {DOWN.replace(GUOYWW, "else"): torch.ones(2, 2)}), ""),
}

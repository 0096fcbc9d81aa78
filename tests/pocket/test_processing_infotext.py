"""Infotexts: the text itself, reading it, and finding it in pictures."""

import json
from pathlib import Path

import pytest
from PIL import Image
from processing_runs import result_of, txt2img

REFERENCE = Path(__file__).resolve().parents[1] / "reference" / "plain"

LINE = "Steps: 2, Sampler: Euler, Schedule type: Automatic, CFG scale: 7.0, Seed: {}, Size: 64x64, {}Version: 1.10.1"


def model():
    from modules import shared

    shorthash = shared.sd_model.sd_model_hash
    return (
        f"Model hash: {shorthash}, " if shorthash else ""
    ) + f"Model: {shared.sd_model.sd_checkpoint_info.name_for_extra}, "


def test_every_picture_has_its_own_infotext(pocket):
    result = result_of(txt2img(batch_size=2, do_not_save_grid=True))
    assert result.infotexts == [f"a red ball\nNegative prompt: blue\n{LINE.format(seed, model())}" for seed in (5, 6)]
    assert [picture.info["parameters"] for picture in result.images] == result.infotexts
    assert result.info == result.infotexts[0] and result.infotext(prepared(), 1) == result.infotexts[1]


def prepared():
    """A run whose prompts and seeds are settled."""
    from modules import processing

    p = txt2img(batch_size=2)
    processing._prepare(p)
    return p


def test_what_is_empty_is_left_out_and_what_differs_is_there(pocket):
    text = result_of(
        txt2img(
            negative_prompt="",
            subseed_strength=0.25,
            seed_resize_from_w=32,
            seed_resize_from_h=32,
            override_settings={"CLIP_stop_at_last_layers": 2, "randn_source": "CPU"},
        )
    ).info
    assert "Negative prompt" not in text
    for part in (
        "Variation seed: 9",
        "Variation seed strength: 0.25",
        "Seed resize from: 32x32",
        "Clip skip: 2",
        "RNG: CPU",
    ):
        assert part in text.split("\n")[-1].split(", ")


@pytest.mark.parametrize(
    ("option", "part"),
    [
        ("add_model_name_to_info", "Model: "),
        ("add_version_to_infotext", "Version: "),
        ("add_model_hash_to_info", "Model hash: "),
    ],
)
def test_settings_leave_parts_out(pocket, option, part):
    assert part not in result_of(txt2img(override_settings={option: False})).info


def test_scripts_parameters_may_be_text_lists_and_functions(pocket, capsys):
    p = txt2img(batch_size=2)
    p.extra_generation_params.update(
        {
            "Plain": "yes",
            "Quoted": "a, b: c",
            "Own": ["first", "second"],
            "Made": lambda p, index, **kwargs: f"{p.seed}-{index}-{kwargs['prompt_text']}",
            "Nothing": None,
            "Broken": lambda **kwargs: 1 / 0,
            "Flag": "Flag",
        }
    )
    first, second = result_of(p).infotexts
    for text, own, made in ((first, "first", "5-0-a red ball"), (second, "second", "5-1-a red ball")):
        parts = text.split("\n")[-1]
        for part in ("Plain: yes", 'Quoted: "a, b: c"', f"Own: {own}", f"Made: {made}", ", Flag, "):
            assert part in parts
        assert "Nothing" not in parts and "Broken" not in parts
    assert 'Error creating infotext for key "Broken"' in capsys.readouterr().err


def test_the_infotext_can_be_read_back(pocket):
    from modules.infotext_utils import parse_generation_parameters

    prompt = 'a (red:1.2) ball,\nwith: colons, and "quotes"'
    p = txt2img(prompt=prompt, negative_prompt="blue,\ngreen")
    p.extra_generation_params["AnimateDiff"] = "model: mm.safetensors, video_length: 16"
    params = parse_generation_parameters(result_of(p).info)
    assert params["Prompt"] == prompt and params["Negative prompt"] == "blue,\ngreen"
    assert (params["Seed"], params["Size-1"], params["Size-2"]) == ("5", "64", "64")
    assert params["AnimateDiff"] == "model: mm.safetensors, video_length: 16"
    assert params["Emphasis"] == "Original" and params["Clip skip"] == "1" and params["RNG"] == "GPU"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("just a prompt", {"Prompt": "just a prompt", "Negative prompt": ""}),
        ("a\nb\nNegative prompt: c\nd", {"Prompt": "a\nb", "Negative prompt": "c\nd"}),
        ("a: 1, b: 2", {"Prompt": "a: 1, b: 2"}),
        ("p\nSteps: 1, Seed: 2, Size: 8x16", {"Prompt": "p", "Steps": "1", "Size-1": "8", "Size-2": "16"}),
        ('p\nSteps: 1, Seed: 2, Own: "a, \\"b\\""', {"Own": 'a, "b"'}),
        (
            "p\nSteps: 1, Seed: 2, Version: 1.5.0, Sampler: DDIM",
            {"Pad conds v0": True, "Downcast alphas_cumprod": True},
        ),
        ("[p]\nSteps: 1, Seed: 2, Version: v1.5.2-3-gabc", {"Old prompt editing timelines": True}),
        ("p\nSteps: 1, Seed: 2, First pass size: 8x8, Size: 16x16", {"Size-1": 8, "Hires resize-1": 16}),
    ],
)
def test_reading_infotexts(text, expected):
    from modules.infotext_utils import parse_generation_parameters

    params = parse_generation_parameters(text, [])
    assert {name: params.get(name) for name in expected} == expected


def test_fields_can_be_left_out_of_pasting(pocket):
    from modules import shared
    from modules.infotext_utils import parse_generation_parameters

    shared.opts.infotext_skip_pasting = ["Seed"]
    text = "p\nSteps: 1, Seed: 2, CFG scale: 3"
    assert "Seed" not in parse_generation_parameters(text)
    assert "Steps" not in parse_generation_parameters(text, ["Steps"])


@pytest.mark.parametrize("value", ["plain", "a, b", "a: b", "two\nlines", 'with "quotes", too', "ümläut, ja", 5])
def test_quoting_is_undone_by_unquoting(value):
    from modules.infotext_utils import quote, unquote

    quoted = str(quote(value))
    assert unquote(quoted) == str(value)
    assert "\n" not in quoted


@pytest.mark.parametrize("broken", ['"', '"abc', '"a"b"', ""])
def test_unquoting_leaves_other_text_alone(broken):
    from modules.infotext_utils import unquote

    assert unquote(broken) == broken


def test_settings_are_found_in_infotexts(pocket):
    from modules.infotext_utils import create_override_settings_dict, get_override_settings, parse_generation_parameters

    assert create_override_settings_dict(["Clip skip: 2", "ENSD: 31337", "Pad conds: False", "Unknown: 1"]) == {
        "CLIP_stop_at_last_layers": 2,
        "eta_noise_seed_delta": 31337,
        "pad_cond_uncond": False,
    }
    params = parse_generation_parameters("p\nSteps: 1, Seed: 2, Clip skip: 2, ENSD: 0, Eta: 0.5, Model hash: abc")
    found = get_override_settings(params, skip_fields=["Eta"])
    assert ("Clip skip", "CLIP_stop_at_last_layers", 2) in found
    assert not {"ENSD", "Eta", "Model hash"} & {name for name, _, _ in found}


def test_styles_are_applied_and_taken_out_again(pocket, monkeypatch):
    from modules import shared, styles
    from modules.infotext_utils import parse_generation_parameters

    path = pocket["data"] / "styles-test.csv"
    path.write_text('name,prompt,negative_prompt\nart,"{prompt}, oil",ugly\n#note,x,y\nend,shiny,\n', encoding="utf8")
    monkeypatch.setattr(shared, "prompt_styles", styles.StyleDatabase([path]))
    assert list(shared.prompt_styles.styles) == ["art", "end"]
    result = result_of(txt2img(styles=["art", "end", "no such style"]))
    assert result.all_prompts == ["a red ball, oil, shiny"] and result.all_negative_prompts == ["blue, ugly"]
    params = parse_generation_parameters(result.info)
    assert (params["Prompt"], params["Negative prompt"], params["Styles array"]) == (
        "a red ball",
        "blue",
        ["art", "end"],
    )
    shared.opts.infotext_styles = "Ignore"
    assert parse_generation_parameters(result.info)["Prompt"] == "a red ball, oil, shiny"


def test_styles_are_saved_where_they_came_from(tmp_path):
    from modules.styles import PromptStyle, StyleDatabase

    first, second = tmp_path / "a.csv", tmp_path / "b.csv"
    second.write_text("name,text\nold,words\n", encoding="utf8")
    database = StyleDatabase([first, second])
    database.styles["new"] = PromptStyle("new", "one, two", "three")
    database.save_styles()
    again = StyleDatabase([first, second])
    assert again.styles["new"][:3] == ("new", "one, two", "three") and again.styles["old"].prompt == "words"
    assert again.styles["new"].path == str(first)


@pytest.mark.parametrize("extension", ["png", "jpg", "webp"])
def test_the_infotext_is_in_saved_pictures(pocket, tmp_path, extension):
    from modules import images

    p = txt2img(do_not_save_samples=False, override_settings={"samples_format": extension})
    p.outpath_samples = str(tmp_path)
    info = result_of(p).info
    (saved,) = tmp_path.rglob(f"*.{extension}")
    assert images.read_info_from_image(Image.open(saved)) == (info, {})


def test_gif_comments_and_broken_exif_are_read():
    from modules.images import read_info_from_image

    picture = Image.new("RGB", (4, 4))
    picture.info = {"comment": b"in a gif", "duration": 10, "author": "me"}
    assert read_info_from_image(picture) == ("in a gif", {"comment": b"in a gif", "author": "me"})
    picture.info = {"exif": b"nothing of use", "parameters": "kept"}
    assert read_info_from_image(picture)[0] == "kept"


def test_params_txt_holds_the_last_infotext(pocket):
    from modules import shared

    info = result_of(txt2img(prompt="remember me")).info
    assert (pocket["data"] / "params.txt").read_text(encoding="utf8") == info
    shared.cmd_opts.no_prompt_history = True
    try:
        result_of(txt2img(prompt="forget me"))
    finally:
        shared.cmd_opts.no_prompt_history = False
    assert (pocket["data"] / "params.txt").read_text(encoding="utf8") == info


def test_the_result_as_json_has_the_webuis_fields_in_its_order(pocket):
    told = json.loads(result_of(txt2img(batch_size=2)).js())
    assert list(told)[:5] == ["prompt", "all_prompts", "negative_prompt", "all_negative_prompts", "seed"]
    assert (told["all_seeds"], told["all_subseeds"], told["seed"]) == ([5, 6], [9, 10], 5)
    assert (told["index_of_first_image"], told["version"], told["sampler_name"]) == (0, "1.10.1", "Euler")


@pytest.mark.parametrize("name", ["Euler", "hires", "i2i", "long_emphasis_edit", "subseed", "niter2", "AND", "padded"])
def test_infotexts_are_those_of_the_real_webui(pocket, name):
    """Made from each reference request without its model: the text depends on it by name only."""
    from modules import processing

    request = json.loads((REFERENCE / f"{name}.json").read_text())
    given = request.pop("override_settings", {})
    kind = processing.StableDiffusionProcessingTxt2Img
    if "init_images" in request:
        kind = processing.StableDiffusionProcessingImg2Img
    if "hr_scale" in request:
        request["hr_scale"] = float(request["hr_scale"])
    p = kind(**request)
    processing._prepare(p)
    p.sd_model_name, p.sd_model_hash = "sd15tiny", None
    if kind is processing.StableDiffusionProcessingTxt2Img:
        p.init(p.all_prompts, p.all_seeds, p.all_subseeds)
    else:
        p.extra_generation_params["Denoising strength"] = p.denoising_strength
    if given or "Pad conds" in Image.open(REFERENCE / f"{name}-0.png").info["parameters"]:
        p.extra_generation_params["Pad conds"] = True  # the sampler's to say
    result = processing.Processed(p, [])
    for index, path in enumerate(sorted(REFERENCE.glob(f"{name}-[0-9].png"))):
        assert result.infotext(p, index) == Image.open(path).info["parameters"]
    info = REFERENCE / f"{name}-info.json"
    if info.exists():
        assert list(json.loads(result.js())) == list(json.loads(info.read_text()))

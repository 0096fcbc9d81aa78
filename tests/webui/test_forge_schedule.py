"""Noise schedule, memory, guidance and checkpoints on Forge, over the stand-in."""

import math
import sys
import traceback
from types import SimpleNamespace

import pytest
import torch
from forge_stand_in import patchers
from forge_videos import FRAMES, denoised, denoiser_of, each_frame, noise, plan, sigma_of, texts, video

from motion_module.core.denoising.schedule import SCHEDULES, alphas_cumprod
from motion_module.core.module.attention_ways import SDP, SPLIT, XFORMERS
from motion_module.core.module.call_frames import CallFrames
from motion_module.errors import UserError
from motion_module.settings import KEEP
from tests.core.builders import motion_model


@pytest.mark.parametrize("name", [*SCHEDULES, KEEP])
@pytest.mark.parametrize("sampler", ["Euler", "DDIM"])
def test_a_schedule_is_lent_to_the_predictor(forge, name, sampler):
    """A sampler like DDIM, made meanwhile, notes it on the checkpoint, and there it would stay."""
    predictor, alphas = forge.kmodel.predictor, alphas_cumprod("sqrt-linear" if name == KEEP else name, 1000)
    own = dict(predictor.named_buffers())
    with forge.host.noise_schedule(forge.sd_model, name):
        torch.testing.assert_close(predictor.sigmas, ((1 - alphas) / alphas).sqrt())
        torch.testing.assert_close(predictor.log_sigmas, predictor.sigmas.log())
        if sampler == "DDIM":
            forge.sd_model.alphas_cumprod = 1 / (predictor.sigmas**2 + 1)
            torch.testing.assert_close(forge.sd_model.alphas_cumprod, alphas)
        assert forge.host.last_alpha(forge.sd_model) == pytest.approx(float(alphas[-1]), rel=1e-3)
    now = dict(predictor.named_buffers())
    assert all(now[key] is value for key, value in own.items())
    assert now.keys() == own.keys()
    assert hasattr(forge.sd_model, "alphas_cumprod") == (name == KEEP and sampler == "DDIM")


def test_what_a_sampler_has_noted_before_comes_back(forge):
    noted = forge.sd_model.alphas_cumprod = torch.ones(1000)
    with forge.host.noise_schedule(forge.sd_model, "linear"):
        forge.sd_model.alphas_cumprod = torch.zeros(1000)
    assert forge.sd_model.alphas_cumprod is noted


def test_the_predictor_may_move_meanwhile(forge):
    """Forge moves it with the UNet, to the card and back; what stands in it then are other tensors."""
    predictor = forge.kmodel.predictor
    own = predictor.sigmas.clone(), predictor.log_sigmas.clone()
    with forge.host.noise_schedule(forge.sd_model, "linear"):
        for name in ("sigmas", "log_sigmas"):
            setattr(predictor, name, getattr(predictor, name).clone())
        assert forge.host.last_alpha(forge.sd_model) < 1 / (float(own[0][-1]) ** 2 + 1) * 0.9
    assert torch.equal(predictor.sigmas, own[0])
    assert torch.equal(predictor.log_sigmas, own[1])


def test_what_others_make_of_the_schedule_stays(forge):
    predictor, theirs = forge.kmodel.predictor, torch.linspace(0.1, 9.0, 1000)
    with forge.host.noise_schedule(forge.sd_model, "linear"):
        predictor.set_sigmas(theirs)
    assert torch.equal(predictor.sigmas, theirs)
    forge.host.put_schedule_right()
    assert torch.equal(predictor.sigmas, theirs)


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
def test_what_an_answer_of_the_unet_says(forge, kind):
    forge.kmodel.predictor.prediction_type = kind
    prediction = forge.host.prediction(forge.sd_model)
    assert prediction.of_v == (kind == "v_prediction")
    torch.testing.assert_close(prediction.alphas, alphas_cumprod("sqrt-linear", 1000))


def test_what_the_latents_of_an_answer_are(forge):
    """Most denoisers answer with them; those by timesteps with the noise."""
    x0, eps, steps = noise(), noise(seed=8), torch.tensor([1, 200, 400, 600, 800, 999])
    plain = SimpleNamespace(get_pred_x0=lambda x, out, sigma: out)
    assert forge.host.predicted_x0(plain)(None, x0, None) is x0
    forge.sd_model.alphas_cumprod = alphas_cumprod("sqrt-linear", 1000)
    by_steps = denoiser_of(forge)
    by_steps.classic_ddim_eps_estimation = True
    a = forge.sd_model.alphas_cumprod[steps].view(-1, 1, 1, 1)
    found = forge.host.predicted_x0(by_steps)(a.sqrt() * x0 + (1 - a).sqrt() * eps, eps, steps.float())
    torch.testing.assert_close(found, x0, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("weights", [(1.0,), (1.0, 1.0), (0.4, 0.3)])
def test_each_frame_is_guided_by_its_own_scale(forge, weights):
    """As a whole video with that scale would be, with prompts joined by AND, too."""
    scales = [1.5, 1.5, 4.0, 4.0, 7.0, 7.0]
    call = {"cond": texts(FRAMES * len(weights)), "composition": each_frame(weights)}
    sampler = SimpleNamespace(model_wrap_cfg=denoiser_of(forge, 5.0))
    with forge.host.guidance(sampler, scales, 5.0):
        travelled = denoised(forge, scale=5.0, **call)
        unguided = denoised(forge, scale=1.0, **call)
    whole = {scale: denoised(forge, scale=scale, **call) for scale in {*scales}}
    each = torch.stack([whole[scale][frame] for frame, scale in enumerate(scales)])
    torch.testing.assert_close(travelled, each, atol=1e-4, rtol=1e-4)
    assert torch.equal(unguided, denoised(forge, scale=1.0, **call))


def test_guidance_of_others_is_found_and_a_scale_of_one_refused(forge):
    sampler = SimpleNamespace(model_wrap_cfg=denoiser_of(forge, 1))
    with pytest.raises(UserError, match="CFG scale of 1"):
        forge.host.guidance(sampler, [1.0] * FRAMES, 1)
    assert forge.host.guidance_of_others(sampler) is None
    forge.sd_model.forge_objects.unet.model_options["sampler_cfg_function"] = max
    assert forge.host.guidance_of_others(sampler) is max


@pytest.mark.parametrize(("windows", "asked"), [(None, 12), (plan(), 8), (plan(context=5), 10)])
def test_memory_is_asked_for_the_rows_of_windows(forge, windows, asked):
    patcher = forge.sd_model.forge_objects.unet
    with video(forge, motion_model("v2"), windows):
        forge.sampling.sampling_prepare(patcher, noise())
        clone = patcher.clone()
        assert clone.memory_required([12, 4, 16, 16]) == asked
    assert [bytes_of for bytes_of, _ in forge.memory.asked] == [asked]
    assert patcher.memory_required([12, 4, 16, 16]) == 12


@pytest.mark.parametrize("in_turn", [False, True])
def test_room_is_made_for_the_motion_module(forge, in_turn):
    """Forge leaves models on the card after a run as long as there is any room; what goes there in turn needs little."""
    model = motion_model("v2")
    own = {name: id(value) for name, value in model.named_parameters()}
    with forge.host.in_memory(model, in_turn):
        assert forge.memory.asked == []
    forge.patch.setattr(forge.memory, "device", torch.device("meta"))
    with forge.host.in_memory(model, in_turn):
        assert ({value.device.type for value in model.parameters()} == {"meta"}) == (not in_turn)
    size = sum(value.numel() * value.element_size() for value in model.state_dict().values())
    assert forge.memory.asked == [(size + 1000, torch.device("meta"))] * (not in_turn)
    assert {name: id(value) for name, value in model.named_parameters()} == own


def test_an_error_has_forge_merge_its_lora_anew(forge):
    """One that comes in the middle of merging leaves weights half merged."""
    loaders = [forge.kmodel.lora_loader, forge.sd_model.forge_objects.clip.patcher.lora_loader]
    before = [loader.loaded_hash for loader in loaders]
    with forge.host.in_memory(motion_model("v2"), False):
        pass
    assert [loader.loaded_hash for loader in loaders] == before
    with pytest.raises(MemoryError), forge.host.in_memory(motion_model("v2"), False):
        raise MemoryError
    assert all(loader.loaded_hash not in before for loader in loaders)


def test_least_memory_takes_feed_forwards_in_pieces(forge):
    own = {part for part in forge.unet.modules() if "forward" in vars(part)}
    with forge.host.rows_in_turn(forge.sd_model, False):
        changed = {type(part).__name__ for part in forge.unet.modules() if "forward" in vars(part)}
    assert changed == {"FeedForward"}
    assert {part for part in forge.unet.modules() if "forward" in vars(part)} == own


@pytest.mark.parametrize("takes_sigma", [False, True])
def test_the_refiner_is_asked_for_as_the_host_asks(forge, takes_sigma):
    from modules import sd_samplers_common

    asked = []
    of_forge, of_neo = (lambda denoiser, x: asked.append(2)), (lambda denoiser, x, sigma: asked.append(3))
    forge.patch.setattr(sd_samplers_common, "apply_refiner", of_neo if takes_sigma else of_forge)
    forge.host.change_checkpoint_in_turn(None, noise(), sigma_of(forge))
    assert asked == [2 + takes_sigma]


def test_types_of_weights_and_of_attention(forge):
    forge.kmodel.storage_dtype, forge.kmodel.computation_dtype = torch.float8_e4m3fn, torch.float16
    assert forge.host.weights_dtype() is torch.float16
    ways = {"xformers": XFORMERS, "pytorch": SDP, "split": SPLIT, "sub_quad": SPLIT}
    for name, way in ways.items():
        forge.patch.setattr(forge.attention, "attention_function", getattr(forge.attention, f"attention_{name}"))
        assert forge.host.attention() == way


def test_nothing_is_loaded_before_the_first_run(forge):
    from modules import devices, sd_models

    forge.patch.setattr(sd_models.model_data, "sd_model", SimpleNamespace(cond_stage_model=None))
    assert forge.host.is_loaded(forge.sd_model)
    assert not forge.host.is_loaded(sd_models.model_data.sd_model)
    assert forge.host.weights_dtype() is devices.dtype
    forge.host.put_schedule_right()


def test_the_loan_follows_the_host_to_another_checkpoint(forge):
    """The refiner comes in the middle of sampling, by a function that returns the checkpoint and whether it is new."""
    from modules import sd_models
    from motion_module.webui.sampling import loan

    model, other = motion_model("v2"), patchers.checkpoint()
    still, asked = denoised(forge), []

    def reload():
        asked.append(forge.unet.forward)
        forge.patch.setattr(sd_models.model_data, "sd_model", other)
        return other, True

    forge.patch.setattr(sd_models, "forge_model_reload", reload)
    forge.patch.setattr(loan, "host", forge.host)
    borrower = SimpleNamespace(frames=FRAMES, least_memory=False)
    layers = forge.host.motion_layers
    call = CallFrames()
    with (
        loan.Loan(borrower) as lent,
        lent.of_each_checkpoint(lambda sd_model: layers(sd_model, model, call)),
        lent.of_each_checkpoint(lambda sd_model: forge.host.noise_schedule(sd_model, "linear")),
        forge.host.checkpoint_changes(lent.around_reload),
    ):
        assert sd_models.forge_model_reload() == (other, True)
        assert asked[0].__func__ is type(forge.unet).forward
        assert torch.equal(denoised(forge), still)
        keys = other.forge_objects.unet.model.state_dict()
        assert any(".motion." in key for key in keys)
        assert forge.host.last_alpha(other) < forge.host.last_alpha(forge.sd_model)
    assert not any(".motion." in key for key in other.forge_objects.unet.model.state_dict())
    assert forge.host.last_alpha(other) == forge.host.last_alpha(forge.sd_model)
    assert sd_models.forge_model_reload is reload


@pytest.mark.parametrize(
    ("files", "kind"),
    [
        ((), "a1111"),
        (("backend/__init__.py",), "a1111"),  # of somebody else
        (("backend.py",), "a1111"),
        (("backend/__init__.py", "backend/sampling/__init__.py"), "a1111"),
        (("backend/sampling/sampling_function.py",), "forge"),
        (("backend/__init__.py", "backend/sampling/__init__.py", "backend/sampling/sampling_function.py"), "forge"),
    ],
)
def test_the_kind_of_host_is_told_by_what_it_has(tmp_path, monkeypatch, files, kind):
    from motion_module.webui.host import kind_of_host

    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("", "utf8")
    monkeypatch.syspath_prepend(tmp_path)
    before = {name for name in sys.modules if name.partition(".")[0] == "backend"}
    assert before == set()
    try:
        assert kind_of_host() == kind
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] == "backend"]:
            del sys.modules[name]


def test_errors_of_the_page_are_printed_by_its_thread(forge):
    owner, name = forge.host.reports_errors_by()
    assert getattr(owner, name) is traceback.print_exc


def test_a_running_forge_is_known_by_its_modules(forge):
    from motion_module.webui.host import kind_of_host

    assert kind_of_host() == "forge"
    assert math.isfinite(float(sigma_of(forge, 1)))

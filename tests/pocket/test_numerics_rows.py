"""One denoiser call: which rows the model is given, in which order, under every combination of settings."""

import itertools

import pytest
import torch
from numerics_fakes import WIDTH, GaussianModel, conditionings, job

from modules import sd_models, sd_samplers_cfg_denoiser, shared
from modules.sd_samplers_cfg_denoiser import CFGDenoiser
from modules.sd_samplers_common import InterruptedException

PARTS = {
    "one part": [[(10, 1.0)], [(11, 1.0)], [(12, 1.0)]],
    "AND": [[(10, 1.0), (20, 0.5)], [(11, 1.0), (21, 0.5)], [(12, 1.0), (22, 0.5)]],
    "AND of different number": [[(10, 1.0)], [(11, 1.0), (21, -0.3)], [(12, 0.7)]],
}
UNCOND = [-1, -2, -3]
SCALE = 7.0


class Recorder:
    """Stands for the wrapped model: gives each row its text's value, and keeps what it was called with."""

    def __init__(self):
        self.calls = []

    def __call__(self, x, sigma, cond):
        text, concat = cond["c_crossattn"][0], cond["c_concat"][0]
        assert x.shape[0] == sigma.shape[0] == text.shape[0] == concat.shape[0]
        rows = [(int(x[i, 0, 0, 0]), int(sigma[i]), int(concat[i, 0, 0, 0]), int(text[i, 0, 0])) for i in range(len(x))]
        self.calls.append(rows)
        return text[:, :1, :1, None].expand(-1, *x.shape[1:]).clone()


class Denoiser(CFGDenoiser):
    """The denoiser around a recorder."""

    def __init__(self):
        sampler = type("Sampler", (), {"sampler_extra_args": {}, "last_latent": None})()
        super().__init__(sampler)
        self.model_wrap = Recorder()
        self.p = job(images=3)
        self.total_steps = 10

    @property
    def inner_model(self):
        return self.model_wrap


@pytest.fixture(autouse=True)
def model(monkeypatch):
    monkeypatch.setattr(sd_models.model_data, "sd_model", GaussianModel())
    monkeypatch.setattr(shared.state, "interrupted", False)
    monkeypatch.setattr(shared.state, "skipped", False)


@pytest.fixture
def option(monkeypatch):
    return lambda **values: [monkeypatch.setitem(shared.opts.data, name, value) for name, value in values.items()]


def call(denoiser, parts, s_min_uncond=0.0, lengths=(77, 77), scale=SCALE):
    """Calls with rows that carry their image's number in x, sigma and the image conditioning."""
    numbers = torch.arange(3.0)
    x = numbers[:, None, None, None].expand(3, 4, 2, 2).clone()
    cond, uncond = conditionings(parts, UNCOND, *lengths)
    return denoiser(x, numbers, uncond, cond, scale, s_min_uncond, x[:, :1])


def rows_of(parts, with_uncond=True):
    rows = [(image, image, image, value) for image, of_image in enumerate(parts) for value, _ in of_image]
    return rows + [(image, image, image, UNCOND[image]) for image in range(3)] if with_uncond else rows


def guided(parts, image):
    return UNCOND[image] + SCALE * sum(weight * (value - UNCOND[image]) for value, weight in parts[image])


@pytest.mark.parametrize("parts", PARTS.values(), ids=PARTS)
def test_rows_of_one_call(option, parts):
    denoiser = Denoiser()
    out = call(denoiser, parts)
    assert denoiser.model_wrap.calls == [rows_of(parts)]
    assert out[:, 0, 0, 0].tolist() == pytest.approx([guided(parts, image) for image in range(3)])
    assert denoiser.step == 1
    assert denoiser.sampler.last_latent[:, 0, 0, 0].tolist() == [10, 11, 12]


@pytest.mark.parametrize(
    ("parts", "lengths", "together", "pad", "pad_v0"),
    itertools.product(PARTS, [(77, 77), (154, 77), (77, 231)], [True, False], [True, False], [True, False]),
)
def test_every_row_meets_its_text_in_every_setting(option, parts, lengths, together, pad, pad_v0):
    option(batch_cond_uncond=together, pad_cond_uncond=pad, pad_cond_uncond_v0=pad_v0)
    denoiser = Denoiser()
    out = call(denoiser, PARTS[parts], lengths=lengths)
    called = [row for rows in denoiser.model_wrap.calls for row in rows]
    assert called == rows_of(PARTS[parts])
    assert out[:, 0, 0, 0].tolist() == pytest.approx([guided(PARTS[parts], image) for image in range(3)])
    equal = lengths[0] == lengths[1] or pad or pad_v0
    if together and equal:
        assert len(denoiser.model_wrap.calls) == 1
    if not together:
        assert max(map(len, denoiser.model_wrap.calls)) <= 3
    assert denoiser.padded_cond_uncond_v0 == (pad_v0 and lengths[0] != lengths[1])
    assert denoiser.padded_cond_uncond == (pad and not pad_v0 and lengths[0] != lengths[1])


@pytest.mark.parametrize(("all_steps", "step", "sigma_limit", "skipped"), [
    (False, 0, 9.0, False), (False, 1, 9.0, True), (True, 0, 9.0, True), (False, 1, 0.0, False),
])  # fmt: skip
def test_ngms_leaves_uncond_out(option, all_steps, step, sigma_limit, skipped):
    option(s_min_uncond_all=all_steps)
    denoiser = Denoiser()
    denoiser.step = step
    out = call(denoiser, PARTS["AND"], s_min_uncond=sigma_limit)
    assert denoiser.model_wrap.calls == [rows_of(PARTS["AND"], with_uncond=not skipped)]
    assert denoiser.p.extra_generation_params.get("NGMS") == (sigma_limit if skipped else None)
    if skipped:  # the first part stands for uncond, and the scale is 1
        assert out[0, 0, 0, 0] == pytest.approx(10 + 0.5 * (20 - 10))


def test_skipping_early_steps(option):
    option(skip_early_cond=0.2)
    denoiser = Denoiser()
    for _ in range(4):
        call(denoiser, PARTS["one part"])
    assert [len(rows) for rows in denoiser.model_wrap.calls] == [3, 3, 3, 6]
    assert denoiser.p.extra_generation_params == {"Skip Early CFG": 0.2}


def test_padding_appends_the_empty_prompt(option):
    denoiser = Denoiser()
    cond, uncond = torch.ones(2, 231, WIDTH), torch.ones(2, 77, WIDTH)
    same, longer = denoiser.pad_cond_uncond(cond, uncond)
    assert same is cond
    assert longer[:, :77].eq(1).all()
    assert longer[:, 77:].eq(0).all()
    assert longer.shape == cond.shape
    with_dict = denoiser.pad_cond_uncond(
        {"crossattn": uncond, "vector": uncond[:, 0]}, {"crossattn": cond, "vector": 1}
    )
    assert with_dict[0]["crossattn"].shape == cond.shape


def test_old_padding_repeats_or_cuts(option):
    denoiser = Denoiser()
    ramp = torch.arange(77.0)[None, :, None].expand(1, 77, WIDTH)
    longer = denoiser.pad_cond_uncond_v0(torch.zeros(1, 154, WIDTH), ramp)[1]
    assert longer[0, 77:, 0].unique().tolist() == [76]
    assert denoiser.pad_cond_uncond_v0(torch.zeros(1, 10, WIDTH), ramp)[1].shape == (1, 10, WIDTH)


def test_callbacks_see_the_rows_and_may_change_them(monkeypatch):
    seen = []

    def before(params):
        seen.append((params.x.shape[0], params.text_cond.shape[0], params.text_uncond.shape[0], params.denoiser))
        params.text_uncond = params.text_uncond * 0

    monkeypatch.setattr(sd_samplers_cfg_denoiser, "cfg_denoiser_callback", before)  # imported by name, as in the host
    monkeypatch.setattr(
        sd_samplers_cfg_denoiser, "cfg_denoised_callback", lambda params: seen.append(params.x.shape[0])
    )
    monkeypatch.setattr(
        sd_samplers_cfg_denoiser, "cfg_after_cfg_callback", lambda params: setattr(params, "x", params.x + 100)
    )
    denoiser = Denoiser()
    out = call(denoiser, PARTS["AND"])
    assert seen == [(9, 6, 3, denoiser), 9]
    assert out[0, 0, 0, 0] == pytest.approx(SCALE * (10 + 0.5 * 20) + 100)


@pytest.mark.parametrize("before", [True, False])
def test_inpainting_keeps_the_original(before):
    denoiser = Denoiser()
    denoiser.mask_before_denoising = before
    denoiser.nmask = torch.tensor([1.0, 0.0]).expand(4, 2, 2)
    denoiser.mask = 1 - denoiser.nmask
    denoiser.init_latent = torch.full((3, 4, 2, 2), 5.0)
    out = call(denoiser, PARTS["one part"])
    changed, kept = guided(PARTS["one part"], 0), 5.0
    assert out[0, 0, 0].tolist() == pytest.approx([changed, changed if before else kept])


@pytest.mark.parametrize("asked", ["interrupted", "skipped"])
def test_stopping(monkeypatch, asked):
    monkeypatch.setattr(shared.state, asked, True)
    with pytest.raises(InterruptedException):
        call(Denoiser(), PARTS["one part"])


def test_conditionings_that_are_dicts_reach_the_model_as_they_are():
    class DictRecorder(Recorder):
        def __call__(self, x, sigma, cond):
            self.calls.append(sorted(cond))
            return x

    denoiser = Denoiser()
    denoiser.model_wrap = DictRecorder()
    cond, uncond = conditionings(PARTS["one part"], UNCOND)
    for entry in [*(part.schedules for image in cond.batch for part in image), *uncond]:
        entry[0] = entry[0]._replace(cond={"crossattn": entry[0].cond, "vector": entry[0].cond[0]})
    x = torch.zeros(3, 4, 2, 2)
    denoiser(x, torch.zeros(3), uncond, cond, 7.0, 0.0, x)
    assert denoiser.model_wrap.calls == [["c_concat", "crossattn", "vector"]]

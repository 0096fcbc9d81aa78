"""The control network itself, and how a unit's weights reach the UNet, against sums written out here."""

import pytest
import torch
from controlnet_runs import unet


@pytest.fixture
def network(pocket, tiny):
    from internal_controlnet.cldm import load_control_model

    return load_control_model(str(tiny["control"]), unet().num_heads)


def inputs(rows=4):
    from modules import shared

    generator = torch.Generator().manual_seed(3)
    width = shared.sd_model.cond_stage_model.wrapped.transformer.config.hidden_size
    x = torch.randn(rows, 4, 8, 8, generator=generator)
    context = torch.randn(rows, 77, width, generator=generator)
    hint = torch.rand(1, 3, 64, 64, generator=generator)
    return x, torch.full((rows,), 500.0), context, hint


def params(network, hint, **changes):
    from scripts.enums import ControlModelType
    from scripts.hook import ControlParams

    fields = {
        "control_model": network,
        "preprocessor": {"name": "none"},
        "hint_cond": hint,
        "weight": 0.8,
        "guidance_stopped": False,
        "start_guidance_percent": 0,
        "stop_guidance_percent": 1,
        "advanced_weighting": None,
        "control_model_type": ControlModelType.ControlNet,
        "hr_hint_cond": None,
        "global_average_pooling": False,
        "soft_injection": False,
        "cfg_injection": False,
    }
    return ControlParams(**{**fields, **changes})


def marked(context, positives):
    """As the host's run marks them: a row of 1024 before a prompt, of -1024 before a negative prompt."""
    marks = torch.tensor([1024.0 if positive else -1024.0 for positive in positives])
    return torch.cat([marks[:, None, None].expand(-1, 1, context.shape[2]), context], dim=1)


def guided(param_list, x, t, context):
    from types import SimpleNamespace

    from scripts.hook import UnetHook

    hook = UnetHook()
    hook.hook(unet(), None, param_list, SimpleNamespace(sample=None))
    try:
        with torch.no_grad():
            return unet()(x, timesteps=t, context=context)
    finally:
        hook.restore()


def by_hand(added, x, t, context):
    """The UNet with `added` put on its twelve skip connections and its middle."""
    from ldm.modules.diffusionmodules.util import timestep_embedding

    net = unet()
    with torch.no_grad():
        emb = net.time_embed(timestep_embedding(t, net.model_channels))
        h, skips = x, []
        for block in net.input_blocks:
            h = block(h, emb, context)
            skips.append(h)
        h = net.middle_block(h, emb, context) + added[12]
        for place, block in zip(reversed(range(12)), net.output_blocks, strict=True):
            h = block(torch.cat([h, skips[place] + added[place]], dim=1), emb, context)
        return net.out(h)


def sizes_of(network):
    return [conv[0].weight.shape[0] for conv in network.control_model.zero_convs]


@pytest.mark.parametrize("prefix", ["control_model.", ""])
@pytest.mark.parametrize(("channels", "mult", "heads", "text"), [(32, (1, 2, 2, 2), 4, 64), (64, (1, 2, 4, 4), 8, 32)])
def test_sizes_come_from_the_file(pocket, tmp_path, prefix, channels, mult, heads, text):
    from internal_controlnet.cldm import load_control_model

    import weights

    sizes = weights.Sizes(channels, mult, heads, text)
    path = weights.make_controlnet(tmp_path / "control.safetensors", sizes=sizes, prefix=prefix)
    made = load_control_model(str(path), heads)
    a, b, c, d = (channels * factor for factor in mult)
    assert sizes_of(made) == [a, a, a, a, b, b, b, c, c, c, d, d]
    with torch.no_grad():
        outs = made(
            x=torch.randn(1, 4, 8, 8),
            hint=torch.rand(1, 3, 64, 64),
            timesteps=torch.tensor([7.0]),
            context=torch.randn(1, 5, text),
        )
    assert [out.shape[2] for out in outs] == [8, 8, 8, 4, 4, 4, 2, 2, 2, 1, 1, 1, 1]


def test_the_file_is_the_same_bits_each_time_and_needs_its_keys(pocket, tmp_path, tiny):
    from internal_controlnet.cldm import load_control_model
    from safetensors.torch import load_file, save_file

    import weights

    again = weights.make_controlnet(tmp_path / "again.safetensors", seed=21)
    assert again.read_bytes() == tiny["control"].read_bytes()
    state = load_file(again)
    del state["control_model.middle_block_out.0.weight"]
    save_file(state, tmp_path / "short.safetensors")
    for path in (tmp_path / "short.safetensors", tiny["v1"]):
        with pytest.raises(ValueError, match="Cannot recognize"):
            load_control_model(str(path), 4)


def test_without_a_hint_it_is_the_unets_encoder_through_its_own_convolutions(network):
    """The first value by hand: the first convolution, the hint added to it, then the zero convolution."""
    x, t, context, hint = inputs()
    net = network.control_model
    with torch.no_grad():
        first = net.input_blocks[0][0](x) + net.input_hint_block(hint, None, None)
        expected = net.zero_convs[0][0](first)
        assert torch.allclose(network(x=x, hint=hint, timesteps=t, context=context)[0], expected, atol=1e-5)


@pytest.mark.parametrize("mode", ["Balanced", "My prompt is more important", "ControlNet is more important"])
def test_control_modes_against_a_direct_computation(network, mode):
    x, t, context, hint = inputs()
    positives = [True, True, False, False]
    soft, cond_only = mode != "Balanced", mode == "ControlNet is more important"
    with torch.no_grad():
        values = network(x=x, hint=hint, timesteps=t, context=context)
    added = []
    for place, value in enumerate(values):
        value = value * 0.8 * (0.825 ** (12 - place) if soft else 1)
        if cond_only:
            value = torch.cat([value[:2], torch.zeros_like(value[2:])])
        added.append(value)
    expected = by_hand(added, x, t, context)
    one = params(network, hint, soft_injection=soft, cfg_injection=cond_only)
    made = guided([one], x, t, marked(context, positives))
    assert torch.allclose(made, expected, atol=1e-4)
    nothing = by_hand([0.0] * 13, x, t, context)
    assert (made[:2] - nothing[:2]).abs().max() > 0.01
    assert torch.allclose(made[2:], nothing[2:], atol=1e-5) is cond_only


@pytest.mark.parametrize(
    "changes", [{}, {"soft_injection": True, "cfg_injection": True}, {"advanced_weighting": [0.3] * 13}]
)
def test_all_that_a_unit_adds_passes_through_one_call_weighed(network, changes):
    """Where other extensions weigh it again, row by row; there a hint for all rows has become a value for each."""
    x, t, context, hint = inputs()
    one, full = params(network, hint, **changes), params(network, hint, **changes)
    seen, weigh = [], torch.tensor([1.0, 0.5, 0.0, 2.0]).view(-1, 1, 1, 1)
    one.apply_effective_region_mask = lambda value: seen.append(value) or value * weigh
    made = guided([one], x, t, marked(context, [True, True, True, False]))
    assert [value.shape[0] for value in seen] == [4] * 13
    whole = []
    full.apply_effective_region_mask = lambda value: whole.append(value) or value
    assert torch.equal(guided([full], x, t, marked(context, [True, True, True, False]))[0], made[0])
    expected = by_hand([value * weigh for value in whole], x, t, context)
    assert torch.allclose(made, expected, atol=1e-4)


def test_marks_are_read_and_taken_off(network):
    from scripts.hook import mark_prompt_context, prompt_context_is_marked, unmark_prompt_context

    _, _, context, _ = inputs()
    mark, uncond, cond, text = unmark_prompt_context(marked(context, [False, True, True, False]))
    assert mark.flatten().tolist() == [0, 1, 1, 0] and uncond == [0, 3] and cond == [1, 2]
    assert torch.equal(text, context)
    mark, uncond, cond, text = unmark_prompt_context(context)
    assert mark.flatten().tolist() == [1, 1, 1, 1] and uncond == cond == [] and torch.equal(text, context)

    from modules.prompt_parser import ScheduledPromptConditioning

    conds = [[ScheduledPromptConditioning(20, context[0])]]
    for _ in range(2):  # marking again changes nothing
        mark_prompt_context(conds, positive=False)
        assert conds[0][0].cond.shape[0] == 78 and prompt_context_is_marked(conds[0][0].cond)
    assert conds[0][0].cond[0, 0] == -1024 and torch.equal(conds[0][0].cond[1:], context[0])


def test_a_hint_set_in_between_is_used_from_then_on(network):
    x, t, context, hint = inputs()
    one = params(network, hint)
    first = guided([one], x, t, context)
    assert one.used_hint_cond is hint
    one.hint_cond = 1 - hint
    assert one.used_hint_cond is None and one.used_hint_cond_latent is None
    changed = guided([one], x, t, context)
    assert torch.equal(changed, guided([params(network, 1 - hint)], x, t, context))
    assert not torch.equal(changed, first)


@pytest.mark.parametrize("rows", [3, 5])
def test_a_hint_of_another_number_of_rows_is_an_error(network, rows):
    x, t, context, hint = inputs()
    with pytest.raises(RuntimeError):
        guided([params(network, hint.repeat(rows, 1, 1, 1))], x, t, context)
    assert "forward" not in vars(unet())

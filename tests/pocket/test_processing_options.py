"""Settings, the running job, errors, timers and small helpers."""

import json
import threading

import pytest
from PIL import Image


@pytest.fixture
def opts():
    """Settings of its own, with one option of each kind."""
    from modules.options import OptionHTML, OptionInfo, Options, options_section

    table = options_section(
        ("one", "Section one", "sd"),
        {
            "number": OptionInfo(3, "A number", infotext="Num"),
            "flag": OptionInfo(True, "A flag"),
            "nothing": OptionInfo(None, "Nothing yet"),
            "text": OptionHTML("words"),
            "hidden": OptionInfo("x", "Not for the API", restrict_api=True),
        },
    )
    return Options(table, set())


def test_options_are_attributes_with_defaults(opts):
    assert (opts.number, opts.flag, opts.nothing) == (3, True, None)
    opts.number = 5
    opts.other = "an ordinary attribute"
    assert opts.data["number"] == 5 and "other" not in opts.data and opts.get_default("number") == 3
    with pytest.raises(AttributeError, match="there is no option 'missing'"):
        _ = opts.missing
    opts.text = "changed"
    assert "text" not in opts.data


def test_setting_says_whether_anything_changed_and_tells_who_listens(opts):
    calls = []
    opts.onchange("number", lambda: calls.append(opts.number), call=False)
    assert opts.set("number", 4) and not opts.set("number", 4)
    assert calls == [4]
    assert opts.set("number", 9, run_callbacks=False) and calls == [4]
    assert not opts.set("hidden", "y", is_api=True) and opts.set("hidden", "y")
    with pytest.raises(KeyError):
        opts.set("missing", 1)


def test_a_listener_that_fails_puts_the_old_value_back(opts, capsys):
    opts.onchange("number", lambda: 1 / 0, call=False)
    assert not opts.set("number", 4) and opts.number == 3
    assert "changing setting number to 4" in capsys.readouterr().err


def test_settings_are_kept_in_a_file(opts, tmp_path, capsys):
    from modules.options import OptionInfo

    path = str(tmp_path / "config.json")
    opts.load(path)
    opts.number, opts.flag = 2.5, False
    opts.data["later"] = "read before it is an option"
    opts.save(path)
    opts.number = 1
    opts.load(path)
    assert opts.number == 2.5 and opts.flag is False and capsys.readouterr().err == ""
    opts.add_option("later", OptionInfo("default"))
    assert opts.later == "read before it is an option"
    opts.add_option("new", OptionInfo("default"))
    assert opts.new == "default"
    (tmp_path / "config.json").write_text('{"flag": "yes"}')
    opts.load(path)
    assert "bad setting value: flag: yes (str; expected bool)" in capsys.readouterr().err and opts.number == 3


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [("number", "7", 7), ("flag", "False", False), ("flag", "True", True), ("nothing", "x", None)],
)
def test_text_becomes_the_options_type(opts, key, text, value):
    assert opts.cast_value(key, text) == value and opts.cast_value(key, None) is None


def test_settings_are_told_to_the_page(opts):
    opts.data_labels["number"].info("hint").needs_restart().link("site", "http://x").js("do", "f")
    told = json.loads(opts.dumpjson())
    assert told["number"] == 3 and "hint" in told["_comments_after"]["number"]
    assert (
        "http://x" in told["_comments_before"]["number"] and ["Section one", "Stable Diffusion"] in told["_categories"]
    )


def test_options_are_ordered_by_category_and_section(opts):
    from modules.options import OptionInfo, options_section

    for name, section in (("z", ("z", "Zebra", "saving")), ("a", ("a", "Ape", "saving")), ("u", ("u", "Other"))):
        opts.data_labels |= options_section(section, {name: OptionInfo(1)})
    opts.reorder()
    names = list(opts.data_labels)
    assert names[:2] == ["a", "z"] and names[-1] == "u"


def test_frozen_settings_stay(opts, monkeypatch):
    from modules import shared

    monkeypatch.setattr(shared.cmd_opts, "freeze_settings", True)
    with pytest.raises(RuntimeError, match="changing settings is disabled"):
        opts.number = 1


def test_hidden_folders_stay(opts, monkeypatch):
    """As the real host: what the page hides, and folders under --hide-ui-dir-config, are not set but refused."""
    from modules import shared
    from modules.options import OptionInfo

    opts.add_option("folder", OptionInfo("/a", component_args={"visible": False}))
    opts.restricted_opts.add("number")
    assert opts.set("number", 4) and opts.number == 4
    monkeypatch.setattr(shared.cmd_opts, "hide_ui_dir_config", True)
    for name, value in (("folder", "/a"), ("number", 4)):
        assert opts.set(name, "/etc") is False and opts.set(name, "/etc", is_api=True) is False
        with pytest.raises(RuntimeError, match=f"not possible to set '{name}'"):
            setattr(opts, name, "/etc")
        assert getattr(opts, name) == value


def test_the_page_hides_folders_where_it_is_told_to(pocket):
    from modules import shared

    labels = shared.opts.data_labels
    assert shared.hide_dirs == {"visible": True}
    assert labels["outdir_txt2img_samples"].component_args is shared.hide_dirs
    assert all(labels[name].component_args is shared.hide_dirs for name in shared.restricted_opts)


def test_the_webuis_defaults_that_extensions_rely_on(pocket):
    from modules import shared

    expected = {
        "batch_cond_uncond": True,
        "pad_cond_uncond": False,
        "pad_cond_uncond_v0": False,
        "s_min_uncond": 0.0,
        "CLIP_stop_at_last_layers": 1,
        "emphasis": "Original",
        "comma_padding_backtrack": 20,
        "eta_ancestral": 1.0,
        "samples_format": "png",
        "return_grid": True,
        "sd_noise_schedule": "Default",
        "initial_noise_multiplier": 1.0,
    }
    assert {name: getattr(shared.opts, name) for name in expected} == expected
    assert shared.opts.outdir_txt2img_samples.startswith(str(pocket["data"]))


def test_settings_are_fresh_after_a_reset(pocket):
    from modules import initialize_pocket, shared

    shared.opts.pad_cond_uncond = True
    shared.state.interrupted = True
    initialize_pocket.reset_options()
    assert shared.opts.pad_cond_uncond is False and shared.state.interrupted is False


def test_the_host_starts_once_in_a_process(pocket, tmp_path):
    from modules import initialize_pocket

    with pytest.raises(RuntimeError, match="started already"):
        initialize_pocket.start(checkpoint=None, data_dir=tmp_path)


def test_the_model_is_read_through_shared(pocket):
    from modules import sd_models, shared

    assert shared.sd_model is sd_models.model_data.sd_model


def test_a_job_begins_goes_on_and_ends():
    from modules.shared_state import State

    state = State()
    state.interrupted = True
    state.begin("a job")
    assert state.dict()["job"] == "a job" and state.job_count == -1 and not state.interrupted
    state.sampling_step = 7
    state.nextjob()
    assert (state.job_no, state.sampling_step) == (1, 0)
    state.skip()
    state.interrupt()
    state.stop_generating()
    assert state.skipped and state.interrupted and state.stopping_generation
    state.end()
    assert state.job == "" and state.job_count == 0


def test_a_command_to_the_server_is_waited_for_and_taken_once():
    from modules.shared_state import State

    state = State()
    assert state.wait_for_server_command(timeout=0.01) is None
    threading.Timer(0.01, setattr, (state, "server_command", "stop")).start()
    assert state.wait_for_server_command(timeout=10) == "stop"
    assert state.wait_for_server_command(timeout=0.01) is None
    state.request_restart()
    assert state.need_restart and state.interrupted


def test_previews_are_made_as_often_as_the_settings_say(pocket, monkeypatch):
    from modules import sd_samplers, shared

    made = []
    picture = Image.new("RGBA", (2, 2))
    monkeypatch.setattr(sd_samplers, "samples_to_image_grid", lambda latents: made.append(latents) or picture)
    state = shared.state
    state.current_latent = "latents"
    shared.opts.show_progress_every_n_steps = 2
    shared.opts.live_previews_image_format = "jpeg"
    for step in range(1, 5):
        state.sampling_step = step
        state.set_current_image()
    assert made == ["latents"] * 2 and state.current_image.mode == "RGB" and state.id_live_preview >= 2
    shared.opts.live_previews_enable = False
    state.sampling_step = 100
    state.set_current_image()
    assert len(made) == 2
    state.current_latent = None


def test_errors_are_printed_and_the_last_ones_remembered(capsys):
    from modules import errors

    for number in range(7):
        with errors.swallowed(f"task {number}\nsecond line"):
            raise ValueError(f"failure {number}")
    printed = capsys.readouterr().err
    assert "*** task 6\n*** second line\n" in printed and "ValueError: failure 6" in printed
    remembered = errors.get_exceptions()
    assert len(remembered) == 5 and remembered[0]["exception"] == "failure 6"
    with pytest.raises(KeyboardInterrupt), errors.swallowed("stopping"):
        raise KeyboardInterrupt
    errors.display_once(ValueError("twice"), "only once")
    errors.display_once(ValueError("twice"), "only once")
    assert capsys.readouterr().err.count("only once: ValueError") == 1
    errors.print_error_explanation("short\nlonger line")
    assert capsys.readouterr().err == "===========\nshort\nlonger line\n===========\n"


def test_a_timer_adds_up_under_names(monkeypatch):
    from modules import timer

    now = [0.0]
    monkeypatch.setattr(timer.time, "time", lambda: now[0])
    clock = timer.Timer()
    now[0] = 2.0
    clock.record("load")
    with clock.subcategory("scripts"):
        now[0] = 2.5
        clock.record("a.py")
        now[0] = 3.0
    assert clock.summary() == "3.0s (load: 2.0s, scripts: 0.5s)"
    assert clock.dump()["records"] == {"load": 2.0, "scripts/a.py": 0.5, "scripts": 0.5}


@pytest.mark.parametrize(
    ("dependencies", "order"),
    [
        ({"a": [], "b": []}, ["a", "b"]),
        ({"a": ["b"], "b": ["c"], "c": []}, ["c", "b", "a"]),
        ({"a": ["missing"]}, ["a"]),
        ({"a": ["b"], "b": ["a"]}, ["b", "a"]),
    ],
)
def test_topological_order(dependencies, order):
    from modules.util import topological_sort

    assert topological_sort(dependencies) == order


def test_files_are_listed_naturally(tmp_path, pocket):
    from modules import shared, util

    for name in ("10.png", "2.png", ".hidden.png", "note.txt", ".dir/x.png", "sub/1.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [path.rsplit("/", 1)[1] for path in util.listfiles(str(tmp_path))] == ["2.png", "10.png", "note.txt"]
    shared.opts.list_hidden_files = False
    found = [path[len(str(tmp_path)) + 1 :] for path in util.walk_files(str(tmp_path), [".png"])]
    assert "sub/1.png" in found and ".dir/x.png" not in found
    assert util.truncate_path(str(tmp_path / "a"), str(tmp_path)) == "a"
    assert util.truncate_path("/elsewhere", str(tmp_path)) == "/elsewhere"


def test_extra_networks_are_taken_out_of_prompts():
    from modules.extra_networks import ExtraNetworkParams, parse_prompts

    prompts, data = parse_prompts(["a <lora:x:0.5:te=1>b<hypernet:y>", "c <lora:z>"])
    assert prompts == ["a b", "c "] and set(data) == {"lora", "hypernet"}
    (params,) = data["lora"]
    assert params.positional == ["x", "0.5"] and params.named == {"te": "1"}
    assert params == ExtraNetworkParams(["x", "0.5", "te=1"]) and params != ExtraNetworkParams(["x"])
    assert parse_prompts([]) == ([], None)


def test_networks_that_fail_do_not_stop_the_others(pocket, capsys, monkeypatch):
    from types import SimpleNamespace

    from modules import extra_networks

    calls = []

    class Kind(extra_networks.ExtraNetwork):
        def activate(self, p, params_list):
            calls.append((self.name, len(params_list)))
            if self.name == "bad":
                raise RuntimeError("cannot")

        def deactivate(self, p):
            calls.append((self.name, "off"))

    monkeypatch.setattr(extra_networks, "extra_network_registry", {})
    monkeypatch.setattr(extra_networks, "extra_network_aliases", {})
    for name in ("bad", "good", "idle"):
        extra_networks.register_extra_network(Kind(name))
    extra_networks.register_extra_network_alias(extra_networks.extra_network_registry["good"], "fine")
    _, data = extra_networks.parse_prompt("<bad:1><good:1><fine:2><unknown:1>")
    p = SimpleNamespace(scripts=None)
    extra_networks.activate(p, data)
    assert calls == [("bad", 1), ("good", 2), ("bad", 0), ("idle", 0)]
    assert "activating extra network bad" in capsys.readouterr().err
    calls.clear()
    extra_networks.deactivate(p, data)
    assert [name for name, _ in calls] == ["bad", "good", "idle"]


@pytest.mark.parametrize(
    ("text", "stripped"),
    [("a # note\nb", "a \nb"), ("# all\nb", "\nb"), ("plain", "plain"), ("a\n#x\n#y\nb", "a\n\nb")],
)
def test_comments_are_stripped_from_prompts(pocket, text, stripped):
    from modules import scripts

    module = next(data.module for data in scripts.scripts_data if data.path.endswith("comments.py"))
    assert module.strip_comments(text) == stripped

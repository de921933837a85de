"""Settings: declared once, checked, stored whole, and known by A1111's names too."""

from __future__ import annotations

import json
import multiprocessing
import os
import pickle
import re
import signal
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given, strategies
from hypothesis import settings as hypothesis_settings

from webui.errors import SettingsError
from webui.paths import Paths
from webui.settings import SETTINGS, Settings, SettingsStore, check_value, find_setting, known_options, quick_settings

# Options of A1111 1.10 that its clients read or write; ours must answer to each.
A1111_OPTIONS = {
    "sd_model_checkpoint",
    "sd_vae",
    "CLIP_stop_at_last_layers",
    "sd_checkpoints_limit",
    "emphasis",
    "comma_padding_backtrack",
    "randn_source",
    "eta_noise_seed_delta",
    "eta_ancestral",
    "eta_ddim",
    "s_churn",
    "s_tmin",
    "s_tmax",
    "s_noise",
    "s_min_uncond",
    "skip_early_cond",
    "sigma_min",
    "sigma_max",
    "rho",
    "always_discard_next_to_last_sigma",
    "samples_save",
    "samples_format",
    "samples_filename_pattern",
    "jpeg_quality",
    "webp_lossless",
    "enable_pnginfo",
    "save_txt",
    "save_to_dirs",
    "directories_filename_pattern",
    "outdir_txt2img_samples",
    "outdir_img2img_samples",
    "outdir_extras_samples",
    "outdir_grids",
    "grid_save",
    "grid_extended_filename",
    "return_grid",
    "n_rows",
    "use_original_name_batch",
    "save_images_before_highres_fix",
    "save_images_before_color_correction",
    "save_mask",
    "save_mask_composite",
    "return_mask",
    "return_mask_composite",
    "save_init_img",
    "outdir_init_images",
    "export_for_4chan",
    "img_downscale_threshold",
    "target_side_length",
    "img2img_color_correction",
    "img2img_background_color",
    "initial_noise_multiplier",
    "img2img_extra_noise",
    "img2img_fix_steps",
    "live_previews_enable",
    "show_progress_every_n_steps",
    "show_progress_type",
    "live_preview_refresh_period",
    "localization",
    "quicksettings_list",
    "keyedit_precision_attention",
    "keyedit_precision_extra",
    "keyedit_delimiters",
    "api_enable_requests",
    "api_forbid_local_requests",
}


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    """Folders of a user who starts for the first time."""
    return Paths(data=tmp_path / "data", models=tmp_path / "models", outputs=tmp_path / "outputs")


def test_options_have_the_names_that_clients_of_a1111_use() -> None:
    assert set(Settings().options()) >= A1111_OPTIONS


def test_options_can_be_posted_back_as_they_were_got() -> None:
    changed = Settings().changed({"samples_format": "webp", "randn_source": "NV", "show_progress_type": "Approx cheap"})
    options = json.loads(json.dumps(changed.options()))
    assert Settings().changed(options) == changed
    assert options["randn_source"] == "NV"


def test_a_setting_answers_to_both_names_in_any_case() -> None:
    changed = Settings().changed({"clip_STOP_at_last_layers": 2})
    assert changed["clip_skip"] == changed["CLIP_stop_at_last_layers"] == 2


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("clip_skip", 0),
        ("clip_skip", 13),
        ("clip_skip", 1.5),
        ("clip_skip", True),
        ("clip_skip", "two"),
        ("clip_skip", None),
        ("s_noise", float("nan")),
        ("s_noise", float("inf")),
        ("s_noise", "1e400"),
        ("quality", 1e300),
        ("picture_format", "gif"),
        ("live_previews", "perhaps"),
        ("live_previews", 2),
        ("vae", "a\0b"),
        ("vae", {"a": 1}),
        ("quick_settings", 7),
        ("no_such_setting", 1),
    ],
)
def test_a_value_that_does_not_fit_is_refused_and_changes_nothing(paths: Paths, name: str, value: object) -> None:
    store = SettingsStore(paths)
    with pytest.raises(SettingsError):
        store.change({"noise_seed_delta": 31337, name: value})
    assert store.settings == Settings(paths)
    assert not paths.settings_file.exists()


@pytest.mark.parametrize("folder", ["/etc", "../x", "a/../../b", "..\\x", "C:\\x", "\\\\server\\share"])
def test_no_setting_leads_out_of_the_outputs_folder(folder: str) -> None:
    with pytest.raises(SettingsError):
        Settings().changed({"outdir_txt2img_samples": folder})


def test_numbers_may_come_as_text_as_old_clients_send_them() -> None:
    changed = Settings().changed({"CLIP_stop_at_last_layers": "2", "eta_ddim": "0.5", "samples_save": "False"})
    assert (changed["clip_skip"], changed["eta_ddim"], changed["save_pictures"]) == (2, 0.5, False)


def test_every_default_fits_its_own_limits() -> None:
    for entry in SETTINGS:
        assert check_value(entry.value, entry.value.default) == entry.value.default


@given(strategies.sampled_from(SETTINGS.names()), strategies.recursive(
    strategies.none() | strategies.booleans() | strategies.integers() | strategies.floats() | strategies.text(),
    lambda inner: strategies.lists(inner) | strategies.dictionaries(strategies.text(), inner),
    max_leaves=4,
))  # fmt: skip
@hypothesis_settings(max_examples=300, deadline=None)
def test_any_value_either_fits_or_is_told(name: str, value: object) -> None:
    try:
        fitting = check_value(find_setting(name), value)
    except SettingsError:
        return
    assert check_value(find_setting(name), fitting) == fitting


def test_changes_are_there_after_a_restart_and_only_they_are_stored(paths: Paths) -> None:
    SettingsStore(paths).change({"clip_skip": 2, "quality": SETTINGS["quality"].default, "vae": "细节.safetensors"})
    again = SettingsStore(paths)
    assert (again.settings["clip_skip"], again.settings["vae"], again.problem) == (2, "细节.safetensors", None)
    assert json.loads(paths.settings_file.read_text("utf-8"))["values"].keys() == {"clip_skip", "vae"}
    assert again.reset(["clip_skip", "sd_vae"]).values == {}


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version": 1}', '{"version": 99, "values": {}}', "\0\0", "[" * 9999])
def test_a_damaged_file_is_kept_aside_and_told(paths: Paths, text: str) -> None:
    paths.data.mkdir(parents=True)
    paths.settings_file.write_text(text, "utf-8")
    store = SettingsStore(paths)
    assert store.settings == Settings(paths)
    (aside,) = paths.data.glob("settings.json.damaged-*")
    assert aside.read_text("utf-8") == text
    assert store.problem and aside.name in store.problem


def test_one_bad_value_in_the_file_costs_only_itself(paths: Paths) -> None:
    paths.data.mkdir(parents=True)
    body = {"version": 1, "values": {"clip_skip": 99, "quality": 70}}
    paths.settings_file.write_text(json.dumps(body), "utf-8")
    store = SettingsStore(paths)
    assert (store.settings["clip_skip"], store.settings["quality"]) == (1, 70)
    assert store.problem and "clip_skip" in store.problem


def test_a_file_that_begins_with_a_mark_is_read_and_every_value_that_does_not_fit_is_told(paths: Paths) -> None:
    paths.settings_file.parent.mkdir(parents=True, exist_ok=True)
    values = {"quality": 500, "picture_format": "gif", "save_grids": True}
    paths.settings_file.write_text(json.dumps({"version": 1, "values": values}), "utf-8-sig")
    store = SettingsStore(paths)
    assert store.settings["save_grids"] is True and store.problem is not None
    assert "quality is 500" in store.problem and "picture_format is 'gif'" in store.problem


def test_settings_of_an_extension_that_is_off_are_kept(paths: Paths) -> None:
    paths.data.mkdir(parents=True)
    paths.settings_file.write_text('{"version": 1, "values": {"detailer_strength": 0.4}}', "utf-8")
    SettingsStore(paths).change({"clip_skip": 2})
    assert json.loads(paths.settings_file.read_text("utf-8"))["values"] == {"detailer_strength": 0.4, "clip_skip": 2}


def test_a_full_disk_is_told_and_the_old_values_stay(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    store = SettingsStore(paths)
    store.change({"clip_skip": 2})

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(SettingsError, match="No space left"):
        store.change({"clip_skip": 3})
    assert store.settings["clip_skip"] == SettingsStore(paths).settings["clip_skip"] == 2
    assert [file.name for file in paths.data.iterdir()] == ["settings.json"]


def _write_for_ever(data: str) -> None:
    store = SettingsStore(Paths(data=Path(data)))
    for number in range(1_000_000):
        store.change({"noise_seed_delta": number % 1000 + 1, "vae": "x" * 5000})


def test_a_kill_at_any_moment_leaves_a_whole_file(paths: Paths) -> None:
    context = multiprocessing.get_context("fork")
    SettingsStore(paths).change({"noise_seed_delta": 1})
    for delay in (0.01, 0.02, 0.03, 0.05, 0.08):
        process = context.Process(target=_write_for_ever, args=(str(paths.data),))
        process.start()
        time.sleep(delay)
        assert process.pid
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        store = SettingsStore(paths)
        assert store.problem is None and store.settings["noise_seed_delta"] >= 1


def test_changes_from_many_threads_are_all_kept(paths: Paths) -> None:
    store = SettingsStore(paths)
    names = ["s_churn", "s_tmin", "s_tmax", "s_min_uncond", "sigma_min", "rho"]
    threads = [threading.Thread(target=store.change, args=({name: 0.5},)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {name: SettingsStore(paths).settings[name] for name in names} == dict.fromkeys(names, 0.5)


def test_settings_can_be_handed_to_another_process(paths: Paths) -> None:
    settings = Settings(paths).changed({"clip_skip": 2})
    assert pickle.loads(pickle.dumps(settings)) == settings


def test_options_that_are_not_known_here_are_named_not_lost() -> None:
    known, unknown = known_options({"sd_vae": "None", "filter_nsfw": True})
    assert known == {"sd_vae": "None"} and unknown == ["filter_nsfw"]


def test_quick_settings_leave_out_what_is_not_there() -> None:
    settings = Settings().changed({"quicksettings_list": ["sd_vae", "no_such", "clip_skip"]})
    assert [setting.name for setting in quick_settings(settings)] == ["vae", "clip_skip"]


def test_the_settings_file_may_name_further_model_folders(tmp_path: Path) -> None:
    paths = Paths(data=tmp_path / "data", models=tmp_path / "models", extra={"loras": (tmp_path / "first",)})
    folders = [tmp_path / name for name in ("first", "mine", "more")]
    for folder in folders:
        folder.mkdir()
    paths.data.mkdir()
    named = {"loras": os.pathsep.join(map(str, folders[1:])), "shoes": "/"}
    paths.settings_file.write_text(json.dumps({"version": 1, "values": {"model_folders": named}}))
    store = SettingsStore(paths)
    assert store.settings.paths.folders("loras") == tuple(folders)
    assert "shoes" in (store.problem or "")
    assert store.change({"clip_skip": 2}).paths.folders("loras") == tuple(folders)


def test_model_folders_cannot_be_changed_by_whoever_reaches_the_page(tmp_path: Path) -> None:
    store = SettingsStore(Paths(data=tmp_path))
    with pytest.raises(SettingsError, match="only"):
        store.change({"model_folders": {"loras": "/etc"}, "clip_skip": 2})
    assert store.settings["clip_skip"] == 1
    store.change({"model_folders": {}, "clip_skip": 2})  # clients send all settings back
    assert store.settings["clip_skip"] == 2


def test_every_setting_is_read_by_something() -> None:
    program = Path(__file__).parents[2] / "webui"
    source = "".join(file.read_text("utf-8") for file in program.rglob("*.py") if file.name != "settings_list.py")
    composed = {"folder_txt2img", "folder_img2img"}  # f"folder_{kind}"
    unread = {entry.name for entry in SETTINGS if not re.search(rf"""["']{entry.name}["']""", source)}
    assert unread - composed == set()


@pytest.mark.parametrize("name", ["name_pattern", "disabled_extensions", "vae_choices"])
def test_half_of_a_surrogate_pair_is_refused(paths: Paths, name: str) -> None:
    value: object = {"list": ["\ud800"], "map": {"a": "\ud800"}}.get(SETTINGS[name].kind, "\ud800")
    with pytest.raises(SettingsError):
        SettingsStore(paths).change({name: value})

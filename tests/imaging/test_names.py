"""File names from patterns."""

import hashlib
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webui.imaging.names import NameFacts, expand, next_number, output_path, request_facts, safe_name
from webui.request import GenerationRequest, Pass, replace

NOON = datetime(2026, 11, 21, 12, 5, 9, tzinfo=UTC)
FACTS = NameFacts(
    prompt='a "red" cat, on/the: roof at night with nine more words',
    prompt_no_styles="a cat",
    negative_prompt="dog",
    styles=("film", "ink"),
    seed=42,
    seed_first=40,
    seed_last=47,
    steps=20,
    cfg=7.0,
    width=512,
    height=768,
    sampler="DPM++ 2M",
    schedule="Karras",
    clip_skip=2,
    denoising=0.55,
    model_name="starter v1",
    model_hash="0123456789",
    vae_filename="vae.pt",
    batch_number=3,
    batch_size=8,
    generation_number=3,
    user="me",
    basename="input",
    image_hash="abcdef" + "0" * 58,
    time=NOON,
    job_time=datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC),
)


def sha(text, digits=8):
    return hashlib.sha256(text.encode()).hexdigest()[:digits]


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("[seed]", "42"),
        ("[SEED]", "42"),
        ("[seed_first]-[seed_last]", "40-47"),
        ("[steps]_[cfg]", "20_7"),
        ("[width]x[height]", "512x768"),
        ("[styles]", "film, ink"),
        ("[sampler]", "DPM++ 2M"),
        ("[scheduler]", "Karras"),
        ("[sampler_scheduler]", "DPM++ 2M Karras"),
        ("[model_hash] [model_name]", "0123456789 starter v1"),
        ("[vae_filename]", "vae.pt"),
        ("[date]", "2026-11-21"),
        ("[datetime]", "20261121120509"),
        ("[datetime<%Y-%m-%d_%H>]", "2026-11-21_12"),
        ("[datetime<%H%M><Asia/Tokyo>]", "2105"),
        ("[datetime<%H%M><No/Where>]", "1205"),
        ("[datetime<%H%M><../../etc/passwd>]", "1205"),
        ("[datetime<%H/%M:%S>]", "12_05_09"),
        ("[job_timestamp]", "20261121120000"),
        ("[prompt]", "a__red__cat,_on_the__roof_at_night_with_nine_more_words"),
        ("[prompt_no_styles]", "a_cat"),
        ("[prompt_spaces]", "a _red_ cat, on_the_ roof at night with nine more words"),
        ("[prompt_words]", "a red cat on the roof at night"),
        ("[prompt_hash]", sha(FACTS.prompt)),
        ("[prompt_hash<12>]", sha(FACTS.prompt, 12)),
        ("[negative_prompt_hash<4>]", sha("dog", 4)),
        ("[full_prompt_hash]", sha(FACTS.prompt + " dog")),
        ("[batch_number] of [batch_size], [generation_number]", "3 of 8, 3"),
        ("[hasprompt<cat|none><dog|no dog><roof>]", "catno dogroof"),
        ("[clip_skip] [denoising]", "2 0.55"),
        ("[user] [basename]", "me input"),
        ("[image_hash<6>]", "abcdef"),
        ("[image_hash]", FACTS.image_hash),
        ("[none]", ""),
        ("x[none]y", "y"),
        ("[unknown] [seed]", "[unknown] 42"),
        ("plain", "plain"),
    ],
)
def test_tokens_stand_for_what_is_documented(pattern, name):
    assert expand(pattern, FACTS) == name


def test_a_token_without_a_value_takes_the_text_before_it_along():
    alone = NameFacts(seed=1, time=NOON)
    assert expand("[seed]-[batch_number] ([generation_number])", alone) == "1)"
    assert expand("[seed]-d[denoising]", alone) == "1"


def test_the_automatic_schedule_is_not_named():
    assert expand("[sampler_scheduler]", NameFacts(sampler="Euler", schedule="Automatic")) == "Euler"


def test_an_empty_prompt_has_a_word():
    assert expand("[prompt_words]", NameFacts()) == "empty"


def test_names_count_on_from_the_largest_number(tmp_path):
    pattern = "[date]/[number]-[seed]"
    folder = tmp_path / "2026-11-21"
    assert output_path(tmp_path, pattern, FACTS) == folder / "00000-42.png"
    folder.mkdir()
    for name in ("00007-1.png", "00012-5.txt", "notes.txt", "x-99.png", "00003.png"):
        (folder / name).touch()
    assert output_path(tmp_path, pattern, FACTS, ".webp") == folder / "00013-42.webp"
    assert next_number(tmp_path / "missing") == 0


def test_an_empty_pattern_is_the_number_alone(tmp_path):
    assert output_path(tmp_path, "", FACTS).name == "00000.png"
    assert output_path(tmp_path, "[none]", FACTS).name == "00000.png"


def test_slashes_make_folders_but_values_do_not(tmp_path):
    facts = replace_facts(prompt="../../etc/passwd", model_name="a/b\\c")
    path = output_path(tmp_path, "[model_name]/[datetime<%Y/%m>]\\[prompt_spaces]", facts)
    assert path == tmp_path / "a_b_c" / "2026_11" / "_.._etc_passwd.png"


def replace_facts(**changes):
    import dataclasses

    return dataclasses.replace(FACTS, **changes)


@given(st.text(max_size=40), st.text(max_size=300))
def test_no_pattern_and_no_value_leaves_the_folder(tmp_path_factory, pattern, prompt):
    root = tmp_path_factory.getbasetemp() / "out"
    for tried in (pattern, "[prompt]/" + pattern, "../[prompt_spaces]", "/[user]"):
        path = output_path(root, tried, replace_facts(prompt=prompt, user=prompt))
        assert path.resolve().is_relative_to(root.resolve())
        assert path != root


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ('a<b>:"c"/d\\e|f?g*h#i', "a_b___c__d_e_f_g_h_i"),
        ("a\nb\tc\0d\x7f", "a_b_c_d_"),
        ("CON", "_CON"),
        ("nul.txt", "_nul.txt"),
        ("com1", "_com1"),
        ("console", "console"),
        (" ..hidden. . ", "hidden"),
        ("..", "_"),
        ("", "_"),
        ("txt\u202egnp.exe", "txt_gnp.exe"),
        ("e\u0301", "é"),
        ("猫👩‍👩‍👧", "猫👩‍👩‍👧"),
        ("\ud800", "_"),
    ],
)
def test_names_are_made_safe_for_every_system(name, safe):
    assert safe_name(name) == safe


@given(st.text(max_size=400))
def test_safe_names_are_short_and_stay_as_they_are(name):
    safe = safe_name(name)
    assert 0 < len(safe) <= 129
    assert len(safe.encode()) <= 201
    assert safe_name(safe) == safe
    assert not safe.endswith((" ", "."))


def test_facts_come_from_a_request():
    request = GenerationRequest("cat", seed=40, batch_size=4, count=2, passes=(Pass(width=640),))
    facts = request_facts(request, 5, model_name="starter", time=NOON)
    assert expand("[seed] [seed_last] [batch_number] [generation_number] [width] [model_name]", facts) == (
        "45 47 2 6 640 starter"
    )
    assert request_facts(replace(request, batch_size=1, count=1)).generation_number is None

"""Extensions are found, loaded in isolation, and switched off with their traceback when they fail."""

import sys

import pytest

from tests.api.routes import close, house_of
from webui.engine.extensions import load_extensions
from webui.errors import InvalidRequest
from webui.extend import DirectiveCall, Registries
from webui.infotext_format import read_few_fields, write_fields
from webui.registry import Registry

GOOD = """
from webui.extend import Extension

class Good(Extension):
    name = {name!r}

EXTENSION = Good()
"""


@pytest.fixture
def targets():
    return Registries(*(Registry(kind) for kind in ("sampler", "schedule", "family", "directive", "tab", "route")))


def write(folder, name, text):
    (folder / name).mkdir(parents=True)
    (folder / name / "extension.py").write_text(text, "utf-8")


def test_the_example_extension_loads_and_registers_its_directive(targets, pytestconfig):
    extensions = load_extensions([pytestconfig.rootpath / "tests" / "data" / "extensions"], targets)
    assert [e.name for e in extensions] == ["tint"]
    assert targets.directives["upper"](DirectiveCall("upper", ("red", "cat"), {}, 1, 0)) == "RED CAT"


def test_options_travel_through_infotext_fields_and_back(targets, pytestconfig):
    extensions = load_extensions([pytestconfig.rootpath / "tests" / "data" / "extensions"], targets)
    requested = {"tint": {"amount": 0.25, "colour": "blue"}}
    fields = extensions.infotext_fields(requested)
    assert fields == {"Tint": "0.25", "Tint colour": "blue"}
    assert extensions.read_fields(fields) == requested


def test_options_at_their_defaults_are_not_written(targets, pytestconfig):
    extensions = load_extensions([pytestconfig.rootpath / "tests" / "data" / "extensions"], targets)
    assert extensions.infotext_fields({"tint": {"amount": 0.0}}) == {}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("import a_module_that_does_not_exist", "ModuleNotFoundError"),
        ("def (", "SyntaxError"),
        ("import sys; sys.exit(3)", "SystemExit"),
        ("EXTENSION = 3", "holds no EXTENSION"),
        ("raise RuntimeError('boom')", "boom"),
        (GOOD.format(name="another"), "calls itself 'another'"),
        (GOOD.format(name="bad").replace("name =", "api_version = 99; name ="), "version 99"),
        (GOOD.format(name="bad").replace("name =", "def on_start(self): pass\n    name ="), "no hook"),
    ],
)
def test_an_extension_that_fails_to_load_is_listed_with_its_traceback_and_the_others_load(
    tmp_path, targets, text, told
):
    write(tmp_path, "bad", text)
    write(tmp_path, "good", GOOD.format(name="good"))
    modules = set(sys.modules)
    extensions = load_extensions([tmp_path], targets)
    assert [e.name for e in extensions] == ["good"]
    bad = extensions.entries[0]
    assert bad.name == "bad"
    assert told in bad.error
    assert "Traceback" in bad.traceback
    assert not [name for name in set(sys.modules) - modules if "_bad_" in name]


def test_a_failed_registration_leaves_nothing_behind(tmp_path, targets):
    body = "    def register(self, registries):\n        registries.samplers.register('Mine')(len)\n        1 / 0"
    write(tmp_path, "half", GOOD.format(name="half").replace("\nEXTENSION", body + "\n\nEXTENSION"))
    extensions = load_extensions([tmp_path], targets)
    assert "ZeroDivisionError" in extensions.entries[0].error
    assert targets.samplers.names() == []


def test_a_name_taken_by_another_extension_is_refused_and_the_first_stays(tmp_path, targets):
    for name in ("a_first", "b_second"):
        body = f"    def register(self, registries):\n        registries.samplers.register('Mine')({name!r})\n"
        write(tmp_path, name, GOOD.format(name=name).replace("\nEXTENSION", body + "\nEXTENSION"))
    extensions = load_extensions([tmp_path], targets)
    assert targets.samplers["Mine"] == "a_first"
    assert "'Mine'" in extensions.entries[1].error


def test_disabled_extensions_are_listed_and_not_imported(tmp_path, targets):
    write(tmp_path, "off", "raise SystemExit")
    entry = load_extensions([tmp_path], targets, disabled=["off"]).entries[0]
    assert (entry.disabled, entry.error, entry.extension) == (True, "", None)


def test_two_extensions_with_a_helper_of_the_same_name_do_not_share_it(tmp_path, targets):
    for name in ("one", "two"):
        write(tmp_path, name, GOOD.format(name=name) + "from .helper import WORD\nEXTENSION.label = WORD\n")
        (tmp_path / name / "helper.py").write_text(f"WORD = {name.upper()!r}", "utf-8")
    extensions = load_extensions([tmp_path], targets)
    assert [e.label for e in extensions] == ["ONE", "TWO"]


def test_options_for_an_extension_that_is_not_loaded_are_refused_with_the_reason(tmp_path, targets):
    write(tmp_path, "bad", "raise RuntimeError('boom')")
    extensions = load_extensions([tmp_path], targets)
    with pytest.raises(InvalidRequest, match=r"'bad' is not loaded\. It failed: RuntimeError: boom"):
        extensions.check({"bad": {}})


def test_an_extension_can_add_an_upscaler_and_a_face_restorer(tmp_path, targets):
    body = (
        "    def register(self, registries):\n"
        "        registries.upscalers.register('Mine')(lambda picture, size: picture.resize(size))\n"
        "        registries.restorers.register('GFPGAN')(lambda picture, weight: picture)\n"
    )
    write(tmp_path, "mine", GOOD.format(name="mine").replace("\n\nEXT", f"\n{body}\nEXT"))
    load_extensions([tmp_path], targets)
    assert (targets.upscalers.names(), targets.restorers.names()) == (["Mine"], ["GFPGAN"])


def test_a_value_in_an_infotext_that_does_not_fit_is_left_out_and_the_others_are_read(pytestconfig, targets):
    extensions = load_extensions([pytestconfig.rootpath / "tests" / "data" / "extensions"], targets)
    fields = {"Tint": "much", "Tint colour": "blue"}
    assert extensions.read_fields(fields) == {"tint": {"colour": "blue"}}


def test_an_option_whose_label_is_no_infotext_key_is_read_back(tmp_path, targets):
    text = GOOD.format(name="odd").replace("import ", "import Option, ", 1)
    text = text.replace("name =", "options = (Option('mode', 'Mode: a, b', 'a', choices=('a', 'b')),)\n    name =", 1)
    write(tmp_path, "odd", text)
    extensions = load_extensions([tmp_path], targets)
    requested = {"odd": {"mode": "b"}}
    written = write_fields(extensions.infotext_fields(requested))
    assert extensions.read_fields(read_few_fields(written)) == requested


def test_a_switched_off_extension_is_imported_nowhere_in_the_program_not_for_its_tabs_and_routes_either(tmp_path):
    write(tmp_path / "extensions", "off", "raise RuntimeError('imported')")
    house = house_of(tmp_path)
    first = house.service.extensions.entries[0]
    house.store.change({"disabled_extensions": ["off"]})
    close(house)
    house = house_of(tmp_path)
    close(house)
    assert first.error == "RuntimeError: imported"
    assert [(entry.disabled, entry.error) for entry in house.extensions.entries] == [(True, "")]

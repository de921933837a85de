"""What an extension may declare, and that mistakes show when it is loaded."""

import inspect
import subprocess
import sys

import pytest

from webui import extend
from webui.errors import ExtensionError, InvalidRequest
from webui.extend import Extension, JobHooks, Option, option_values

PUBLIC = [
    "API_VERSION",
    "NO_HOOKS",
    "BlockHooks",
    "Cell",
    "Conditioning",
    "Denoiser",
    "DirectiveCall",
    "Extension",
    "ExtensionError",
    "InvalidRequest",
    "JobHooks",
    "Made",
    "NamedFile",
    "Option",
    "PictureInfo",
    "Predictor",
    "PromptText",
    "Registries",
    "Registry",
    "Script",
    "Sheet",
    "Site",
    "Start",
    "Step",
]
SIGNATURES = {
    (Extension, "register"): ["self", "registries"],
    (Extension, "begin"): ["self", "options"],
    (JobHooks, "edit_prompt"): ["self", "prompt"],
    (JobHooks, "edit_conditioning"): ["self", "conditioning", "text", "negative"],
    (JobHooks, "edit_start"): ["self", "start"],
    (JobHooks, "wrap_predictor"): ["self", "inner"],
    (JobHooks, "block_hooks"): ["self"],
    (JobHooks, "wrap_denoiser"): ["self", "inner"],
    (JobHooks, "on_step"): ["self", "step"],
    (JobHooks, "edit_image"): ["self", "image", "info"],
}


def test_the_public_names_are_these_and_no_others():
    assert extend.__all__ == PUBLIC


def test_every_public_name_can_be_imported():
    for name in PUBLIC:
        assert getattr(extend, name) is not None


def test_hooks_have_exactly_the_documented_signatures():
    found = {
        (kind, name): list(inspect.signature(function).parameters)
        for kind in (Extension, JobHooks)
        for name, function in vars(kind).items()
        if inspect.isfunction(function) and not name.startswith("_")
    }
    assert found == SIGNATURES


def test_every_hook_stands_in_the_documentation_with_its_arguments(pytestconfig):
    text = (pytestconfig.rootpath / "docs" / "extensions.md").read_text("utf-8")
    for (_, name), arguments in SIGNATURES.items():
        assert f"`{name}({', '.join(arguments[1:])})`" in text


def test_importing_extend_does_not_import_torch_or_gradio():
    code = "import sys, webui.extend; sys.exit(bool({'torch', 'gradio', 'numpy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_a_misspelt_hook_is_refused_when_the_class_is_defined():
    with pytest.raises(ExtensionError, match="wrap_predicter"):
        type("Hooks", (JobHooks,), {"wrap_predicter": lambda self, inner: inner})


def test_a_misspelt_argument_is_refused_when_the_class_is_defined():
    with pytest.raises(ExtensionError, match=r"takes \(self, image, information\)"):
        type("Hooks", (JobHooks,), {"edit_image": lambda self, image, information: (image, information)})


def test_an_extension_with_an_unknown_method_is_refused():
    with pytest.raises(ExtensionError, match="no hook"):
        type("Mine", (Extension,), {"start": lambda self: None})


def test_a_subclass_of_a_subclass_is_checked_too():
    middle = type("Middle", (JobHooks,), {})
    with pytest.raises(ExtensionError, match="no hook"):
        type("Low", (middle,), {"on_steps": lambda self, step: None})


def test_helpers_with_an_underscore_are_allowed():
    kind = type("Hooks", (JobHooks,), {"_help": lambda self, anything: anything})
    assert kind()._help(3) == 3


@pytest.mark.parametrize(
    ("option", "control", "kind"),
    [
        (Option("on", "On", False), "checkbox", "boolean"),
        (Option("amount", "Amount", 0.5, minimum=0, maximum=1), "slider", "number"),
        (Option("count", "Count", 3), "number", "integer"),
        (Option("words", "Words", ""), "text", "string"),
        (Option("mode", "Mode", "a", choices=("a", "b")), "menu", "string"),
    ],
)
def test_one_declaration_gives_control_field_and_infotext_key(option, control, kind):
    assert option.control == control
    assert option.schema()["type"] == kind
    assert option.infotext_key == option.label
    assert option.read(str(option.default)) == option.default


@pytest.mark.parametrize(("value"), [2.0, -0.1, "0.5", True, None])
def test_values_that_do_not_fit_an_option_are_refused(value):
    with pytest.raises(InvalidRequest, match="Amount"):
        Option("amount", "Amount", 0.5, minimum=0.0, maximum=1.0).check(value)


def test_a_whole_number_fits_a_decimal_option():
    checked = Option("amount", "Amount", 0.5).check(1)
    assert checked == 1.0
    assert isinstance(checked, float)


def test_unknown_options_are_refused_by_name():
    extension = type("Mine", (Extension,), {"name": "mine", "options": (Option("amount", "Amount", 1),)})()
    assert option_values("mine", extension.options, {}) == {"amount": 1}
    with pytest.raises(InvalidRequest, match="amuont"):
        option_values("mine", extension.options, {"amuont": 2})

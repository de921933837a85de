"""Hooks compose in order, and what fails is told by the extension's name."""

import dataclasses

import numpy as np
import pytest
import torch

from webui.engine.hooks import HookChain, NamedHooks, begin_job
from webui.errors import Cancelled, ExtensionError
from webui.extend import Extension, JobHooks, PictureInfo, PromptText, Start, Step


class Marks(JobHooks):
    """Writes its letter wherever it comes by."""

    def __init__(self, letter, log):
        self.letter, self.log = letter, log

    def edit_prompt(self, prompt):
        return dataclasses.replace(prompt, positive=prompt.positive + self.letter)

    def wrap_predictor(self, inner):
        def predictor(x, sigma, conditioning):
            self.log.append(f"{self.letter} in")
            result = inner(x, sigma, conditioning)
            self.log.append(f"{self.letter} out")
            return result

        return predictor

    def wrap_denoiser(self, inner):
        return lambda x, sigma: inner(x, sigma) * 10 + ord(self.letter)

    def on_step(self, step):
        self.log.append(f"{self.letter} {step.index}")

    def edit_image(self, image, info):
        return image, dataclasses.replace(info, fields={**info.fields, self.letter: "here"})


def chain_of(*hooks):
    return HookChain(tuple(NamedHooks(f"ext{i}", hook) for i, hook in enumerate(hooks)))


def test_edits_run_first_to_last_and_the_first_wrapper_is_outermost():
    log = []
    chain = chain_of(Marks("a", log), Marks("b", log))
    assert chain.edit_prompt(PromptText("", "", 0, 0)).positive == "ab"
    assert chain.wrap_predictor(lambda x, sigma, conditioning: x + 1)(1, 2.0, None) == 2
    assert log == ["a in", "b in", "b out", "a out"]
    assert chain.wrap_denoiser(lambda x, sigma: 0)(None, 1.0) == ord("b") * 10 + ord("a")
    log.clear()
    chain.on_step(Step(3, 5, 1.0, None))
    assert log == ["a 3", "b 3"]
    _, info = chain.edit_image(np.zeros((2, 2, 3), np.float32), PictureInfo(0, 1))
    assert list(info.fields) == ["a", "b"]


def test_without_hooks_callables_are_passed_through_untouched():
    predictor = object()
    assert chain_of(JobHooks()).wrap_predictor(predictor) is predictor
    assert HookChain().wrap_denoiser(predictor) is predictor


def failing(name, result=None, error=None):
    def method(self, *arguments):
        if result is not None:
            return result
        raise error or RuntimeError("boom")

    arguments = {"edit_image": "image, info", "edit_conditioning": "conditioning, text, negative"}
    names = arguments.get(name, {"edit_prompt": "prompt", "edit_start": "start", "on_step": "step"}.get(name, "inner"))
    names = "" if name == "block_hooks" else names
    scope = {"method": method}
    exec(f"def {name}(self, {names}): return method(self)", scope)
    return type("Bad", (JobHooks,), {name: scope[name]})()


CALLS = {
    "edit_prompt": lambda c: c.edit_prompt(PromptText("", "", 0, 0)),
    "edit_conditioning": lambda c: c.edit_conditioning(1.5, "", False),
    "edit_start": lambda c: c.edit_start(Start(torch.zeros(1, 4, 2, 2), (1.0, 0.0))),
    "wrap_predictor": lambda c: c.wrap_predictor(lambda x, s, k: x),
    "block_hooks": lambda c: c.block_hooks(),
    "wrap_denoiser": lambda c: c.wrap_denoiser(lambda x, s: x),
    "on_step": lambda c: c.on_step(Step(0, 1, 1.0, None)),
    "edit_image": lambda c: c.edit_image(np.zeros((2, 2, 3), np.float32), PictureInfo(0, 0)),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_hook_that_raises_is_told_by_extension_and_hook(name):
    with pytest.raises(ExtensionError, match=rf"'ext0' failed in {name}: RuntimeError: boom"):
        CALLS[name](chain_of(failing(name)))


@pytest.mark.parametrize("name", [name for name in CALLS if name not in ("on_step", "edit_image")])
def test_a_hook_that_returns_something_else_is_told(name):
    with pytest.raises(ExtensionError, match=f"'ext0' failed in {name}"):
        CALLS[name](chain_of(failing(name, result="nonsense")))


def test_a_start_of_another_shape_is_refused():
    with pytest.raises(ExtensionError, match="shape must stay"):
        CALLS["edit_start"](chain_of(failing("edit_start", result=Start(torch.zeros(1, 4, 3, 3), (1.0, 0.0)))))


def wrapping(raised_by_extension):
    class Wrapping(JobHooks):
        def wrap_predictor(self, inner):
            def predictor(x, sigma, conditioning):
                if raised_by_extension:
                    raise ValueError("mine")
                return inner(x, sigma, conditioning)

            return predictor

    return Wrapping()


def test_an_error_of_the_network_is_not_blamed_on_the_extension_around_it():
    def network(x, sigma, conditioning):
        raise ValueError("the network's")

    with pytest.raises(ValueError, match="the network's"):
        chain_of(wrapping(False)).wrap_predictor(network)(1, 1.0, None)
    with pytest.raises(ExtensionError, match=r"'ext0' failed in wrap_predictor: ValueError: mine"):
        chain_of(wrapping(True)).wrap_predictor(network)(1, 1.0, None)


def test_an_extension_that_calls_exit_fails_its_job_and_not_the_program():
    with pytest.raises(ExtensionError, match=r"'ext0' failed in on_step: SystemExit"):
        CALLS["on_step"](chain_of(failing("on_step", error=SystemExit(3))))


def test_with_two_wrappers_the_failing_one_is_named():
    with pytest.raises(ExtensionError, match="'ext1'"):
        chain_of(wrapping(False), wrapping(True)).wrap_predictor(lambda x, s, c: x)(1, 1.0, None)


def test_an_interrupt_passes_through_hooks_as_it_is():
    with pytest.raises(Cancelled):
        CALLS["on_step"](chain_of(failing("on_step", error=Cancelled("The job was interrupted."))))


def test_begin_makes_fresh_hooks_for_every_job_and_none_stays_out():
    class Mine(Extension):
        name = "mine"

        def begin(self, options):
            return JobHooks() if options["on"] else None

    first = begin_job([Mine()], {"mine": {"on": True}})
    second = begin_job([Mine()], {"mine": {"on": True}})
    assert first[0].hooks is not second[0].hooks
    assert begin_job([Mine()], {"mine": {"on": False}}) == ()

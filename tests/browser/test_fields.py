"""Fields, keys and settings taken from pictures, in the browser."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx

from tests.browser.conftest import open_fold, see, see_all, until

PROMPT = "#em-prompt textarea"
INFOTEXT = (
    "a green pear\nNegative prompt: dark\nSteps: 9, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 4.5, "
    "Seed: 18446744073709551615, Size: 144x112, Model: portrait, Variation seed: 5, Variation seed strength: 0.25, "
    "Eta: 0.5, RNG: CPU"
)


def wait_value(page: Any, selector: str, value: str) -> None:
    """Wait until a field shows a value."""
    page.wait_for_function("([s, v]) => document.querySelector(s)?.value === v", arg=[selector, value])


def put_cursor(page: Any, text: str, start: int, end: int | None = None) -> None:
    """Fill the prompt and select a part of it."""
    page.fill(PROMPT, text)
    page.evaluate(
        "([s, a, b]) => { const f = document.querySelector(s); f.focus(); f.setSelectionRange(a, b); }",
        [PROMPT, start, start if end is None else end],
    )


def test_the_token_counter_follows_the_prompt(open_page: Callable[..., Any]) -> None:
    page = open_page()
    page.fill(PROMPT, "a red apple")
    page.wait_for_function("document.querySelector('#em-prompt .em-counter').textContent === '3/75'")
    page.fill(PROMPT, ", ".join(["apple"] * 40))
    page.wait_for_function("document.querySelector('#em-prompt .em-counter').textContent === '79/150'")


KEY_CASES = [
    ("a red apple", (3, None), "Control+ArrowUp", "a (red:1.1) apple"),
    ("a (red:1.1) apple", (4, None), "Control+ArrowUp", "a (red:1.2) apple"),
    ("a (red:1.1) apple", (4, None), "Control+ArrowDown", "a red apple"),
    ("a red apple", (3, None), "Control+ArrowDown", "a (red:0.9) apple"),
    ("a red apple", (2, 11), "Control+ArrowUp", "a (red apple:1.1)"),
    ("a (red:1.1) apple", (13, None), "Control+ArrowUp", "a (red:1.1) (apple:1.1)"),
    ("apple <lora:x:0.8>", (8, None), "Control+ArrowUp", "apple <lora:x:0.85>"),
    ("apple <lora:0.8:0.8>", (8, None), "Control+ArrowDown", "apple <lora:0.8:0.75>"),
    ("one, two, three", (6, None), "Alt+ArrowLeft", "two, one, three"),
    ("one, two, three", (6, None), "Alt+ArrowRight", "one, three, two"),
    ("one, two", (1, None), "Alt+ArrowLeft", "one, two"),
    ("(one, two:1.2), three", (2, None), "Alt+ArrowRight", "three, (one, two:1.2)"),
    ("one,two,  three", (12, None), "Alt+ArrowLeft", "one,three,  two"),
]


def test_keys_edit_the_prompt(open_page: Callable[..., Any]) -> None:
    page = open_page()
    for text, place, key, expected in KEY_CASES:
        put_cursor(page, text, *place)
        page.keyboard.press(key)
        assert (text, key, page.input_value(PROMPT)) == (text, key, expected)


def test_pressing_a_key_again_goes_on_with_the_same_words(open_page: Callable[..., Any]) -> None:
    page = open_page()
    put_cursor(page, "a red apple", 3)
    for _ in range(3):
        page.keyboard.press("Control+ArrowUp")
    see(page, PROMPT).to_have_value("a (red:1.3) apple")
    put_cursor(page, "one, two, three", 1)
    page.keyboard.press("Alt+ArrowRight")
    page.keyboard.press("Alt+ArrowRight")
    see(page, PROMPT).to_have_value("two, three, one")


def test_the_browsers_undo_takes_a_weight_back(open_page: Callable[..., Any]) -> None:
    page = open_page()
    put_cursor(page, "a red apple", 3)
    page.keyboard.press("Control+ArrowUp")
    page.keyboard.press("Control+z")
    see(page, PROMPT).to_have_value("a red apple")


def test_control_enter_generates_with_what_was_typed_last(
    open_page: Callable[..., Any], last_request: Callable[[], dict[str, Any]]
) -> None:
    page = open_page()
    page.click(PROMPT)
    page.keyboard.type("typed just now")
    page.keyboard.press("Control+Enter")
    page.wait_for_selector("#em-details:not([hidden])")
    assert last_request()["prompt"] == "typed just now"
    see(page, PROMPT).to_have_value("typed just now")


def test_no_key_acts_while_a_word_is_composed(open_page: Callable[..., Any], address: str) -> None:
    page = open_page()
    put_cursor(page, "a red apple", 3)
    before = len(httpx.get(f"{address}/requests").json()["requests"])
    for key, control in (("Enter", True), ("ArrowUp", True)):
        page.evaluate(
            """([s, key, ctrlKey]) => document.querySelector(s).dispatchEvent(
                new KeyboardEvent("keydown", { key, ctrlKey, isComposing: true, bubbles: true, cancelable: true }))""",
            [PROMPT, key, control],
        )
    page.wait_for_timeout(300)
    see(page, PROMPT).to_have_value("a red apple")
    assert len(httpx.get(f"{address}/requests").json()["requests"]) == before


def test_weight_keys_leave_other_fields_alone(open_page: Callable[..., Any]) -> None:
    page = open_page()
    page.fill("#em-seed input", "12 34")
    page.press("#em-seed input", "Control+ArrowUp")
    see(page, "#em-seed input").to_have_value("12 34")


def test_pasted_settings_fill_all_fields_and_closed_folds_too(
    open_page: Callable[..., Any], last_request: Callable[[], dict[str, Any]]
) -> None:
    page = open_page()
    page.click("#em-read")
    page.fill(".em-dialog textarea", INFOTEXT)
    page.click(".em-dialog [data-act=apply]")
    wait_value(page, PROMPT, "a green pear")
    wait_value(page, "#em-width input", "144")
    wait_value(page, "#em-seed input", "18446744073709551615")
    page.click("#em-generate")
    page.wait_for_selector("#em-details:not([hidden])")
    request = last_request()
    first = request["passes"][0]
    assert request["seed"] == 18446744073709551615
    assert (request["checkpoint"], request["variation_seed"], request["variation_strength"]) == (
        *("portrait.safetensors", 5),
        0.25,
    )
    assert (first["sampler"], first["schedule"], first["steps"], first["options"]["eta"]) == (
        "DPM++ 2M",
        "Karras",
        9,
        0.5,
    )


def test_a_dropped_picture_gives_its_settings(open_page: Callable[..., Any]) -> None:
    page = open_page()
    page.fill(PROMPT, "the apple of the picture")
    page.fill("#em-seed input", "4711")
    page.click("#em-generate")
    page.wait_for_selector("#em-details:not([hidden])")
    page.fill(PROMPT, "something else")
    page.evaluate(
        """async () => {
          const bytes = await (await fetch(document.querySelector("#em-picture").src)).blob();
          const data = new DataTransfer();
          data.items.add(new File([bytes], "apple.png", { type: "image/png" }));
          const target = document.querySelector("#em-prompt textarea");
          for (const kind of ["dragover", "drop"])
            target.dispatchEvent(new DragEvent(kind, { dataTransfer: data, bubbles: true, cancelable: true }));
        }"""
    )
    wait_value(page, PROMPT, "the apple of the picture")
    see(page, "#em-seed input").to_have_value("4711")


def test_the_settings_of_the_shown_picture_can_be_used_again(open_page: Callable[..., Any]) -> None:
    page = open_page()
    page.fill(PROMPT, "an apple to repeat")
    page.click("#em-generate")
    page.wait_for_selector("#em-details:not([hidden])")
    page.fill(PROMPT, "")
    page.click("#em-reuse-seed")
    wait_value(page, "#em-seed input", "1234567")
    page.click("#em-random")
    wait_value(page, "#em-seed input", "-1")
    page.click("#em-use")
    wait_value(page, PROMPT, "an apple to repeat")


def test_swap_and_presets_set_the_size(open_page: Callable[..., Any]) -> None:
    page = open_page()
    page.click("#em-preset label:has-text('144 × 112')")
    wait_value(page, "#em-width input", "144")
    page.click("#em-swap")
    wait_value(page, "#em-width input", "112")
    wait_value(page, "#em-height input", "144")
    page.wait_for_selector("#em-preset label.selected:has-text('112 × 144')")


def test_size_and_presets_follow_the_checkpoint(open_page: Callable[..., Any]) -> None:
    page = open_page()
    page.click("#em-checkpoint input")
    page.click("[role=option]:has-text('painter-xl')")
    wait_value(page, "#em-width input", "1024")
    page.wait_for_selector("#em-preset label:has-text('1216 × 832')")
    page.fill("#em-width input", "256")
    page.press("#em-width input", "Tab")
    page.wait_for_selector("#em-hint:has-text('1024 × 1024')")


def test_a_checkpoint_that_cannot_be_used_says_so_at_once(open_page: Callable[..., Any]) -> None:
    page = open_page()
    page.click("#em-checkpoint input")
    page.click("[role=option]:has-text('broken')")
    page.wait_for_selector("#em-hint:has-text('holds no network')")


def test_every_field_explains_itself(open_page: Callable[..., Any]) -> None:
    page = open_page()
    for fold in ("em-variation", "em-guidance", "em-sampling", "em-reading"):
        page.click(f"#{fold} > button")
    page.wait_for_selector("#em-save .em-help")
    counts = "document.querySelectorAll('.info-text').length === document.querySelectorAll('.em-help').length"
    page.wait_for_function(f"{counts} && document.querySelectorAll('.em-help').length >= 38")
    page.click("#em-sampler .em-help")
    see(page, "#em-sampler .info-text").to_contain_text("noise into a picture")
    page.evaluate("emulsion.fields.values()")  # presses a hidden button, as the marks of the folds do after each click
    page.wait_for_selector("#em-sampler .info-text.em-open")
    page.keyboard.press("Escape")
    page.wait_for_selector("#em-sampler .info-text:not(.em-open)", state="attached")


def test_controls_are_named_by_their_labels_in_the_readers_language(open_page: Callable[..., Any]) -> None:
    page = open_page()
    for language, prompt, steps in (("en", "Prompt", "Steps"), ("zh-CN", "提示词", "步数"), ("en", "Prompt", "Steps")):
        page.select_option("#em-language", language)
        for selector, name in (
            ("#em-prompt textarea", prompt),
            ("#em-steps input[type=number]", steps),
            ("#em-steps input[type=range]", steps),
        ):
            page.wait_for_selector(f"{selector}[aria-label='{name}']")
        see(page, f"#em-prompt .em-help[aria-label$=': {prompt}']").to_be_attached()
    page.click("#em-prompt [data-testid=block-info]", position={"x": 5, "y": 8})
    until(page, "document.activeElement.matches('#em-prompt textarea')", True)
    see_all(page, ".info-text.em-open").to_have_count(0)


def test_everything_on_the_page_follows_the_language(open_page: Callable[..., Any]) -> None:
    page = open_page(locale="zh-CN")
    page.fill(PROMPT, "a red apple")
    page.click("#em-generate")
    page.wait_for_selector("#em-status.em-over:has-text('完成')")
    page.select_option("#em-language", "en")
    left = """() => [...document.querySelectorAll("body *")].filter((e) => e.offsetParent && !e.closest("#em-language"))
      .flatMap((e) => [...["title", "aria-label", "placeholder", "alt"].map((name) => e.getAttribute(name)),
        ...[...e.childNodes].filter((n) => n.nodeType === 3).map((n) => n.textContent)])
      .filter((text) => /[\\u4e00-\\u9fff]/.test(text ?? ""))"""
    page.wait_for_selector("#em-status:has-text('Done')")
    page.wait_for_function(f"({left})().length === 0")


def test_hints_about_the_prompt_come_with_generate_and_go_again(open_page: Callable[..., Any]) -> None:
    page = open_page()
    page.fill(PROMPT, "一个红苹果")
    page.press(PROMPT, "Control+Enter")  # the field keeps the focus
    page.wait_for_selector("#em-hint:has-text('English')")
    page.fill(PROMPT, "a red apple")
    page.press(PROMPT, "Control+Enter")
    page.wait_for_selector("#em-hint:has-text('English')", state="detached")


def test_the_enlarged_picture_closes_with_escape_and_interrupts_nothing(open_page: Callable[..., Any]) -> None:
    page = open_page()
    page.fill(PROMPT, "a red apple")
    page.click("#em-generate")
    page.wait_for_selector("#em-details:not([hidden])")
    page.fill(PROMPT, "an apple that takes long")
    page.click("#em-generate")
    page.wait_for_selector("#em-strip .em-live")
    page.click("#em-strip .em-tile >> nth=1")
    page.click("#em-picture-button")
    page.wait_for_selector(".em-enlarged[open]")
    page.keyboard.press("Escape")
    page.wait_for_selector(".em-enlarged", state="detached")
    see(page, "#em-status-text").not_to_contain_text("Interrupt")
    page.click("#em-interrupt")
    page.wait_for_selector("body:not(.em-busy)")
    page.keyboard.press("Escape")
    page.wait_for_function("document.querySelector('#em-status-text').textContent.includes('Interrupted')")


def test_closed_folds_say_what_in_them_is_on(open_page: Callable[..., Any]) -> None:
    page = open_page()
    mark = "id => document.querySelector(`#${id} .label-wrap > span`).dataset.on ?? ''"
    assert page.evaluate(mark, "em-hires-fold") == ""
    page.evaluate("emulsion.fields.replace({values: {hires: true, hires_upscaler: 'Latent', variation_strength: 0.2}})")
    page.wait_for_function(f"({mark})('em-hires-fold') === 'Latent' && ({mark})('em-variation') === '0.2'")
    open_fold(page, "em-hires-fold", "#em-hires input")
    page.click("#em-hires input")
    page.wait_for_function(f"({mark})('em-hires-fold') === ''")

"""What the server says, on a Chinese page."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.browser.conftest import see

PROMPT, ERROR = "#em-prompt textarea", "#em-error"

CUT = (
    ("There is no sampler named 'Eulr'. Known: Euler.", "没有名为 'Eulr' 的采样器。可用的有：Euler。"),
    # names that look like the end of a sentence, or hold one
    ("There is no script named 'a. B is empty.'. Known: c.", "没有名为 'a. B is empty.' 的脚本。可用的有：c。"),
    ("my model. v2.ckpt is empty. Wanted: PNG, JPEG.", "my model. v2.ckpt 是空文件。应为：PNG, JPEG。"),
    # parts of sentences, sentences within another one, and one behind a label
    ("Did you mean 'x' or 'y'?", "是否想用 'x' 或 'y'？"),
    ("x is damaged: the header claims 9 bytes and the file has 3.", "x 已损坏：文件头声称有 9 字节，而文件有 3 字节。"),
    ("Line 3 cannot be read: --a is no option. Known: --b.", "无法读取第 3 行：--a 不是选项。可用的有：--b。"),
    (
        "Steps 20 · CFG 7: The mask is empty. Paint over it, or invert it.",
        "Steps 20 · CFG 7：蒙版是空的。请涂抹图片，或反转蒙版。",
    ),
    ("The batch size is 100. It must be from 1 to 64.", "每批张数为 100。必须在 1 到 64 之间。"),
    # names of settings and of fields
    ("At most 2,000 are allowed by the setting limit_prompt.", "设置 limit_prompt 最多允许 2,000。"),
    ("Hires steps is 3.5. A whole number was wanted.", "高分步数为 3.5。应为整数。"),
    # what extensions say stays as it is, and names do
    ("user", "user"),
    ("My sentence: nothing of this is known. So there!", "My sentence: nothing of this is known. So there!"),
    ("The hand is ugly. There is no picture.", "The hand is ugly. 没有图片。"),
    # texts that are Chinese already, in part or whole
    ("已完成：共 3 张。", "已完成：共 3 张。"),
    ("无法使用此模型：x.ckpt is a bare pickle.", "无法使用此模型：x.ckpt 是裸 pickle。"),
    ("", ""),
)


@pytest.fixture
def page(open_page: Callable[..., Any]) -> Any:
    """A Chinese page whose sentences are there."""
    page = open_page(locale="zh-CN")
    page.wait_for_function("emulsion.said('There is no picture.') === '没有图片。'")
    return page


def test_texts_are_cut_into_sentences_and_each_is_said_in_chinese(page: Any) -> None:
    assert page.evaluate("texts => texts.map(emulsion.said)", [text for text, _ in CUT]) == [said for _, said in CUT]


def test_a_long_text_is_cut_without_delay(page: Any) -> None:
    text = "The axis a is b cannot be used: c has d. " * 30
    assert (
        page.evaluate("text => (t => (emulsion.said(text), performance.now() - t))(performance.now())", text) < 20_000
    )


def test_an_impossible_request_is_refused_in_chinese_and_in_english_after_the_language_is_changed(page: Any) -> None:
    page.fill("#em-seed input", "apple")
    page.click("#em-generate")
    page.wait_for_selector(f"{ERROR}:has-text('种子为 \\'apple\\'。')")
    see(page, ERROR).to_contain_text("应为整数，-1 表示随机。")
    page.select_option("#em-language", "en")
    page.wait_for_selector(f"{ERROR}:has-text('Seed is \\'apple\\'.')")
    see(page, ERROR).to_contain_text("A whole number, or -1 for a random one.")
    page.select_option("#em-language", "zh-CN")
    page.wait_for_selector(f"{ERROR}:has-text('种子为 \\'apple\\'。')")


def test_a_failed_job_says_why_in_chinese(page: Any) -> None:
    page.fill(PROMPT, "fail please")
    page.click("#em-generate")
    page.wait_for_selector(f"{ERROR}:has-text('VAE 返回了无穷大或非数字的值。请选择其他 VAE。')")


def test_messages_and_hints_of_broken_checkpoints_are_chinese(page: Any) -> None:
    page.evaluate("emulsion.choosing.set({ sampler: 'hats' })")
    page.wait_for_selector(".em-toast:has-text('没有名为 \\'hats\\' 的采样器。')")
    page.evaluate("emulsion.choosing.set({ checkpoint: 'broken.safetensors' })")
    hint = page.wait_for_selector("#em-hint [data-said*='holds no network']")
    assert "无法使用此模型：" in hint.inner_text()


def test_an_english_page_asks_for_no_list(open_page: Callable[..., Any]) -> None:
    page = open_page()
    asked = page.evaluate("performance.getEntriesByType('resource').map(entry => entry.name)")
    assert asked and not [name for name in asked if "/ui/sentences/" in name], json.dumps(asked)
    assert page.evaluate("emulsion.said('There is no picture.')") == "There is no picture."

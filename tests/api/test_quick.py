"""Gradio without its stub files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

CODE = """
import sys
from webui.ui.quick import leave_out_stub_files
if sys.argv[1] == "quick":
    leave_out_stub_files()
    leave_out_stub_files()
import gradio.component_meta as meta
opened = meta.create_or_modify_pyi.__name__
import gradio as gr
with gr.Blocks() as page:
    box = gr.Textbox()
    box.change(lambda x: x, box, box)
assert "change" in str(page.get_config_file()["dependencies"])
print(opened, any("Finder" in type(f).__name__ and "quick" in type(f).__module__ for f in sys.meta_path))
"""


def run(how: str) -> str:
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", CODE, how], capture_output=True, text=True, cwd=root)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_gradio_works_the_same_without_them():
    assert run("quick") == "_nothing False"


def test_the_function_that_is_left_out_is_still_called_so():
    assert run("as it is") == "create_or_modify_pyi False"

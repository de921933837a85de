"""A merge holds one tensor of each input, one of the result and a little more, however large the files are."""

import json
import os
import subprocess
import sys

import pytest

from tests.keys import header_of
from tests.merging.conftest import write_sparse
from webui.weights.tensors import TensorInfo

MEGABYTE = 2**20
ALLOWED = 70 * MEGABYTE  # besides one tensor of each input; 200 are promised, but that would take a large file to show
MERGE = """
import json, re, sys
from pathlib import Path
from webui.merging.inputs import Files
from webui.merging.merge import merge
from webui.merging.recipe import read_recipe

def resident(kind):
    return int(re.search(kind + r":\\s*(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024

values, paths, target = json.loads(sys.argv[1])
recipe = read_recipe(values)
Path("/proc/self/clear_refs").write_text("5")  # the peak from here on
before = resident("VmRSS")
merge(recipe, Files(tuple(map(Path, paths))), [], Path(target))
print(resident("VmHWM") - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads the peak from /proc")
@pytest.mark.parametrize("method", ["Cosine A", "Train difference"])
def test_the_peak_is_one_tensor_of_each_input_and_a_little_more(tmp_path, method):
    tensors = {
        name: info
        for name, info in header_of("sd15").tensors.items()
        if name.startswith("model.diffusion_model.") and info.bytes < 5 * MEGABYTE
    }
    name = "model.diffusion_model.middle_block.0.in_layers.2.weight"
    tensors[name] = large = TensorInfo((2048, 2048), "F32")  # 16 MB
    tensors = {name: TensorInfo(info.shape, "F32") for name, info in tensors.items()}
    count = 3 if method == "Train difference" else 2
    paths = [str(write_sparse(tmp_path / f"{number}.safetensors", tensors)) for number in range(count)]
    size = sum(info.bytes for info in tensors.values())
    bound = ALLOWED + count * large.bytes
    assert size > 1.5 * bound, "the file is too small to show anything"
    values = {"method": method, "models": [str(number) for number in range(count)], "name": "x"}
    target = tmp_path / "x.safetensors"
    job = json.dumps([values, paths, str(target)])
    done = subprocess.run(
        [sys.executable, "-c", MERGE, job],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    target.unlink()
    assert int(done.stdout) < bound

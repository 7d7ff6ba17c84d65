"""Exported models say what the store's stages say: in a new process, with plain transformers and adapters alone."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch
from exporting import TARGETS, read_once, said, shaken, workplace
from safetensors.torch import load_file

from trainables.bench import Bench
from trainables.export import export_models
from trainables.stage_reader import StageReader

ASK = """
import json, logging, os, re, sys, warnings
from pathlib import Path
import torch
from safetensors.torch import save_file
torch.set_num_threads(1)
work = Path(sys.argv[1])
told = {}
for number, (folder, asked, rows) in enumerate(json.loads((work / "asked.json").read_text())):
    os.chdir(folder)
    logging.disable(logging.WARNING)
    code = re.search("```python\\n(.*?)```", Path("README.md").read_text(), re.S)[1]
    own = {}
    exec(compile(code, folder, "exec"), own)
    answers, scores = [], {}
    for part, (language, questions) in enumerate(asked):
        if "speak" in own:
            own["speak"](language)
        more = {"language": language} if own["about"]["loader"] == "AutoModelForCausalLM" else {}
        answers.append([own["predict"](*one, **more) for one in questions])
        if rows:
            found = own["read"](rows[part])
            if found.dim() == 3:
                found = found * own["tokenizer"].pad({"input_ids": rows[part]}, padding_side="right",
                                                     return_tensors="pt")["attention_mask"].unsqueeze(-1)
            scores[str(part)] = found.contiguous()
    told[folder] = answers
    save_file(scores, work / f"{number}.safetensors")
ours = {name.split(".")[0] for name in sys.modules} & {"search", "trainables", "perturb"}
assert not ours, ours
(work / "told.json").write_text(json.dumps(told))
"""

GATE = {
    **dict.fromkeys(("full", "prompt", "adapter", "lora"), tuple(TARGETS)),
    "probe": ("classification", "choice"), "prompt, reparameterised": ("span",),
    "prompt, input": ("classification", "tagging"), "adapter, houlsby": ("choice",), "adapter, stack": ("retrieval",),
    "lora, all": ("tagging",), "lora, merge": ("classification",),
}  # fmt: skip
"""What is exported here; all of it, and trained, in test_export_forms.py."""


def ask(work, wanted):
    """What exported models say, asked in a new process: by folder the answers and the scores."""
    (work / "asked.json").write_text(json.dumps(wanted))
    done = subprocess.run([sys.executable, "-c", ASK, str(work)], cwd=work, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr[-4000:]
    told = json.loads((work / "told.json").read_text())
    return [(told[one[0]], load_file(work / f"{n}.safetensors")) for n, one in enumerate(wanted)]


def compare(work, place, runs):
    """Export runs (name, score stages), ask the exported models, and compare with the store's."""
    wanted, expected = [], []
    reader = StageReader(place)
    for name, stages in runs:
        folder = work / name
        export_models(place, stages, folder, {"name": name})
        for stage in stages:
            asked, answers, rows, scores = said(reader, stage)
            wanted.append([str(folder / stage.tasks[0]), asked, rows])
            expected.append((answers, scores))
    for (folder, _, _), (answers, scores), (told, found) in zip(wanted, expected, ask(work, wanted), strict=True):
        if "mini-bucc" in folder:  # scores come along
            told = [[[pair[1:] for pair in pairs] for pairs in part] for part in told]
        assert told == answers, folder
        for part, own in enumerate(scores):
            torch.testing.assert_close(found[str(part)], own, rtol=0, atol=1e-5, msg=lambda m, f=folder: f"{f}: {m}")
    return expected


@pytest.fixture(autouse=True, scope="module")
def data_once():
    with read_once():
        yield


@pytest.fixture(scope="module")
def runs(tmp_path_factory, tiny_model):
    place = workplace(tmp_path_factory.mktemp("world"), tiny_model)
    bench = Bench(place)
    return place, [(variant, shaken(bench, variant, kinds)) for variant, kinds in GATE.items()]


def test_every_kind_and_method_says_what_its_stage_says(tmp_path, runs):
    place, made = runs
    expected = compare(tmp_path, place, made)
    # The models differ and do not say the same of everything, so the comparison is one.
    assert len({str(scores[0].flatten()[:4].tolist()) for _, scores in expected}) > len(expected) // 2

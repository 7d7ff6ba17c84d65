"""Exports of other families, of decoders and with language adapters; what is in a folder; what is refused."""

from __future__ import annotations

import json
import os
import re
import shutil
from dataclasses import replace
from pathlib import Path

import adapters
import pytest
import torch
from exporting import TARGETS, decoder_folders, read_once, said, scores_of, shaken, workplace
from safetensors.torch import load_file
from test_families import COMMON, folders, wordpiece  # noqa: F401 - fixtures

from trainables.bench import Bench
from trainables.errors import Mistake
from trainables.export import export_models
from trainables.export import write as write_module
from trainables.export.modules import named_base
from trainables.fingerprint import MICRO
from trainables.stage import Stage
from trainables.stage_reader import StageReader
from trainables.store import Store
from trainables.tasks import load_task

HEADS = ("classification", "tagging", "span", "choice")


@pytest.fixture(autouse=True, scope="module")
def data_once():
    with read_once():
        yield


def card_of(folder):
    """What the code of an exported model's card defines, run in its folder."""
    code = re.search(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.S)[1]
    own = {}
    before = Path.cwd()
    os.chdir(folder)
    try:
        exec(compile(code, str(folder), "exec"), own)  # noqa: S102 - the code that users run
    finally:
        os.chdir(before)
    return own


def check(folder, reader, stage, number=4):
    """Compare an exported model with the store's, in this process."""
    asked, answers, rows, scores = said(reader, stage, number)
    own = card_of(folder / stage.tasks[0])
    for part, (language, questions) in enumerate(asked):
        more = {"language": language} if own["about"]["loader"] == "AutoModelForCausalLM" else {}
        if "speak" in own:
            own["speak"](language)
        assert [own["predict"](*one, **more) for one in questions] == answers[part], folder
        if rows:
            found = own["read"](rows[part])
            if found.dim() == 3:
                found = found * (scores[part].abs().sum(-1, keepdim=True) > 0)
            torch.testing.assert_close(found, scores[part], rtol=0, atol=1e-5)
    return own


@pytest.fixture(scope="module")
def narrow():
    """Fewer positions and languages than elsewhere: what is compared is the form."""

    def narrow(folder, model, kinds, **more):
        place = workplace(folder, model, kinds, **more)
        tasks = {name: {**task, "max_length": 64} for name, task in place.tasks.items()}
        return replace(place, tasks=tasks, languages={name: ["de"] for name in tasks})

    return narrow


@pytest.fixture(scope="module")
def others(tmp_path_factory, tiny_tokenizer, folders):  # noqa: F811 - a fixture
    """Those of test_families.py, and two more."""
    from transformers import RobertaConfig, RobertaModel, XmodConfig, XmodModel

    common = {**COMMON, "vocab_size": len(tiny_tokenizer), "max_position_embeddings": 130, "type_vocab_size": 1}
    spoken = {"languages": ["en_XX", "de_DE"], "default_language": "de_DE"}
    made = {"roberta": RobertaModel(RobertaConfig(**common)), "xmod": XmodModel(XmodConfig(**common, **spoken))}
    found = dict(folders)
    for name, model in made.items():
        found[name] = str(tmp_path_factory.mktemp(name))
        model.save_pretrained(found[name])
        tiny_tokenizer.save_pretrained(found[name])
    return found


FAMILIES = {
    "bert": ("full", "adapter", "prompt"), "deberta-v2": ("full", "lora", "prompt, input"), "distilbert": ("full",),
    "xlm-roberta-xl": ("full",), "roberta": ("full", "prompt, reparameterised"), "xmod": ("full",),
}  # fmt: skip


@pytest.mark.parametrize("family", FAMILIES)
def test_families(tmp_path, narrow, others, family):
    place = narrow(tmp_path, others[family], HEADS)
    bench, reader = Bench(place), StageReader(place)
    for variant in FAMILIES[family]:
        stages = shaken(bench, variant, HEADS)
        export_models(place, stages, tmp_path / variant, {})
        for kind, stage in zip(HEADS, stages, strict=True):
            own = check(tmp_path / variant, reader, stage)
            native = (family, kind) not in [("distilbert", "classification"), ("distilbert", "choice")]
            assert own["about"]["head"] == ("native" if native and variant != "prompt, input" else "file")


# --- decoders ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def decoders(tmp_path_factory, tiny_tokenizer):
    return decoder_folders(tmp_path_factory, tiny_tokenizer)


def with_rule(stages, **rule):
    return [replace(stage, settings={**stage.settings, **rule}) for stage in stages]


@pytest.mark.parametrize(
    ("family", "variant", "score"),
    [("xglm", "full", "token"), ("xglm", "full", "pmi"), ("gpt2", "lora", "byte")],
)
def test_decoders_that_were_trained(tmp_path, narrow, decoders, family, variant, score):
    """Tasks in text form; words and sentences by their states."""
    kinds = ("classification", "choice", "span", "retrieval") + (("tagging",) if score == "token" else ())
    place = narrow(tmp_path, decoders[family], kinds)
    stages = with_rule(shaken(Bench(place), variant, kinds, strength=0.1), icl_score=score, icl_max_new_tokens=6)
    export_models(place, stages, tmp_path / "out", {})
    reader = StageReader(place)
    for stage in stages:
        check(tmp_path / "out", reader, stage, 3)


def test_decoders_in_context(tmp_path, narrow, decoders):
    """The decoder of an order, with its demonstrations; where nothing was trained there is nothing to export."""
    kinds = ("classification",)
    place = narrow(tmp_path, decoders["xglm"], kinds)
    first = shaken(Bench(place), "full", kinds)[0].parent
    parent = Stage(**(Store(place.store).record(first)["stage"])).parent
    rule = {"icl_shots": 2, "icl_draws": 3, "icl_score": "token", "icl_max_new_tokens": 5, "icl_demonstrations": "en"}
    stages = [Stage("score", parent, (TARGETS[kind],), ("d",), "m", "icl", rule, seed=3) for kind in kinds]
    export_models(place, stages, tmp_path / "out", {})
    reader = StageReader(place)
    for stage in stages:
        shown = check(tmp_path / "out", reader, stage, 3)["about"]["demonstrations"]
        assert [len(draw) for draw in shown["de"]] == [2, 2, 2]
    with pytest.raises(Mistake, match="nothing was trained"):
        export_models(place, [replace(stage, parent=None) for stage in stages], tmp_path / "base", {})
    assert not (tmp_path / "base").exists()


# --- language adapters ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def languages(tmp_path_factory, tiny_model):
    """A folder of random adapters for English and German."""
    from transformers import AutoModel

    folder = tmp_path_factory.mktemp("languages")
    model = AutoModel.from_pretrained(tiny_model, add_pooling_layer=False)
    adapters.init(model)
    for code in ("en", "de", "fi"):
        model.add_adapter(code, config=adapters.SeqBnInvConfig(reduction_factor=4))
        for name, weight in model.named_parameters():
            if f".{code}." in name:
                torch.nn.init.normal_(weight, std=0.2)
        model.save_adapter(str(folder / code), code, use_safetensors=True)
    return folder


def test_language_adapters_come_along(tmp_path, narrow, tiny_model, languages):
    """Each target's languages, and English, which it was trained in; a stack stands above them."""
    kinds = ("classification", "retrieval", "span")
    place = narrow(tmp_path, tiny_model, kinds, language_adapters=str(languages))
    for variant in ("adapter", "adapter, stack"):
        stages = shaken(Bench(place), variant, kinds, language_adapters="0123")
        folder = tmp_path / variant
        export_models(place, stages, folder, {})
        assert sorted(path.name for path in (folder / "languages").iterdir()) == ["de", "en"]
        reader = StageReader(place)
        for stage in stages:
            if stage.tasks != ("mini-tatoeba",):  # whose English side is read with the English adapter
                check(folder, reader, stage)
        ready, own = reader.ready(stages[1]), card_of(folder / "mini-tatoeba")
        rows = [[0, 5, 6, 7, 2], [0, 9, 2]]
        for code in ("de", "en"):
            own["speak"](code)
            found = own["read"](rows) * torch.tensor([[1] * 5, [1] * 3 + [0] * 2]).unsqueeze(-1)
            torch.testing.assert_close(found, scores_of(ready, rows, code), rtol=0, atol=1e-5)


# --- the folder -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def exported(tmp_path_factory, tiny_model):
    """A run's export: whole, and as adapters; the place, the stages, the folder."""
    world = tmp_path_factory.mktemp("exported")
    place = workplace(world, tiny_model)
    found = {}
    for variant in ("full", "adapter"):
        stages = shaken(Bench(place), variant)
        targets = export_models(place, stages, world / variant, {"score": 61.5, "ä": [1]}, "# Order\n")
        assert targets == [world / variant / name for name in TARGETS.values()]
        found[variant] = (place, stages, world / variant)
    return found


def test_what_is_in_the_folder(exported):
    for variant, (_, stages, folder) in exported.items():
        beside = {"scores.json", "README.md", *TARGETS.values(), *(["base"] if variant == "adapter" else [])}
        assert {path.name for path in folder.iterdir()} == beside
        assert json.loads((folder / "scores.json").read_text("utf-8")) == {"score": 61.5, "ä": [1]}
        assert (folder / "README.md").read_text() == "# Order\n"
        for kind, stage in zip(TARGETS, stages, strict=True):
            own = folder / TARGETS[kind]
            about = json.loads((own / "order_search.json").read_text("utf-8"))
            assert (about["stage"], about["weights"], about["kind"]) == (stage.key, stage.parent, kind)
            config = json.loads((own / ("config.json" if variant == "full" else "adapter_config.json")).read_text())
            if variant == "full":
                assert config["order_search"] == about
            if kind in ("classification", "tagging") and variant == "full":
                assert list(config["id2label"].values()) == load_task(TARGETS[kind], "").labels
            if kind == "span":
                assert about["span"] == load_task("mini-squad2", "").span.model_dump()
            if kind == "mining":
                assert about["mining"]["thresholds"].keys() == {"de"}


def test_nothing_of_this_machine_and_no_pickle(exported, tiny_model):
    """No absolute path is in any text, and weights are safetensors."""
    for place, _, folder in exported.values():
        for path in (path for path in folder.rglob("*") if path.is_file()):
            assert path.suffix in (".json", ".md", ".safetensors", ".jinja", ".txt"), path
            content = path.read_bytes()
            for local in (tiny_model, place.store, str(folder)):
                assert local.encode() not in content, path


def test_the_same_bytes_again(tmp_path, exported):
    for variant, (place, stages, folder) in exported.items():
        again = tmp_path / variant
        again.mkdir()  # an empty folder is taken
        export_models(place, stages, again, {"score": 61.5, "ä": [1]}, "# Order\n")
        files = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
        assert files == sorted(path.relative_to(again) for path in again.rglob("*") if path.is_file())
        for path in files:
            assert (folder / path).read_bytes() == (again / path).read_bytes(), path


def test_plain_loading_works_too(exported):
    """`from_pretrained` and `load_adapter` with the folder's path, without the card."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    folder = exported["full"][2] / "mini-xnli"
    whole = AutoModelForSequenceClassification.from_pretrained(folder)
    assert whole.config.id2label == {0: "entailment", 1: "neutral", 2: "contradiction"}
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert len(tokenizer("so " * 500, truncation=True)["input_ids"]) == 96
    assert whole.config.order_search["max_length"] == 96
    folder = exported["adapter"][2]
    model = adapters.AutoAdapterModel.from_pretrained(folder / "base")
    name = model.load_adapter(str(folder / "mini-xnli"), use_safetensors=True, set_active=True)
    assert (name, model.active_head) == ("mini-xnli", "mini-xnli")
    assert all(".mini-xnli." in weight for weight in load_file(folder / "mini-xnli" / "adapter.safetensors"))


def test_a_base_on_the_hub_is_named_at_its_commit(monkeypatch):
    from trainables.export import modules

    monkeypatch.setattr(modules, "hub_config", lambda path: Path("/cache/snapshots/0a1b2c/config.json"))
    assert named_base("owner/name@main") == {"path": "owner/name", "revision": "0a1b2c"}
    assert named_base(str(MICRO)) == {"path": "../base"}


# --- refusals ---------------------------------------------------------------------------------------------------------


def test_a_folder_with_something_in_it_is_refused(tmp_path, exported):
    place, stages, _ = exported["full"]
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    for path in (tmp_path / "out", tmp_path / "file"):
        with pytest.raises(Mistake, match="is there already") as told:
            export_models(place, stages, path, {})
        assert told.value.where == "--export-model"
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine.txt"]


def test_weights_that_are_gone_are_told_and_nothing_is_left(tmp_path, exported):
    place, stages, _ = exported["full"]
    shutil.copytree(place.store, tmp_path / "store")
    lacking = replace(place, store=str(tmp_path / "store"))
    Store(lacking.store).discard(stages[2].parent)
    with pytest.raises(Mistake, match="the weights that 'mini-squad2' is scored with cannot be read") as told:
        export_models(lacking, stages, tmp_path / "out", {})
    assert "order-search run --space RUN/config.yaml" in told.value.right
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


def test_an_export_is_whole_or_not_there(tmp_path, exported, monkeypatch):
    place, stages, _ = exported["full"]

    def fails(*_):
        raise OSError("no space left")

    monkeypatch.setattr(write_module, "_put", fails)
    with pytest.raises(OSError, match="no space left"):
        export_models(place, stages[:1], tmp_path / "out", {})
    assert list(tmp_path.iterdir()) == []


def test_an_untrained_target_beside_trained_ones_is_the_base(tmp_path, narrow, tiny_model):
    """The order of no tasks: its retrieval is the base model's."""
    place = narrow(tmp_path, tiny_model, ("classification", "retrieval"))
    stages = shaken(Bench(place), "full", ("classification", "retrieval"))
    plain = [stages[0], replace(stages[1], parent=None)]
    export_models(place, plain, tmp_path / "out", {})
    check(tmp_path / "out", StageReader(place), plain[1])
    base = load_file(Path(tiny_model) / "model.safetensors")
    own = load_file(tmp_path / "out" / "mini-tatoeba" / "model.safetensors")
    assert own.keys() == base.keys()
    assert all(torch.equal(own[name], base[name]) for name in base)


@pytest.mark.slow
def test_trained_models_of_the_micro_encoder(tmp_path):
    """Trained, not drawn: every method and kind on the shipped encoder, in a new process."""
    from exporting import VARIANTS, trained
    from test_export import compare

    place = workplace(tmp_path, str(MICRO), limit=60)
    runs = [(variant, trained(place, variant, steps=15, learning_rate=3e-3)) for variant in VARIANTS]
    compare(tmp_path, place, runs)

"""Language adapters (MAD-X): made by the tool, put below the task's adapter, exchanged at test; refused in words."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from safetensors.torch import load, load_file, save, save_file
from torch.nn import functional as F

from search.settings import load_settings
from search.study import Study
from trainables.batches import CPU_TOKENS, collate, scoring_batches
from trainables.bench import Bench, Workplace
from trainables.data import DataSource
from trainables.errors import Mistake
from trainables.evaluate import EvaluationSet, evaluate, spoken_batches
from trainables.fingerprint import MICRO
from trainables.heads import put_heads
from trainables.kinds import KINDS
from trainables.kinds.masked_lm import MaskedLM
from trainables.language_adapters import FolderText, Training, divided, main, make_adapter, mini_texts
from trainables.language_folder import LanguageFolder
from trainables.methods import put_on
from trainables.models import Encoder
from trainables.stage import Stage
from trainables.tasks import load_task
from trainables.train import train

CODES = ("en", "de", "sw")
TRAINING = {"learning_rate": 1e-2, "batch_size": 4, "warmup": 1, "weight_decay": 0.0}
ADAPTER = {"adapter_form": "pfeiffer", "adapter_reduction": 4, "language_adapters": "0123"}


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True, warn_only=True)


@pytest.fixture(scope="module")
def text_dir(tmp_path_factory):
    """A data folder of validation text in three languages, and a test file that is not to be read."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "xnli").mkdir()
    texts = mini_texts()
    rows = [
        {"id": str(place), "lang": code, "premise": texts[code][place], "hypothesis": texts[code][place + 1]}
        for code in CODES
        for place in range(0, 60, 2)
    ]
    (folder / "xnli" / "val.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")
    secret = {"id": "1", "lang": "de", "premise": "Geheim.", "hypothesis": "Nie gelesen."}
    (folder / "xnli" / "test.jsonl").write_text(json.dumps(secret), "utf-8")
    return folder


@pytest.fixture(scope="module")
def folder(text_dir, tiny_model, tmp_path_factory):
    """What the tool makes of it: adapters for English, German and Swahili that differ plainly."""
    out = tmp_path_factory.mktemp("adapters")
    common = ["--data-dir", str(text_dir), "--model", tiny_model, "--out", str(out), "--batch", "8", "--threads", "1"]
    main([*common, "--languages", "en,de", "--steps", "24", "--learning-rate", "0.03"])
    main([*common, "--languages", "sw", "--steps", "24", "--learning-rate", "0.03"])
    return out


@pytest.fixture
def model(tiny_model, folder):
    model = Encoder(tiny_model)
    model.language_folder = LanguageFolder(str(folder))
    return model


@pytest.fixture(scope="module")
def tasks():
    return {name: load_task(name, "") for name in ("mini-nli", "mini-tags", "mini-tatoeba", "mini-bucc")}


def stage_of(name, *, along="continue", parent=None, kind="train", seed=0, **more):
    settings = {**TRAINING, **ADAPTER, "along": along, **more}
    return Stage(kind, parent, (name,), ("d",), "tiny", "adapter", settings, 3 if kind == "train" else 0, seed)


def train_on(model, stage, tasks, parent=None):
    task = tasks[stage.tasks[0]]
    features = KINDS[task.kind].encode(task, DataSource(limit=24).training(task), model.tokenizer, 64)
    return train(model, stage, [task], {task.name: features}, parent).weights


def sets(model, task, codes=("en", "de"), portion="test"):
    found = DataSource(limit=12).load(task, portion, codes)
    kind = KINDS[task.kind]
    return [EvaluationSet(portion, code, rows, kind.encode(task, rows, model.tokenizer, 64))
            for code, rows in found.items()]  # fmt: skip


def by_hand(path, folder, language, tuned, ids, mask):
    """The states of the library's own model with its own loading: the language's adapter below the tuned one."""
    import adapters
    from transformers import AutoModel

    plain = AutoModel.from_pretrained(path, add_pooling_layer=False)
    adapters.init(plain)
    plain.add_adapter("tuned", config=adapters.SeqBnConfig(reduction_factor=4))
    plain.load_adapter(str(folder / language), load_as="below", use_safetensors=True)
    own = {name.removeprefix("encoder."): tensor for name, tensor in tuned.items() if ".tuned." in name}
    assert not plain.load_state_dict(own, strict=False).unexpected_keys
    plain.set_active_adapters(adapters.Stack("below", "tuned"))
    plain.eval()
    with torch.no_grad():
        return plain(input_ids=ids, attention_mask=mask).last_hidden_state


# --- the tool ---------------------------------------------------------------------------------------------------------


def test_the_tool_makes_the_librarys_folders(folder, text_dir, tiny_model):
    about = json.loads((folder / "build.json").read_text("utf-8"))
    assert sorted(about) == sorted(CODES)
    for code in CODES:
        assert sorted(file.name for file in (folder / code).iterdir()) == ["adapter.safetensors", "adapter_config.json"]
        config = (folder / code / "adapter_config.json").read_text("utf-8")
        assert json.loads(config)["config"]["inv_adapter"] == "nice"
        assert tiny_model not in config + (folder / "build.json").read_text("utf-8")
        made = about[code]
        assert made["loss_last"] < made["loss_first"]
        assert made["accuracy_after"] > made["accuracy_before"]
        assert made["texts"] + made["held_out"] == len(FolderText(text_dir).texts[code])


def test_the_tool_makes_the_same_adapter_again_alone(folder, text_dir, tiny_model, tmp_path):
    main(["--data-dir", str(text_dir), "--model", tiny_model, "--out", str(tmp_path), "--batch", "8", "--threads", "1",
          "--languages", "de", "--steps", "24", "--learning-rate", "0.03"])  # fmt: skip
    one, two = (load_file(place / "de" / "adapter.safetensors") for place in (folder, tmp_path))
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_text_is_held_out_and_none_is_a_tests(text_dir):
    texts = FolderText(text_dir).texts
    assert not any("Geheim" in text or "Nie" in text for text in texts["de"])
    seen, held = divided(texts["de"])
    assert held
    assert not set(seen) & set(held)
    assert set(divided(texts["de"][:30])[1]) <= set(held)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--languages", "xx"], "there is no text in 'xx'"),
        (["--reduction", "64"], "an adapter of reduction 64 has no width left"),
        (["--model", "nowhere"], "there is no model 'nowhere'"),
    ],
)
def test_the_tool_says_what_cannot_be(flags, said, text_dir, tiny_model, tmp_path, capsys):
    with pytest.raises(SystemExit) as left:
        main(["--data-dir", str(text_dir), "--model", tiny_model, "--out", str(tmp_path), *flags])
    assert left.value.code == 2
    assert said in capsys.readouterr().err


def test_nothing_but_the_adapter_is_trained(tiny_model, text_dir):
    model = Encoder(tiny_model)
    before = MaskedLM().head(load_task("mini-mlm", ""), model).state_dict()
    make_adapter(model, "de", FolderText(text_dir).texts["de"], Training(steps=2, batch=4, reduction=4))
    trained = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    assert trained
    assert all(".language." in name for name in trained)
    after = model.head("mini-mlm").state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_the_masked_lm_head_undoes_the_invertible_adapter(tmp_path):
    """The paper's figure 2: between the head's layers, before the output embeddings, it is turned round."""
    import adapters
    from transformers import AutoModelForMaskedLM

    plain = AutoModelForMaskedLM.from_pretrained(MICRO)
    adapters.init(plain)
    plain.add_adapter("de", config="seq_bn_inv")
    torch.manual_seed(0)
    for name, parameter in plain.named_parameters():
        if "adapters.de." in name:
            torch.nn.init.normal_(parameter, std=0.1)
    plain.set_active_adapters("de")
    plain.eval()
    plain.save_adapter(str(tmp_path / "en"), "de", use_safetensors=True, with_head=False)
    model = Encoder(str(MICRO))
    model.language_folder = LanguageFolder(str(tmp_path))
    model.attach({}, {}, "a language adapter alone", language=True)
    model.eval()
    ids = torch.tensor([[0, 17, 400, 23, 2], [0, 41, 7, 2, 1]])
    mask = (ids != 1).long()
    with torch.no_grad():
        head = MaskedLM().head(load_task("mini-mlm", ""), model).eval()
        states = model.states(ids, mask)
        ours = torch.stack([head(row) for row in states])
        own, around = plain.lm_head, plain.roberta.invertible_adapters["de"]
        inner = own.layer_norm(F.gelu(own.dense(plain.roberta(input_ids=ids, attention_mask=mask).last_hidden_state)))
        theirs = own.decoder(around(inner, rev=True))
        assert torch.allclose(around(around(inner), rev=True), inner, atol=1e-4)
    assert torch.allclose(ours[mask.bool()], theirs[mask.bool()], atol=1e-4)
    assert not torch.allclose(theirs, own.decoder(inner), atol=1e-1)


# --- in the model -----------------------------------------------------------------------------------------------------


def test_each_language_is_scored_with_its_own_adapter(model, tasks, tiny_model, folder):
    task = tasks["mini-nli"]
    weights = train_on(model, stage_of("mini-nli"), tasks)
    put_on(model, stage_of("mini-nli", kind="score", parent="p"), weights)
    put_heads(model, [task], weights, [task])
    target = load_task("mini-xnli", "")
    parts = sets(model, target, ("en", "de", "sw"))
    head = model.head("mini-nli").eval()
    _, items = evaluate(model, target, head, parts)
    far = []
    for part in parts:
        batch = collate(target.name, part.features, 1, model.device)
        states = by_hand(tiny_model, folder, part.language, weights, batch.ids, batch.mask)
        with torch.no_grad():
            right = (head(states).argmax(-1) == batch.labels).float().tolist()
        assert [item["score"] for item in items if item["language"] == part.language] == right
        model.speak(part.language)
        with torch.no_grad():
            own = model.states(batch.ids, batch.mask)
            model.speak("de" if part.language == "en" else "en")
            other = model.states(batch.ids, batch.mask)
        real = batch.mask.bool()
        assert torch.allclose(own[real], states[real], atol=1e-5)
        far.append(float((other[real] - states[real]).abs().max()))
    assert min(far) > 1e-2


def test_english_sides_are_read_by_english(model, tasks):
    put_on(model, stage_of("mini-nli"), {})
    for name, english in (("mini-tatoeba", lambda part, place: place % 2 == 1),
                          ("mini-bucc", lambda part, place: part.examples[place].label == "target")):  # fmt: skip
        parts = sets(model, tasks[name], ("de", "sw"))
        wanted = [
            "en" if english(part, place) else part.language for part in parts for place in range(len(part.features))
        ]
        found = dict.fromkeys(range(len(wanted)), "")
        for chosen in spoken_batches(model, tasks[name], parts):
            found |= dict.fromkeys(chosen, model.language)
        assert list(found.values()) == wanted
        assert {"en", "de", "sw"} == set(wanted)


def test_of_a_pair_in_two_languages_the_firsts_adapter_is_on(model, tasks):
    put_on(model, stage_of("mini-nli"), {})
    part = sets(model, load_task("mini-xnli", ""), ("de",))[0]
    part = EvaluationSet("test", "sw-de", part.examples, part.features)
    for _ in spoken_batches(model, tasks["mini-nli"], [part]):
        assert model.language == "sw"


def test_without_language_adapters_batches_are_as_ever(tiny_model, tasks):
    model = Encoder(tiny_model)
    parts = sets(model, tasks["mini-tatoeba"], ("de", "sw"))
    stream = [feature for part in parts for feature in part.features]
    assert list(spoken_batches(model, tasks["mini-tatoeba"], parts)) == list(scoring_batches(stream, CPU_TOKENS))
    with pytest.raises(ValueError, match="was given no folder"):
        put_on(model, stage_of("mini-nli"), {})


@pytest.mark.parametrize("along", ["continue", "stack"])
def test_a_chain_keeps_them_frozen_and_stores_none(model, tasks, tiny_model, folder, along):
    """Through two stages, in one process and on a fresh model from stored bytes."""
    inside = outside = None
    for place, name in enumerate(("mini-nli", "mini-tags")):
        stage = stage_of(name, along=along, parent=f"{place}" if place else None)
        inside = train_on(model, stage, tasks, inside)
        frozen = {n: p for n, p in model.encoder.named_parameters() if ".language." in n}
        english = load_file(folder / "en" / "adapter.safetensors")
        assert frozen.keys() == english.keys()
        assert all(torch.equal(frozen[n], english[n]) and not frozen[n].requires_grad for n in english)
        assert all(torch.equal(model.encoder.state_dict()[n], t) for n, t in model._base.items())
        assert not [n for n in inside if ".language." in n]
        modules = sum(inside[n].numel() for n in inside if ".tuned" in n)
        assert model.size()["added_parameters"] == modules + sum(map(torch.numel, english.values()))
        fresh = Encoder(tiny_model)
        fresh.language_folder = LanguageFolder(str(folder))
        outside = train_on(fresh, stage, tasks, load(save(outside)) if outside else None)
        assert inside.keys() == outside.keys()
        assert all(torch.equal(inside[n], outside[n]) for n in inside)
    names = {"continue": ["tuned"], "stack": ["tuned0", "tuned1"]}[along]
    put_on(model, stage_of("mini-tags", along=along, kind="score", parent="p"), inside)
    assert model.modules_on == names
    assert list(model.encoder.active_adapters) == ["language", *names]


def test_a_stage_without_them_comes_after_one_with_them(model, tasks):
    """Taken off again they leave nothing: the same training before and after, bit for bit."""
    plain = stage_of("mini-nli", language_adapters=None)
    before = train_on(model, plain, tasks)
    spoken = train_on(model, stage_of("mini-nli"), tasks)
    after = train_on(model, plain, tasks)
    assert model.language is None
    draws = []
    for stage in (plain, stage_of("mini-nli")):
        torch.manual_seed(0)
        put_on(model, stage, {})
        draws.append(float(torch.rand(1)))
    assert draws[0] == draws[1]
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert any(not torch.equal(before[name], spoken[name]) for name in before)


def test_an_adapter_saved_from_a_model_with_a_head_fits(model, tiny_model, folder, tmp_path):
    """As on AdapterHub: under a name of its own, and with the base model's name before every weight's."""
    shutil.copytree(folder / "en", tmp_path / "en")
    weights = load_file(folder / "de" / "adapter.safetensors")
    (tmp_path / "de").mkdir()
    named = {f"roberta.{n.replace('.language.', '.de.')}": tensor for n, tensor in weights.items()}
    save_file(named, tmp_path / "de" / "adapter.safetensors")
    about = json.loads((folder / "de" / "adapter_config.json").read_text("utf-8"))
    (tmp_path / "de" / "adapter_config.json").write_text(json.dumps({**about, "name": "de"}), "utf-8")
    other = Encoder(tiny_model)
    other.language_folder = LanguageFolder(str(tmp_path))
    for one in (model, other):
        put_on(one, stage_of("mini-nli"), {})
        one.speak("de")
    ours, theirs = ({n: p for n, p in one.encoder.named_parameters() if ".language." in n} for one in (model, other))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    save_file({n: t for n, t in named.items() if ".layer.1." not in n}, tmp_path / "de" / "adapter.safetensors")
    broken = Encoder(tiny_model)
    broken.language_folder = LanguageFolder(str(tmp_path))
    put_on(broken, stage_of("mini-nli"), {})
    with pytest.raises(ValueError, match="the adapter of 'de' does not fit the model"):
        broken.speak("de")


# --- in a study -------------------------------------------------------------------------------------------------------

FLAGS = {
    "targets": "mini-xnli,mini-tatoeba", "languages": "de,sw", "method": "adapter", "learning_rate": "0.01", "limit": 16
}  # fmt: skip
TRAIN = {"train": {"steps": 2, "target_steps": 2, "batch_size": 4}, "orders": {"max_length": 1},
         "intermediate": ["mini-topic"]}  # fmt: skip


def study_of(tiny_model, folder, overrides=None, **flags):
    methods = {"adapter": {"languages": str(folder), "reduction": 4}} if folder else {"adapter": {"reduction": 4}}
    return Study(
        *load_settings({**FLAGS, "model": tiny_model, **flags}, {**TRAIN, "methods": methods, **(overrides or {})})
    )


def keys(study):
    return [(stage.kind, *stage.tasks, stage.key) for stage in study.stages(study.space[0], 0)]


@pytest.fixture
def own(folder, tmp_path):
    """A copy of the adapters, to be spoilt."""
    return shutil.copytree(folder, tmp_path / "own")


def test_keys_hold_the_adapters_that_a_stage_reads(tiny_model, folder, own):
    was = keys(study_of(tiny_model, folder))
    assert keys(study_of(tiny_model, own)) == was
    shutil.copytree(own / "de", own / "fi")
    assert keys(study_of(tiny_model, own)) == was
    _change(own / "de")
    now = keys(study_of(tiny_model, own))
    assert [one == two for one, two in zip(was, now, strict=True)] == [kind == "train" for kind, *_ in was]
    only = {"languages": "sw"}
    assert keys(study_of(tiny_model, own, **only)) == keys(study_of(tiny_model, folder, **only))
    _change(own / "en")
    assert not {key for *_, key in now} & {key for *_, key in keys(study_of(tiny_model, own))}
    assert not {key for *_, key in was} & {key for *_, key in keys(study_of(tiny_model, None))}


def _change(folder):
    weights = load_file(folder / "adapter.safetensors")
    save_file({name: tensor + 0.5 for name, tensor in weights.items()}, folder / "adapter.safetensors")


def test_a_study_runs_with_them(tiny_model, folder, tmp_path):
    """The empty order and one of one task: also the base model speaks each language when it is scored."""
    results = {}
    for name, where in (("plain", None), ("spoken", folder)):
        study = study_of(tiny_model, where)
        study.check()
        bench = Bench(Workplace(**{**json.loads(study.workplace()), "store": str(tmp_path / name)}))
        for candidate in study.space:
            for stage in study.stages(candidate, 0):
                bench.run(stage)
                if stage.kind == "score":
                    rows = bench.store.record(stage.key)["scores"]
                    results[name, str(candidate.order), stage.tasks[0]] = rows
                    assert all(0 <= row["value"] <= 1 for row in rows)
    assert len(results) == 8
    blob = bench.store.blob(study.stages(study.space[0], 0)[0].key, "weights.safetensors")
    assert not [weight for weight in load(blob) if ".language." in weight]
    base = ("none", "mini-tatoeba")
    assert results["plain", *base] != results["spoken", *base]


def test_counts_know_the_base_models_scores(tiny_model, folder):
    for method in ("adapter", "full", "adapter,full"):
        study = study_of(tiny_model, folder, method=method)
        found = {s.key for c in study.space for seed in range(study.settings.seeds) for s in study.stages(c, seed)}
        assert len(found) == study.counts()["stages_distinct"]


def test_other_methods_take_no_notice(tiny_model, folder):
    full = {"method": "full"}
    assert keys(study_of(tiny_model, folder, **full)) == keys(study_of(tiny_model, None, **full))
    assert study_of(tiny_model, "nowhere", **full).language_folder is None


def refused(tiny_model, folder, **more):
    with pytest.raises(Mistake) as caught:
        study_of(tiny_model, folder, **more).check()
    return str(caught.value)


def test_a_language_without_an_adapter_is_refused(tiny_model, folder):
    said = refused(tiny_model, folder, languages="de,fi,ru")
    assert "fi, ru have no language adapter; there: de, en, sw" in said
    assert "methods.adapter.languages" in said


def test_a_folder_that_is_not_there_is_refused(tiny_model):
    assert "there is no folder 'nowhere'" in refused(tiny_model, "nowhere")


def test_pickles_are_refused(tiny_model, own):
    (own / "de" / "adapter.safetensors").rename(own / "de" / "pytorch_adapter.bin")
    said = refused(tiny_model, own)
    assert "the adapter of 'de' is a pickle (pytorch_adapter.bin), which may run code" in said
    assert "use_safetensors=True" in said


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("hidden_size", 768, "is for another model: its hidden_size is 768"),
        ("model_type", "bert", "is for another model: its model_type is bert"),
        ("config", {"reduction_factor": 8}, "is built otherwise than those before it"),
        ("config", {"architecture": "lora", "reduction_factor": 2}, "is no bottleneck adapter"),
        ("config", "pfeiffer+inv", "is no bottleneck adapter"),
    ],
)
def test_adapters_that_do_not_fit_are_refused(tiny_model, own, key, value, said):
    file = own / "de" / "adapter_config.json"
    about = json.loads(file.read_text("utf-8"))
    file.write_text(json.dumps({**about, key: value}), "utf-8")
    assert said in refused(tiny_model, own)


def test_training_data_in_other_languages_are_refused(tiny_model, folder):
    said = refused(tiny_model, folder, overrides={"intermediate": ["mini-mlm"]})
    assert "'mini-mlm' has training data in ar, de" in said
    assert "English's language adapter is on while training" in said

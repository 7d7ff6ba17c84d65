"""What a model cannot do is refused at planning: exit code 2, the flag or key, the valid range; nothing is written."""

from __future__ import annotations

import json

import pytest

from search.cli import main

SCREEN = 24

XLM_R = {
    "model_type": "xlm-roberta", "architectures": ["XLMRobertaForMaskedLM"], "num_hidden_layers": 3, "hidden_size": 64,
    "max_position_embeddings": 514, "pad_token_id": 1,
}  # fmt: skip
XLM_R_XL = {**XLM_R, "model_type": "xlm-roberta-xl"}
BERT = {**XLM_R, "model_type": "bert", "max_position_embeddings": 512, "pad_token_id": 0}
DISTILBERT = {"model_type": "distilbert", "n_layers": 2, "dim": 32, "max_position_embeddings": 512}
X_MOD = {**XLM_R, "model_type": "xmod", "languages": ["en_XX", "de_DE"], "default_language": None}
GPT2 = {"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "n_layer": 2, "n_embd": 32, "n_positions": 256}

RATES = 'learning_rate={"full": 1e-4, "prompt": 1e-2}'

REFUSED = {
    "a prompt longer than the positions": (XLM_R, "prompt", ["prompt_length=[16, 481]"], [
        "a prompt of length 481", "512 positions", "--set prompt_length", "0 to 480",
    ]),
    "a prompt longer than BERT's positions": (BERT, "prompt", ["prompt_length=600"], [
        "a prompt of length 600", "512 positions", "--set prompt_length", "0 to 480",
    ]),
    "a negative prompt length": (XLM_R, "prompt", ["prompt_length=-1"], [
        "prompt_length", "greater than or equal to 0", "given: -1", "--set prompt_length",
    ]),
    "no prompt length": (XLM_R, "prompt", ["prompt_length=[]"], ["--set prompt_length", "at least 1 item"]),
    "an unknown form of prompt": (XLM_R, "prompt", ["methods.prompt.form=prefx"], [
        "unknown value 'prefx'", "--set methods.prompt.form", "did you mean 'prefix'?",
    ]),
    "LoRA on a layer too high": (XLM_R, "lora", ["methods.lora.layers=[0, 3]"], [
        "layer 3", "the model has 3, counted from 0", "--set methods.lora.layers", "0 to 2, or all",
    ]),
    "LoRA on a negative layer": (XLM_R, "lora", ["methods.lora.layers=[-1]"], [
        "counted from 0", "--set methods.lora.layers",
    ]),
    "LoRA on no layer": (XLM_R, "lora", ["methods.lora.layers=[]"], ["one at least", "--set methods.lora.layers"]),
    "LoRA on unknown matrices": (XLM_R, "lora", ["methods.lora.matrices=[q, w]"], [
        "'w' is none of q, k, v, intermediate, output", "--set methods.lora.matrices",
    ]),
    "LoRA of rank 0": (XLM_R, "lora", ["methods.lora.rank=0"], [
        "greater than or equal to 1", "--set methods.lora.rank",
    ]),
    "more frozen layers than there are": (XLM_R, "full", ["methods.full.freeze_layers=4"], [
        "4 layers cannot be frozen: the model has 3", "--set methods.full.freeze_layers", "0 to 3",
    ]),
    "an adapter without width": (XLM_R, "adapter", ["methods.adapter.reduction=65"], [
        "an adapter of reduction 65", "--set methods.adapter.reduction", "1 to 64",
    ]),
    "an adapter wider than the model": (XLM_R, "adapter", ["methods.adapter.reduction=0.5"], [
        "greater than or equal to 1", "--set methods.adapter.reduction",
    ]),
    "adapters on XLM-R XL": (XLM_R_XL, "adapter", [], [
        "the method 'adapter' does not run on XLM-R XL", "--method", "full or probe, or a model of", "XLM-R",
    ]),
    "a prompt on XLM-R XL": (XLM_R_XL, "prompt", [], ["the method 'prompt' does not run on XLM-R XL", "--method"]),
    "LoRA on XLM-R XL": (XLM_R_XL, "full,lora", [], ["the method 'lora' does not run on XLM-R XL", "--method"]),
    "LoRA on DistilBERT": (DISTILBERT, "lora", [], ["the method 'lora' does not run on DistilBERT", "--method"]),
    "adapters on a model that nobody knows": ({"model_type": "novel"}, "adapter", [], ["does not run on novel"]),
    "X-MOD without a language": (X_MOD, "full", [], [
        "must be told each text's language", "--model", "default_language",
    ]),
    "several at once": (XLM_R_XL, "full,prompt,adapter", ["methods.full.freeze_layers=9"], [
        "'prompt' does not run", "'adapter' does not run", "9 layers cannot be frozen",
    ]),
    "a prompt before a decoder's input": (GPT2, "prompt", ["methods.prompt.form=input"], [
        "GPT-2 takes no prompt of the form 'input'", "--set methods.prompt.form", "prefix or reparameterised",
    ]),
    "a method without a learning rate": (XLM_R, "full,prompt,lora", [RATES], [
        "no learning rate for the method 'lora'", "--set learning_rate", "one for lora too",
    ]),
    "a learning rate of an unknown method": (XLM_R, "full", ['learning_rate={"full": 1e-4, "lroa": 1e-4}'], [
        "unknown method 'lroa'", "--set learning_rate", "did you mean 'lora'?",
    ]),
    "a learning rate too large": (XLM_R, "full", ['learning_rate={"full": [1e-4, 2.0]}'], [
        "between 0 and 1", "--set learning_rate",
    ]),
    "an unknown setting of a method": (XLM_R, "lora", ["methods.lora.rnk=4"], [
        "methods.lora.rnk", "--set methods.lora.rnk", "did you mean 'rank'?",
    ]),
}  # fmt: skip


def words(world, config, method, settings):
    (world.model / "config.json").write_text(json.dumps(config))
    sets = [word for setting in settings for word in ("--set", setting)]
    return world.study("--method", method, *sets)


def check(code, shown, told):
    assert code == 2, shown.err
    assert shown.out == ""
    assert shown.err.startswith("mistake ")
    assert len(shown.err.splitlines()) <= SCREEN
    assert "Traceback" not in shown.err
    for fragment in told:
        assert fragment in shown.err


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("more", [[], ["--dry-run"]], ids=["run", "dry run"])
def test_what_a_model_cannot_do_is_refused(name, more, world, capsys):
    config, method, settings, told = REFUSED[name]
    command = [*words(world, config, method, settings), *more]
    before = world.files()
    check(main(command), capsys.readouterr(), told)
    assert world.files() == before


ALLOWED = {
    "the longest prompt": (XLM_R, "prompt", ["prompt_length=[0, 1, 480]"]),
    "every form of prompt": (XLM_R, "prompt", ["methods.prompt.form=input"]),
    "the highest layer": (XLM_R, "lora", ["methods.lora.layers=[2]", "methods.lora.matrices=[output, q]"]),
    "all layers frozen": (XLM_R, "full", ["methods.full.freeze_layers=3"]),
    "an adapter of width 1": (XLM_R, "adapter", ["methods.adapter.reduction=64"]),
    "full and probe on XLM-R XL": (XLM_R_XL, "full,probe", ["methods.full.freeze_layers=3"]),
    "every method on BERT": (BERT, "full,prompt,adapter,lora,probe", []),
    "full and probe on DistilBERT": (DISTILBERT, "full,probe", ["methods.full.freeze_layers=2"]),
    "X-MOD with a language for all": ({**X_MOD, "default_language": "en_XX"}, "full,probe", []),
    "settings of a method that is not used": (XLM_R, "full", ["methods.lora.layers=[99]", "prompt_length=4000"]),
}


@pytest.mark.parametrize("name", ALLOWED)
def test_what_a_model_can_do_is_planned(name, world, capsys):
    """The bounds that refusals name are the true ones."""
    command = words(world, *ALLOWED[name])
    assert main([*command, "--dry-run"]) == 0, capsys.readouterr().err


def test_a_refusal_names_the_file_and_the_key(world, capsys):
    (world.model / "config.json").write_text(json.dumps(XLM_R))
    space = world.yaml("space", {"method": "lora", "methods": {"lora": {"layers": [7]}}})
    before = world.files()
    check(main(world.study("--space", space)), capsys.readouterr(), ["space.yaml, key 'methods.lora.layers'", "0 to 2"])
    assert world.files() == before


def test_a_refusal_names_a_method_of_a_file(world, capsys):
    (world.model / "config.json").write_text(json.dumps(XLM_R_XL))
    space = world.yaml("space", {"method": ["full", "adapter"]})
    check(main(world.study("--space", space)), capsys.readouterr(), ["space.yaml, key 'method'", "XLM-R XL"])


def test_a_flag_is_named_where_it_overrides_a_file(world, capsys):
    (world.model / "config.json").write_text(json.dumps(XLM_R))
    space = world.yaml("space", {"method": "lora", "methods": {"lora": {"layers": [0], "rank": 2}}})
    command = world.study("--space", space, "--set", "methods.lora.layers=[3]")
    check(main(command), capsys.readouterr(), ["--set methods.lora.layers", "0 to 2"])

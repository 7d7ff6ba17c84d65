"""What decoders are pretrained on, and that the tool makes one that loads and learns."""

from __future__ import annotations

import json
import random

import pytest

from trainables.corpus import FolderCorpus, MiniCorpus
from trainables.documents import WORDS, Document, documents_of
from trainables.fingerprint import MICRO_DECODER, model_path
from trainables.mini import generate, meaning


@pytest.fixture(scope="module")
def documents():
    found = documents_of(MiniCorpus())
    found.advance(1.0)
    return found


def drawn(documents, count: int = 300) -> list[Document]:
    rng = random.Random(4)
    return [documents.draw(rng) for _ in range(count)]


def test_documents_are_a_function_of_the_generator(documents):
    assert [d.text for d in drawn(documents, 20)] == [d.text for d in drawn(documents, 20)]


def test_places_in_a_document_are_where_it_says(documents):
    answers = {d.text[start:end].strip() for d in drawn(documents) for start, end in d.answers}
    assert {"yes", "no", "maybe", "same", "opposite", "different"} <= answers
    for document in drawn(documents):
        for (start, end), _ in [*document.changed, *document.senses]:
            assert 0 <= start < end <= len(document.text)
        new = [document.text[start:end] for (start, end), is_new in document.changed if is_new]
        assert all(text == text.strip() for text in new)


def test_answers_beside_same_or_not_are_told_in_english_alone(documents):
    """No claim and no question of another language has its answer told: that would be a label of a target language."""
    foreign = set("äöüßéèñçиняжआकमทนمال我的他")
    for document in drawn(documents, 600):
        kinds = {document.text[start:end].strip() for start, end in document.answers}
        if foreign & set(document.text.casefold()) and kinds:
            assert kinds <= set(WORDS), document.text
            assert not kinds & {"yes", "maybe", "no"}, document.text


def test_no_tested_meaning_is_told(monkeypatch, documents):
    said: list[meaning.Fact] = []
    clause = meaning.clause
    monkeypatch.setattr(meaning, "clause", lambda code, fact, **how: (said.append(fact), clause(code, fact, **how))[1])
    drawn(documents, 100)
    assert len(said) > 300 and all(meaning.in_split("train", fact) for fact in said)
    tested = {fact.core for item in generate.items("nli", "test") for fact in item.facts}
    assert not tested & {fact.core for fact in said}


def test_the_tool_makes_a_decoder_that_loads(tmp_path):
    import torch

    from trainables.decoder import Decoder, Texts
    from trainables.pretrain_decoder import main

    main([
        "--suite", "mini", "--out", str(tmp_path), "--size", "tiny", "--steps", "4", "--tokens", "256",
        "--max-length", "64", "--threads", "1",
    ])  # fmt: skip
    build = json.loads((tmp_path / "build.json").read_text())
    model = Decoder(str(tmp_path))
    assert build["figures"]["parameters"] == sum(p.numel() for p in model.encoder.parameters())
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    texts = Texts(model.tokenizer)
    assert texts.line_break == "\n" and texts.begin == [0]
    assert [len(texts.continuation(f" {word}")) for word in WORDS] == [1] * len(WORDS)
    text = "Known: Anna liest.\nClaim: ครู ก\nAnswer: yes\n\n"
    assert model.tokenizer.decode(texts.continuation(text)).replace(" ", "") == text.replace(" ", "")


def test_a_folder_of_texts_gives_documents_too(tmp_path):
    folder = tmp_path / "xnli"
    folder.mkdir()
    texts = {"en": ("The dog sleeps.", "A dog rests."), "de": ("Der Hund schläft.", "Ein Hund ruht.")}
    rows = [
        {"id": str(number), "lang": code, "premise": f"{one} {number}", "hypothesis": two}
        for number in range(4)
        for code, (one, two) in texts.items()
    ]
    (folder / "val.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")
    found = documents_of(FolderCorpus(tmp_path))
    told = [found.draw(random.Random(seed)) for seed in range(60)]
    assert {"Der", "The"} <= {word for document in told for word in document.text.split()}
    words = {document.text[start:end].strip() for document in told for start, end in document.answers}
    assert {"same", "different"} <= words and not words & {"yes", "maybe", "no"}


def test_the_shipped_decoder_is_small_and_learns_in_context_beyond_chance():
    from trainables.data import DataSource
    from trainables.decoder import Decoder
    from trainables.evaluate import EvaluationSet
    from trainables.icl import Demonstrations, evaluate_icl
    from trainables.tasks import load_task
    from trainables.templates import IclSettings

    files = {path.suffix: path.stat().st_size for path in MICRO_DECODER.iterdir()}
    assert files[".safetensors"] <= 5_000_000 and not files.keys() & {".bin", ".pkl", ".pt"}
    task, training, data = load_task("mini-xnli", ""), load_task("mini-nli", ""), DataSource()
    settings = IclSettings(shots=4)
    shown = Demonstrations.of(data, task, training, ["en"], settings)
    dev = data.load(training, "dev", ["en"])["en"][:90]
    rows, _ = evaluate_icl(
        Decoder(model_path("micro-decoder")), task, [EvaluationSet("dev", "en", dev, [])], shown, settings, 0
    )
    assert rows[0]["value"] >= 0.5, rows  # a guess has a third
    assert all(row["value"] >= 0.45 for row in rows), rows

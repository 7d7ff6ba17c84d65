"""The card of one exported model: what it is, and code that makes its predictions with plain transformers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trainables.export import recipes
from trainables.export.form import HEAD, Form, add_pooling
from trainables.export.modules import LANGUAGES
from trainables.stage_reader import Ready
from trainables.tasks import UNTRAINED

ON_STATES = {
    "classification": recipes.CLASSIFICATION, "tagging": recipes.TAGGING, "span": recipes.SPAN,
    "choice": recipes.CHOICE, "retrieval": recipes.RETRIEVAL, "mining": recipes.MINING,
}  # fmt: skip
IN_TEXT = {
    "classification": recipes.CLASSIFICATION_IN_TEXT, "choice": recipes.CHOICE_IN_TEXT, "span": recipes.SPAN_IN_TEXT
}  # fmt: skip

POOLING = {"mean": "states.mean(0)", "first": "states[0]", "last": "states[-1]"}


def card(ready: Ready, form: Form, about: Mapping[str, Any]) -> str:
    """The text of README.md. Its block of code runs as it stands, in the folder of the card."""
    task = ready.task
    told = [
        f"# {task.name}",
        *([f"{task.question[0].upper()}{task.question[1:]}."] if task.question else []),
        f"Kind: {task.kind}. Method: {about['method']}. Texts of at most {about['max_length']} tokens. Scored in: "
        f"{', '.join(about['languages'])}. All that a prediction hangs on is in `order_search.json`"
        + (", and in `config.json` under `order_search`." if form.whole else "."),
        *_needs(form, about),
        "The code below needs `transformers`" + ("" if form.whole else " and `adapters`")
        + " alone, and gives the predictions that were scored:",
        f"```python\n{code(ready, form, about)}```",
    ]  # fmt: skip
    return "\n\n".join(told) + "\n"


def _needs(form: Form, about: Mapping[str, Any]) -> list[str]:
    said = []
    if not form.whole:
        base = about["base"]
        where = f"`{base['path']}`" + (f" at commit {base['revision']}" if "revision" in base else "")
        said.append(f"What was trained stands in the format of the library `adapters`, for the base model {where}.")
    if form.head == "file":
        said.append(f"No class has this head: its weights are in `{HEAD}`, and `read` puts it on the model's states.")
    if about.get("language_adapters"):
        said.append("Texts are read with their language's adapter: `speak(CODE)` puts it on.")
    return said


def code(ready: Ready, form: Form, about: Mapping[str, Any]) -> str:
    """Code that defines `read` and `predict`."""
    in_text = about["loader"] == "AutoModelForCausalLM"
    predicting = (IN_TEXT if in_text else ON_STATES)[ready.task.kind]
    if ready.task.kind in UNTRAINED:
        predicting = predicting.replace("POOLED", POOLING[about["retrieval"]["pooling"]])
    parts = [_imports(form, ready.task.kind, in_text, about), _loading(ready, form, about)]
    if not in_text:
        parts.append(_reading(ready, form, about))
    return "\n\n".join(part.strip("\n") + "\n" for part in [*parts, predicting])


def _imports(form: Form, kind: str, in_text: bool, about: Mapping[str, Any]) -> str:
    plain = ["json", *(["re"] if in_text else []), *(["unicodedata"] if kind == "span" and not in_text else [])]
    flexible = form.loader == "AutoAdapterModel"
    own = [*([] if flexible else [form.loader]), "AutoTokenizer", *(["GenerationConfig"] if in_text else [])]
    own = [name for name in own if name != "GenerationConfig" or kind == "span"]
    library = []
    if not form.whole:
        names = "AutoAdapterModel, Stack" if flexible else "Stack"
        library = [f"from adapters import {names}"] if flexible else ["import adapters", "from adapters import Stack"]
    return "\n".join([
        *(f"import {name}" for name in plain), "from pathlib import Path", "", "import torch", *library,
        *(["from safetensors.torch import load_file"] if form.head == "file" else []),
        f"from transformers import {', '.join(sorted(own))}", "",
        'folder = Path(".").resolve()  # where this card is',
        'about = json.loads((folder / "order_search.json").read_text("utf-8"))',
        "tokenizer = AutoTokenizer.from_pretrained(folder)",
    ])  # fmt: skip


def _loading(ready: Ready, form: Form, about: Mapping[str, Any]) -> str:
    extra = [
        f"{name}={value}" for name, value in (add_pooling(ready.model) if form.loader == "AutoModel" else {}).items()
    ]
    lines = [f'head = load_file(folder / "{HEAD}")'] if form.head == "file" else []
    if form.whole:
        return "\n".join([f"model = {form.loader}.from_pretrained({', '.join(['folder', *extra])}).eval()", *lines])
    base = about["base"]
    named = "revision" in base
    if named:
        extra.append(f'revision="{base["revision"]}"')
    if about["prompt_rows"]:
        # Under other attentions the library lets the prompt see padding.
        extra.append('attn_implementation="eager"')
    where = f'"{base["path"]}"' if named else f'folder / "{base["path"]}"'
    lines.append(f"model = {form.loader}.from_pretrained({', '.join([where, *extra])})")
    if form.loader != "AutoAdapterModel":
        lines.append("adapters.init(model)")
    stack = []
    for place in range(len(form.below)):
        lines.append(f'below{place} = model.load_adapter(str(folder / "below" / "{place}"), use_safetensors=True)')
        stack.append(f"below{place}")
    if about["adapters"]:
        lines.append("adapter = model.load_adapter(str(folder), use_safetensors=True)")
        stack.append("adapter")
    if about["language_adapters"]:
        return "\n".join([*lines, "model.eval()", *_speaking(stack)])
    return "\n".join([*lines, f"model.set_active_adapters(Stack({', '.join(stack)}))", "model.eval()"])


def _speaking(stack: list[str]) -> list[str]:
    return [
        "", "", "def speak(code):", '    """Put a language\'s adapter on, below all others."""',
        f'    path = str(folder / ".." / "{LANGUAGES}" / code)',
        '    language = model.load_adapter(path, load_as=f"language-{code}", use_safetensors=True)',
        f"    model.set_active_adapters(Stack({', '.join(['language', *stack])}))",
        "    model.eval()",
    ]  # fmt: skip


def _reading(ready: Ready, form: Form, about: Mapping[str, Any]) -> str:
    lines = [
        "def read(rows):",
        f'    """{_what(ready.task.kind)}"""',
        '    given = tokenizer.pad({"input_ids": rows}, padding_side="right", return_tensors="pt")',
    ]
    if (getattr(ready.model.encoder.config, "type_vocab_size", None) or 0) > 1:
        lines += [
            '    ends = (given["input_ids"] == tokenizer.sep_token_id).long()',
            '    given["token_type_ids"] = (ends.cumsum(1) > ends).long() * given["attention_mask"]',
        ]
    return "\n".join([*lines, "    with torch.no_grad():", *(f"        {one}" for one in _scoring(ready, form, about))])


def _what(kind: str) -> str:
    match kind:
        case "classification":
            return "Scores of rows of token ids: one a label."
        case "tagging":
            return "Scores of rows of token ids: one a token and label."
        case "span":
            return "Scores of rows of token ids: of each token as an answer's beginning and as its end."
        case "choice":
            return "Scores of rows of token ids: one a row."
    return "States of rows of token ids."


def _scoring(ready: Ready, form: Form, about: Mapping[str, Any]) -> list[str]:
    kind, cut = ready.task.kind, f"[:, {about['prompt_rows']} :]" if about["prompt_rows"] else ""
    if form.head == "none":
        layer = about["retrieval"]["layer"]
        if layer == -1:
            return [f"return model(**given).last_hidden_state{cut}"]
        return [f"return model(**given, output_hidden_states=True).hidden_states[{layer}]{cut}"]
    if form.head == "file":
        dense = 'torch.nn.functional.linear({}, head["{}weight"], head["{}bias"])'
        states = f"states = model(**given).last_hidden_state{cut}"
        if kind in ("tagging", "span"):
            return [states, f"return {dense.format('states', '', '')}"]
        first = f"states = {dense.format('states[:, 0]', 'dense.', 'dense.')}.tanh()"
        last = dense.format("states", "out.", "out.")
        return [states, first, f"return {last}{'[:, 0]' if kind == 'choice' else ''}"]
    match kind:
        case "span":
            return ["found = model(**given)", "return torch.stack([found.start_logits, found.end_logits], -1)"]
        case "choice" if form.whole:
            return ["return model(**{name: part.unsqueeze(0) for name, part in given.items()}).logits[0]"]
        case "choice":
            return ["return model(**given).logits[:, 0]"]
    return ["return model(**given).logits"]

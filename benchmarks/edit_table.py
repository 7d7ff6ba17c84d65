"""What every edit makes of one sentence in each of XTREME's forty languages: tables for the docs, and a picture.

python -m benchmarks.edit_table            # print the tables
python -m benchmarks.edit_table --write    # put them into docs/perturbations.md and draw docs/perturbations.svg
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Callable, Iterator
from html import escape
from itertools import combinations
from pathlib import Path

from perturb.edits import EDITS, PLAIN, RESOURCEFUL, Resources, edit_class, make_edit
from perturb.edits.base import Edit, Replacement, Text
from perturb.lexicon import Lexicon
from perturb.protect import fixed_spans
from perturb.script import direction, scripts
from perturb.segment import graphemes, words
from trainables.languages import LANGUAGES

DOCS = Path(__file__).parents[1] / "docs"
BEGIN, END = "<!-- made by python -m benchmarks.edit_table --write -->", "<!-- end -->"

SENTENCES = {
    "af": ("Die klein katjie drink vandag warm melk.", "melk"),
    "ar": ("تشرب القطة الصغيرة حليبًا دافئًا اليوم.", "حليبًا"),
    "bg": ("Малката котка пие топло мляко днес.", "мляко"),
    "bn": ("ছোট বিড়ালটি আজ গরম দুধ খায়।", "দুধ"),
    "de": ("Das Kätzchen trinkt heute warme Milch.", "Milch"),
    "el": ("Η μικρή γάτα πίνει ζεστό γάλα σήμερα.", "γάλα"),
    "en": ("The little cat drinks warm milk today.", "milk"),
    "es": ("El gato pequeño bebe leche tibia hoy.", "leche"),
    "et": ("Väike kass joob täna sooja piima.", "piima"),
    "eu": ("Katu txikiak esne epela edaten du gaur.", "esne"),
    "fa": ("گربه کوچک امروز شیر گرم می‌نوشد.", "شیر"),
    "fi": ("Pieni kissa juo tänään lämmintä maitoa.", "maitoa"),
    "fr": ("Le petit chat boit du lait tiède aujourd'hui.", "lait"),
    "he": ("החתול הקטן שותה היום חלב חם.", "חלב"),
    "hi": ("छोटी बिल्ली आज गरम दूध पीती है।", "दूध"),
    "hu": ("A kis macska ma jó meleg tejet iszik.", "tejet"),
    "id": ("Kucing kecil itu minum susu hangat hari ini.", "susu"),
    "it": ("Oggi il gattino berrà del latte tiepido.", "latte"),
    "ja": ("小さな猫は今日温かいミルクを飲む。", "ミルク"),
    "jv": ("Kucing cilik iku ngombé susu anget dina iki.", "susu"),
    "ka": ("პატარა კატა დღეს თბილ რძეს სვამს.", "რძეს"),
    "kk": ("Кішкентай мысық бүгін жылы сүт ішеді.", "сүт"),
    "ko": ("작은 고양이가 오늘 따뜻한 우유를 마신다.", "우유를"),
    "ml": ("ചെറിയ പൂച്ച ഇന്ന് ചൂടുള്ള പാൽ കുടിക്കുന്നു.", "പാൽ"),
    "mr": ("लहान मांजर आज गरम दूध पिते.", "दूध"),
    "ms": ("Kucing kecil itu minum susu suam hari ini.", "susu"),
    "my": ("ကြောင်ကလေးသည် ယနေ့ နို့နွေးကို သောက်သည်။", "နို့"),
    "nl": ("Het kleine katje drinkt vandaag warme melk.", "melk"),
    "pt": ("O gatinho bebe leite morno hoje de manhã.", "leite"),
    "ru": ("Маленькая кошка пьёт сегодня тёплое молоко.", "молоко"),
    "sw": ("Paka mdogo anakunywa maziwa ya moto leo.", "maziwa"),
    "ta": ("சிறிய பூனை இன்று சூடான பால் குடிக்கிறது.", "பால்"),
    "te": ("చిన్న పిల్లి ఈరోజు వెచ్చని పాలు తాగుతోంది.", "పాలు"),
    "th": ("แมวน้อยดื่มนมอุ่นวันนี้", "นม"),
    "tl": ("Umiinom ngayon ng mainit na gatas ang maliit na pusa.", "gatas"),
    "tr": ("Küçük kedi bugün ılık süt içiyor.", "süt"),
    "ur": ("چھوٹی بلی آج گرم دودھ پیتی ہے۔", "دودھ"),
    "vi": ("Con mèo nhỏ uống sữa ấm hôm nay.", "sữa"),
    "yo": ("Ológbò kékeré náà ń mu wàrà gbígbóná lónìí.", "wàrà"),
    "zh": ("小猫今天喝温牛奶。", "牛奶"),
}
"""A little cat drinks warm milk today (in some languages in the morning, or tomorrow, for the sake of an accent); and
the word for milk as it stands there, which is all that the lexicon of code-mixing holds here."""

GROUPS = {
    "Letters": ("keyboard", "insertion", "deletion", "substitution", "transposition"),
    "Marks, looks and scripts": (
        "diacritics", "diacritics-exchange", "confusables", "lookalikes", "kana", "romanisation",
    ),
    "Around the words": ("casing", "punctuation", "spacing", "invisible", "code-mixing"),
    "Stress": ("homophones", "tones", "word-order", "dropped-words", "doubled-words"),
    "Controls": ("normal-forms", "full-width", "double-spaces"),
}  # fmt: skip
"""The edits that can be shown on one sentence, as the tables have them."""

WHY = {
    "code-mixing": "where the lexicon has the language",
    "phrase-mixing": "where the texts have translations",
    "synonyms": "where the wordnet has the language",
    "masked-lm": "wherever the model guesses words of the script",
}

PICTURED = ("vi", "ru", "el", "ar", "hi", "ta", "th", "ko", "ja", "ka")
PICTURED_EDITS = ("keyboard", "transposition", "lookalikes", "diacritics", "romanisation", "code-mixing")
PICTURED_SEVERITY = 5

NOWHERE, NOTHING = "n/a", "–"
"""The edit does not exist in the language; it does, but has nothing to change in this sentence."""


def main() -> None:
    """Print the tables, or write them and the picture where they belong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="into docs/perturbations.md and docs/perturbations.svg")
    asked = parser.parse_args()
    edits = shown_edits()
    lines = [*coverage(edits), "", *sentences()]
    tables = "\n".join([*lines, *(line for group in GROUPS for line in examples(group, edits))]).strip()
    if not asked.write:
        sys.stdout.write(tables + "\n")
        return
    page = DOCS / "perturbations.md"
    before, _, rest = page.read_text("utf-8").partition(BEGIN)
    _, found, after = rest.partition(END)
    if not found:
        raise SystemExit(f"{page.name} lacks the lines '{BEGIN}' and '{END}', between which the tables stand")
    page.write_text(f"{before}{BEGIN}\n\n{tables}\n\n{END}{after}", "utf-8")
    (DOCS / "perturbations.svg").write_text(picture(edits), "utf-8")


def shown_edits() -> dict[str, Edit]:
    """The edits that need nothing besides a text, and code-mixing with the words for milk."""
    milk = [(a, SENTENCES[a][1], b, SENTENCES[b][1]) for a, b in combinations(SENTENCES, 2)]
    resources = Resources(lexicon=Lexicon.of(milk))
    made = {name: make_edit(name, resources) for name in (*PLAIN, "code-mixing")}
    return {name: edit for name, edit in made.items() if edit}


def changes(edit: Edit, language: str, severity: int) -> tuple[Text, list[Replacement]]:
    """What a suite of seed 0 makes of a language's sentence."""
    sentence = SENTENCES[language][0]
    attested = frozenset(sentence[start:end].casefold() for start, end in words(sentence, language))
    text = Text(sentence, language, fixed=fixed_spans(sentence, language), attested=attested)
    return text, edit.replacements(text, random.Random(f"0 {edit.name} {language}"), severity)


def around(text: Text, one: Replacement) -> tuple[int, int]:
    """The words that a replacement is in; of one between words those beside it."""
    inside = [(start, end) for start, end in text.words if start < one.end and one.start < end]
    beside = [(start, end) for start, end in text.words if start <= one.end and one.start <= end]
    places = [(one.start, one.end), *(inside if inside and one.text.strip() else beside)]
    return min(start for start, _ in places), max(end for _, end in places)


# --- tables -----------------------------------------------------------------------------------------------------------


def coverage(edits: dict[str, Edit]) -> Iterator[str]:
    """Edits × scripts: in how many of the script's languages an edit exists."""
    by_script: dict[str, list[str]] = {}
    for code in SENTENCES:
        by_script.setdefault(" + ".join(scripts(code)), []).append(code)
    columns = sorted(by_script, key=lambda name: -len(by_script[name]))
    yield "| edit | keeps | " + " | ".join(f"{name}: {_codes(by_script[name])}" for name in columns) + " |"
    yield "|---" * (len(columns) + 2) + "|"
    for name in EDITS:
        keeps = "control" if edit_class(name).control else edit_class(name).keeps
        if name in RESOURCEFUL:
            yield f"| {name} | {keeps} | {WHY[name]}" + " |" * len(columns)
            continue
        there = [[code for code in by_script[script] if edits[name].exists(code)] for script in columns]
        cells = (_share(own, by_script[script]) for own, script in zip(there, columns, strict=True))
        yield f"| {name} | {keeps} | " + " | ".join(cells) + " |"


def _codes(codes: list[str]) -> str:
    return f"{len(codes)} languages" if len(codes) > 4 else " ".join(codes)


def _share(there: list[str], codes: list[str]) -> str:
    if len(there) == len(codes):
        return "✓"
    return " ".join(there) if there else NOWHERE


def sentences() -> Iterator[str]:
    """The sentences that the examples are of."""
    yield "<details><summary>The sentences</summary>\n"
    yield "| language | sentence |"
    yield "|---|---|"
    for code, (sentence, _) in SENTENCES.items():
        yield f"| {LANGUAGES[code].name} ({code}) | {sentence} |"
    yield "\n</details>\n"


def examples(group: str, edits: dict[str, Edit]) -> Iterator[str]:
    """A row a language: words of its sentence before and after each edit of a group."""
    names = GROUPS[group]
    yield f"<details><summary>{group}: {', '.join(names)}</summary>\n"
    yield "| language | " + " | ".join(names) + " |"
    yield "|---" * (len(names) + 1) + "|"
    for code in SENTENCES:
        cells = " | ".join(example(edits[name], code) for name in names)
        yield f"| {LANGUAGES[code].name} ({code}) | {cells} |"
    yield "\n</details>\n"


def example(edit: Edit, language: str) -> str:
    """One change that the edit may make, before and after."""
    if not edit.exists(language):
        return NOWHERE
    text, _ = changes(edit, language, 1)
    sites = edit.admissible(text)
    if not sites:
        return NOTHING
    rng = random.Random(f"0 {edit.name} {language}")
    site = rng.choice(sites)
    found = Replacement(site.start, site.end, rng.choice(site.options))
    start, end = around(text, found)
    before = text.text[start:end]
    after = text.text[start : found.start] + found.text + text.text[found.end : end]
    mark = "\u200e" if direction(language) == "rtl" else ""  # or the arrow would point the other way
    told = SHOWN.get(edit.name, lambda _, after: after)
    return f"{before}{mark} → {mark}{told(before, after)}"


def _points(before: str, after: str) -> str:
    """The text with the code points that its first changed cluster has and the one before has not."""
    old, new = next(pair for pair in zip(graphemes(before), graphemes(after), strict=False) if pair[0] != pair[1])
    return f"{after} ({' '.join(f'U+{ord(c):04X}' for c in new if c not in old)})"


def _visible(before: str, after: str) -> str:
    """The text with a sign for the invisible character that it has and the one before has not."""
    at = next(i for i in range(len(after)) if after[i : i + 1] != before[i : i + 1])
    return f"{after[:at]}⟨U+{ord(after[at]):04X}⟩{after[at + 1 :]}"


SHOWN: dict[str, Callable[[str, str], str]] = {
    "confusables": _points,
    "normal-forms": _points,
    "invisible": _visible,
    "double-spaces": lambda _, after: after.replace("  ", "␣␣"),
}
"""How what nobody sees is shown."""

# --- picture ----------------------------------------------------------------------------------------------------------

WIDTH, COLUMNS, LINE, MARGIN, LABEL = 1400, 2, 27, 28, 150
# Where all of Noto is installed, its Grantha font would be taken for some letters of Tamil.
STYLE = """
text { font: 17px "Noto Sans", "Noto Sans Tamil", system-ui, sans-serif; fill: #d8dbd9 }
.name { font-weight: bold; fill: #ffffff }
.edit { font-size: 14px; fill: #9a9f9c }
.new { fill: #b5d05c }
.none { fill: #8a8f8c }
"""


def picture(edits: dict[str, Edit]) -> str:
    """An SVG of sentences and what six edits make of them, on a dark ground of its own."""
    block = LINE * (len(PICTURED_EDITS) + 2) + 14
    rows = -(-len(PICTURED) // COLUMNS)
    height = 2 * MARGIN + rows * block
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" xml:space="preserve">',
        f"<title>Six edits at severity {PICTURED_SEVERITY} in ten scripts</title><style>{STYLE}</style>",
        f'<rect width="{WIDTH}" height="{height}" rx="10" fill="#232625"/>',
    ]
    for place, code in enumerate(PICTURED):
        x, y = MARGIN + place // rows * WIDTH // COLUMNS, MARGIN + place % rows * block
        parts += _block(edits, code, x, y)
    return "\n".join([*parts, "</svg>\n"])


def _block(edits: dict[str, Edit], code: str, x: int, y: int) -> Iterator[str]:
    about = f"{LANGUAGES[code].name} · {LANGUAGES[code].script}"
    yield f'<text class="name" x="{x}" y="{y + LINE}">{about}</text>'
    lines = [("as written", [(SENTENCES[code][0], False)])]
    lines += [(name, _segments(edits[name], code)) for name in PICTURED_EDITS]
    for n, (name, segments) in enumerate(lines, 2):
        at = y + n * LINE
        yield f'<text class="edit" x="{x}" y="{at}">{name}</text>'
        if not segments:
            yield f'<text class="none" x="{x + LABEL}" y="{at}">{NOWHERE}</text>'
            continue
        # Right to left, a text's end is its left edge.
        way = ' direction="rtl" text-anchor="end"' if direction(code) == "rtl" else ""
        spans = "".join(f'<tspan class="new">{escape(s)}</tspan>' if new else escape(s) for s, new in segments)
        yield f'<text x="{x + LABEL}" y="{at}"{way}>{spans}</text>'


def _segments(edit: Edit, language: str) -> list[tuple[str, bool]]:
    """A sentence after an edit in pieces, each with whether it is of a changed word; none where there is no edit."""
    if not edit.exists(language):
        return []
    text, found = changes(edit, language, PICTURED_SEVERITY)
    pieces: list[tuple[str, bool]] = []
    at = 0
    for one in found:
        start, end = around(text, one)
        pieces.append((text.text[at:start], False))
        pieces.append((text.text[start : one.start] + one.text + text.text[one.end : end], True))
        at = end
    return [piece for piece in (*pieces, (text.text[at:], False)) if piece[0]]


if __name__ == "__main__":
    main()

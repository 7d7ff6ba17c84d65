"""Layouts are well formed, those of their languages, and typos come from them."""

import gzip
import json
import re
import unicodedata
from itertools import combinations

import pytest

from perturb import hangul, keyboards
from perturb.edits.base import Text
from perturb.edits.keyboard import Keyboard
from perturb.edits.letters import units
from perturb.keyboards import Key, all_boards, boards, cased_like, distance, kind, letters, lower, neighbours
from perturb.script import script_of, scripts

LANGUAGES = sorted({language for board in all_boards() for language in board.languages})

# A word or more of each language, in its own script.
WORDS = {
    "en": "keyboard mistakes", "de": "Straße größer", "fr": "maison", "es": "mañana", "pt": "cabeça", "it": "strada",
    "nl": "fiets", "tr": "kapı İzmir", "vi": "đường phố", "hu": "könyv", "fi": "pöytä", "et": "õpetaja",
    "pl": "książka", "ro": "școală", "lt": "žmogus", "yo": "ilé ẹja", "sw": "nyumba", "id": "rumah", "tl": "bahay",
    "eu": "etxea", "az": "kitabxana", "qu": "wasi", "wo": "xaj", "af": "huis", "jv": "omah", "ms": "sekolah",
    "ru": "книга", "uk": "їжак", "bg": "ябълка", "kk": "қала", "el": "σπίτι", "ka": "წყალი", "hy": "գիրք",
    "he": "ספרים", "ar": "مدرسة", "fa": "پنجره", "ur": "کتاب", "hi": "विद्यालय",
    "mr": "माझे घर", "bn": "বাংলাদেশ", "pa": "ਪੰਜਾਬੀ",
    "gu": "ગુજરાતી", "ta": "பள்ளி", "te": "తెలుగు", "kn": "ಕನ್ನಡ", "ml": "മലയാളം", "th": "ประเทศ", "lo": "ພາສາ",
    "km": "ភាសាខ្មែរ", "my": "မြန်မာစာ", "ko": "학교에서", "ja": "ありがとう テレビ",
}  # fmt: skip


def test_letters_stand_on_one_key_and_are_of_one_script():
    for board in all_boards():
        assert len(board.keys) >= 24, board.name
        assert len(set(board.keys.values())) == len(board.keys), f"{board.name}: two letters on one key"
        assert all(letter == letter.lower() for letter in board.keys), board.name
        assert len({script_of(letter) for letter in board.keys} - {"Common"}) == 1, board.name
        assert all(keyboards.boards(language) for language in board.languages), board.name


def test_most_letters_have_neighbours():
    for language in LANGUAGES:
        lonely = [letter for letter in letters(language) if letter not in neighbours(language)]
        assert len(lonely) <= len(letters(language)) / 8, (language, lonely)


def test_neighbours_are_mutual_and_of_one_kind():
    for language in LANGUAGES:
        near = neighbours(language)
        for letter, others in near.items():
            assert letter not in others
            assert len(set(others)) == len(others)
            for other in others:
                assert letter in near[other], (language, letter, other)
                assert kind(letter) == kind(other), (language, letter, other)


def test_there_are_keyboards_for_many_languages_and_scripts():
    with_keyboard = [language for language in WORDS if Keyboard().exists(language)]
    assert len(with_keyboard) >= 45
    assert len({scripts(language)[0] for language in with_keyboard}) >= 18


@pytest.mark.parametrize(
    ("language", "letter", "expected"),
    [
        ("en", "g", "tyfhvb"), ("de", "z", "tughß"), ("fr", "a", "zqé"), ("tr", "ı", "uojkl"), ("es", "ñ", "pl"),
        ("hu", "í", "ya"), ("ru", "п", "енарми"), ("bg", "о", "ишажъ"), ("el", "δ", "ερσφχψ"), ("he", "ש", "דז"),
        ("fa", "گ", "جچک"), ("ka", "ს", "აწედზხშ"), ("hi", "क", "गदरतलसख"), ("hi", "ी", "ाूि"), ("hi", "अ", "एआईइ"),
        ("th", "ก", "พหดปฏแ"), ("th", "่", "้๋"), ("ko", "ㅗ", "ㅛㅕㅓㅠㅜ"), ("ko", "ㅎ", "ㅅㄹㅍ"),
        ("ja", "く", "んなきまこみ"), ("my", "က", "ပင"), ("ar", "ش", "ضصسئء"), ("kk", "ә", "ійц"),
    ],
)  # fmt: skip
def test_neighbours_lie_around_a_key(language, letter, expected):
    found = neighbours(language)[letter]
    assert {c for c in expected if kind(c) == kind(letter)} >= set(found)
    assert len(found) >= min(len(expected), 2)


def test_the_six_keys_around_one_are_in_reach():
    assert set(neighbours("en")["g"]) == set("tyfhvb")
    assert set(neighbours("th")["่"]) == {"้", "๋"}
    assert distance(Key(0, 0, 0), Key(3, 4, 1)) == 5


def test_a_missed_shift_is_a_slip_but_a_capital_is_none():
    assert "ㅃ" in neighbours("ko")["ㅂ"]
    assert "ख" in neighbours("hi")["क"]
    assert neighbours("hi")["क"][-1] == "ख", "the nearest keys stand first"
    assert not any(letter.isupper() for letter in neighbours("en"))


def test_codes_of_a_language_and_its_kin_mean_one_keyboard():
    assert letters("hin_Deva") == letters("hin") == letters("hi")
    assert letters("arz") == letters("arb") == letters("ar")
    assert letters("zsm") == letters("ms")
    assert {script_of(c) for c in letters("srp_Latn")} == {"Latin"}
    assert {script_of(c) for c in letters("sr")} == {"Latin", "Cyrillic"}


@pytest.mark.parametrize("language", ["zh", "yue", "amh", "hin_Latn", "nonsense", "", "qqq"])
def test_no_keyboard_no_typos(language):
    assert boards(language) == ()
    assert letters(language) == ()
    assert not Keyboard().exists(language)


def test_kana_and_jamo_are_the_letters_of_japanese_and_korean():
    assert {script_of(c) for c in letters("ja")} == {"Hiragana", "Katakana"}
    assert set(letters("ko")) >= set("ㄱㄴㄷㅏㅑㅓ")


def test_case_follows_the_language():
    assert (lower("I", "tr"), lower("I", "en")) == ("ı", "i")
    assert (cased_like("i", "A", "tr"), cased_like("i", "A", "en")) == ("İ", "I")
    assert cased_like("ß", "A", "de") == "ß"
    assert cased_like("q", "a", "en") == "q"


@pytest.mark.parametrize("language", WORDS)
def test_every_typo_is_one_neighbour_of_the_layout(language):
    near = neighbours(language)
    sites = Keyboard().admissible(Text(WORDS[language], language))
    assert sites
    for start, end, options in sites:
        word = WORDS[language][start:end]
        for option in options:
            [(old, new)] = _differences(word, option)
            assert new in near[old], (word, option)
            assert len(units(option)) == len(units(word))


def _differences(word: str, option: str) -> list[tuple[str, str]]:
    """What differs, letter by letter (jamo by jamo), in lower case."""
    pairs = zip(_typed(word), _typed(option), strict=True)
    return [(old, new) for old, new in pairs if old != new]


def _typed(word: str) -> list[str]:
    turkic = str.maketrans({"İ": "i", "I": "ı"}) if "İ" in word or "ı" in word else {}
    parts = [hangul.jamo(c) if hangul.is_syllable(c) else (c,) for c in word.translate(turkic).lower()]
    return [part for syllable in parts for part in syllable]


def test_words_and_their_typos():
    options = Keyboard().options
    assert list(options("no", "en")) == ["bo", "mo", "ho", "jo", "ni", "np", "nl", "nk"]
    assert "Jello" in options("Hello", "en")
    assert "HWLLO" in options("HELLO", "en")
    assert "OSPARTA" in options("ISPARTA", "tr"), "a Turkish capital I is the key of ı"
    assert "गी" in options("की", "hi")
    assert "कि" in options("की", "hi")
    assert "락교" in options("학교", "ko")
    assert "학뇨" not in options("학교", "ko")
    assert "먿" in options("먹", "ko"), "a final consonant has its key as well"
    assert list(options("a", "en")) == []
    assert list(options("東京", "ja")) == []
    assert list(options("e\u0301", "fr")) == [], "a letter and its accent are one"
    assert not [w for w in options("ज़रा", "hi") if w[1] == "़" and w[0] != "ज"], "a letter and its nukta are one"


def test_hangul_syllables_are_taken_apart_and_put_together():
    assert hangul.jamo("한") == ("ㅎ", "ㅏ", "ㄴ")
    assert hangul.jamo("가") == ("ㄱ", "ㅏ", "")
    assert hangul.compose("ㅎ", "ㅏ", "ㄴ") == "한"
    assert hangul.compose("ㄱ", "ㅏ", "ㅃ") is None
    assert hangul.compose("ㄳ", "ㅏ", "") is None
    for point in range(0xAC00, 0xD7A4, 7):
        decomposed = unicodedata.normalize("NFD", chr(point))
        assert len([part for part in hangul.jamo(chr(point)) if part]) == len(decomposed)
        assert hangul.compose(*hangul.jamo(chr(point))) == chr(point)
    assert not hangul.is_syllable("ㅎ")
    assert not hangul.is_syllable("한국")


def test_a_broken_layout_is_told():
    with pytest.raises(ValueError, match="no such key: shift"):
        keyboards._board("x", {"languages": ["en"], "shift": {}})
    with pytest.raises(ValueError, match="no such row: Q"):
        keyboards._board("x", {"languages": ["en"], "plain": {"Q": "a"}})
    for row in ("a a", "ab", "1", "?"):
        with pytest.raises(ValueError, match="not one letter"):
            keyboards._board("x", {"languages": ["en"], "plain": {"D": row}})


# Against published layouts: their codes are countries', their letters X11's key symbols.
# Not Romanian and Greek: the published ones lack the letters in question.

COUNTRIES = {
    "us": "en", "de": "de", "fr": "fr", "es": "es", "it": "it", "pt": "pt", "nl": "nl", "hu": "hu", "fi": "fi",
    "ee": "et", "tr": "tr", "az": "az", "lt": "lt", "vn": "vi", "cz": "cs", "sk": "sk", "dk": "da",
    "no": "no", "is": "is", "fo": "fo", "mt": "mt", "al": "sq", "tm": "tk", "epo": "eo", "sn": "wo", "id": "id",
    "ke": "sw", "ru": "ru", "ua": "uk", "bg": "bg", "by": "be", "kz": "kk", "kg": "ky", "mk": "mk", "mn": "mn",
    "rs": "sr", "am": "hy", "ge": "ka", "il": "he", "ara": "ar", "ir": "fa", "pk": "ur", "in": "hi",
    "np": "ne", "th": "th", "la": "lo", "kh": "km", "mm": "my",
}  # fmt: skip

# Names of key symbols in the order of Unicode, from a code point on.
IN_ORDER = {
    ("hebrew_", 0x5D0): "aleph bet gimel dalet he waw zain chet tet yod finalkaph kaph lamed finalmem mem finalnun nun "
    "samech ayin finalpe pe finalzade zade qoph resh shin taw",
    ("Arabic_", 0x621): "hamza maddaonalef hamzaonalef hamzaonwaw hamzaunderalef hamzaonyeh alef beh tehmarbuta teh "
    "theh jeem hah khah dal thal ra zain seen sheen sad dad tah zah ain ghain",
    ("Arabic_", 0x641): "feh qaf kaf lam meem noon heh waw alefmaksura yeh fathatan dammatan kasratan fatha damma "
    "kasra shadda sukun",
    (
        "Thai_",
        0xE01,
    ): "kokai khokhai khokhuat khokhwai khokhon khorakhang ngongu chochan choching chochang soso chochoe "
    "yoying dochada topatak thothan thonangmontho thophuthao nonen dodek totao thothung thothahan thothong nonu "
    "bobaimai popla phophung fofa phophan fofan phosamphao moma yoyak rorua ru loling lu wowaen sosala sorusi sosua "
    "hohip lochula oang honokhuk paiyannoi saraa maihanakat saraaa saraam sarai saraii saraue sarauee sarau sarauu",
    ("Thai_", 0xE40): "sarae saraae sarao saraaimaimuan saraaimaimalai lakkhangyao maiyamok maitaikhu maiek maitho "
    "maitri maichattawa thanthakhat nikhahit",
    ("Armenian_", 0x561): "ayb ben gim da yech za e at to zhe ini lyun khe tsa ken ho dza ghat tche men hi nu sha vo "
    "cha pe je ra se vev tyun re tso vyun pyur ke o fe",
}
SYMBOLS = {
    f"{prefix}{name}": chr(first + i)
    for (prefix, first), names in IN_ORDER.items()
    for i, name in enumerate(names.split())
} | {
    "Arabic_ha": "ه", "Arabic_peh": "پ", "Arabic_tcheh": "چ", "Arabic_jeh": "ژ", "Arabic_keheh": "ک", "Arabic_gaf": "گ",
    "Farsi_yeh": "ی", "Greek_lambda": "λ", "Greek_finalsmallsigma": "ς",
    "Cyrillic_shorti": "й", "Cyrillic_hardsign": "ъ", "Cyrillic_softsign": "ь", "Cyrillic_schwa": "ә",
    "Cyrillic_o_bar": "ө", "Cyrillic_u_straight": "ү",
    "Cyrillic_u_straight_bar": "ұ", "Cyrillic_en_descender": "ң", "Cyrillic_ka_descender": "қ",
    "Cyrillic_ghe_bar": "ғ", "Ukrainian_i": "і", "Ukrainian_yi": "ї", "Ukrainian_ie": "є",
    "Ukrainian_ghe_with_upturn": "ґ", "Byelorussian_shortu": "ў", "Macedonia_dse": "ѕ", "Macedonia_gje": "ѓ",
    "Macedonia_kje": "ќ", "Serbian_dje": "ђ", "Serbian_tshe": "ћ", "Serbian_je": "ј", "Cyrillic_je": "ј",
    "ssharp": "ß", "idotless": "ı", "schwa": "ə", "eng": "ŋ", "ae": "æ", "eth": "ð", "thorn": "þ", "oslash": "ø",
    "dstroke": "đ", "hstroke": "ħ", "uhorn": "ư", "ohorn": "ơ",
}  # fmt: skip
ACCENTS = {"doubleacute": "DOUBLE ACUTE", "abovedot": "DOT ABOVE", "ring": "RING ABOVE"}
ROWS = {
    "TLDE": ("E", 0), "BKSL": ("C", 11), "LSGT": ("B", 0),
    "AE": ("E", 0), "AD": ("D", -1), "AC": ("C", -1), "AB": ("B", 0),
}  # fmt: skip


def _character(symbol: str) -> str | None:
    """The letter that a key symbol stands for; None for capitals, digits and the rest."""
    if code := re.fullmatch(r"(?:0x0*10?0?|U)([0-9A-Fa-f]{4})", symbol):
        return chr(int(code[1], 16))
    if symbol in SYMBOLS or (len(symbol) == 1 and symbol.islower()):
        return SYMBOLS.get(symbol, symbol)
    script, _, name = symbol.rpartition("_")
    kind = {"Georgian": "LETTER", "Cyrillic": "SMALL LETTER", "Greek": "SMALL LETTER"}.get(script)
    if kind and name.islower():
        return _named(f"{script.upper()} {kind} {name.upper()}")
    accent = ACCENTS.get(symbol[1:], symbol[1:].upper())
    return _named(f"LATIN SMALL LETTER {symbol[0].upper()} WITH {accent}") if symbol.islower() else None


def _named(name: str) -> str | None:
    try:
        return unicodedata.lookup(name)
    except KeyError:
        return None


def _published(keys: dict[str, list[str]]) -> dict[str, Key]:
    found: dict[str, Key] = {}
    for key, symbols in keys.items():
        row, shift = ROWS.get(key) or ROWS.get(key[:2], (None, 0))
        if row is None:
            continue
        column = shift + (int(key[2:]) if key[2:].isdigit() else 0)
        for level, symbol in enumerate(symbols[:2]):
            if letter := _character(symbol):
                found.setdefault(letter, Key(keyboards.ROWS[row] + column, "EDCB".index(row), level))
    return found


def _pairs(keys: dict[str, Key], among: set[str]) -> set[tuple[str, str]]:
    return {
        (one, two)
        for one, two in combinations(sorted(among), 2)
        if keys[one].level == keys[two].level and distance(keys[one], keys[two]) <= keyboards.REACH
    }


@pytest.mark.data
def test_layouts_agree_with_published_ones(data_dir):
    path = data_dir / "robust_keyboard" / "layouts.jsonl.gz"
    if not path.is_file():
        pytest.skip("the published layouts are not there")
    with gzip.open(path, "rt", encoding="utf-8") as file:
        layouts = {row["lang"]: _published(row["keys"]) for row in map(json.loads, file)}
    compared = []
    for country, language in COUNTRIES.items():
        theirs = layouts[country]
        ours = dict(max(boards(language), key=lambda board: len(theirs.keys() & board.keys.keys())).keys)
        shared = set(ours) & set(theirs)
        assert len(shared) >= 0.85 * len(ours), (language, set(ours) - shared)
        mine, other = _pairs(ours, shared), _pairs(theirs, shared)
        assert len(mine & other) >= 0.95 * len(mine | other), (language, mine ^ other)
        compared.append(language)
    assert len(compared) >= 45

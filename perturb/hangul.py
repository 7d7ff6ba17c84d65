"""Hangul syllables and the jamo they are typed with: a lead, a vowel and at most one tail (Unicode, chapter 3.12)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

LEADS = "ㄱㄲㄴㄷㄸㄹㅁㅂㅃㅅㅆㅇㅈㅉㅊㅋㅌㅍㅎ"
VOWELS = "ㅏㅐㅑㅒㅓㅔㅕㅖㅗㅘㅙㅚㅛㅜㅝㅞㅟㅠㅡㅢㅣ"
TAILS = ("", *"ㄱㄲㄳㄴㄵㄶㄷㄹㄺㄻㄼㄽㄾㄿㅀㅁㅂㅄㅅㅆㅇㅈㅊㅋㅌㅍㅎ")
_FIRST, _COUNT = 0xAC00, len(LEADS) * len(VOWELS) * len(TAILS)


def is_syllable(text: str) -> bool:
    """Whether a text is one whole Hangul syllable."""
    return len(text) == 1 and 0 <= ord(text) - _FIRST < _COUNT


def jamo(syllable: str) -> tuple[str, str, str]:
    """The lead, vowel and tail of a syllable; the tail is empty where it has none."""
    rest, tail = divmod(ord(syllable) - _FIRST, len(TAILS))
    lead, vowel = divmod(rest, len(VOWELS))
    return LEADS[lead], VOWELS[vowel], TAILS[tail]


def compose(lead: str, vowel: str, tail: str) -> str | None:
    """The syllable of these jamo; None where one of them cannot stand in its place."""
    if lead not in LEADS or vowel not in VOWELS or tail not in TAILS:
        return None
    return chr(_FIRST + (LEADS.index(lead) * len(VOWELS) + VOWELS.index(vowel)) * len(TAILS) + TAILS.index(tail))


def exchanged(syllable: str, others: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """The syllable with one of its jamo exchanged for each of `others` that can stand in its place."""
    parts = jamo(syllable)
    for place, part in enumerate(parts):
        for new in others.get(part, ()):
            changed = list(parts)
            changed[place] = new
            found = compose(*changed)
            if found and found != syllable:
                yield found

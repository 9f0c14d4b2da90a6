"""Word filters: what is stored stays readable, and no filter denies what it holds."""

import base64

from hypothesis import given
from hypothesis import strategies as st

from godot_otel import words

WORDS = st.lists(st.binary(min_size=1, max_size=40).filter(lambda b: b"\0" not in b))


def defined(word: bytes) -> int:
    """The hash of a word, as the format has it, by plain arithmetic."""
    mask = 2**64 - 1
    mixed = sum(byte * words._BASE**i for i, byte in enumerate(word))
    mixed = mixed + 0x9E3779B97F4A7C15 & mask
    mixed = (mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9 & mask
    mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EB & mask
    return mixed ^ mixed >> 31


def holds(bits: int, data: bytes, word: bytes) -> bool:
    first, step = defined(word) & 0xFFFFFFFF, defined(word) >> 32 | 1
    places = [(first + i * step) % bits for i in range(words.HASHES)]
    return all(data[place // 8] >> place % 8 & 1 for place in places)


def test_filters_of_format_2_stay_what_they_are():
    bits, data = words.word_filter("timeout\0order\0http.route=/cart\0日本".encode())
    assert (words.FORMAT, bits) == (2, 64)
    assert base64.b64encode(data) == b"sIAFjgGUMUs="


@given(WORDS)
def test_many_words_are_hashed_as_one_is(found):
    assert words.hashes(b"\0".join(found)).tolist() == [defined(w) for w in found]


def test_long_words_and_many_pieces_are_hashed_as_well():
    found = [b"a" * n for n in (1, 128 * 1024 - 1, 128 * 1024, 400_000)] * 2
    found += [b"%d" % n for n in range(50_000)]
    hashed = words.hashes(b"\0\0".join(found) + b"\0").tolist()
    assert hashed[:4] == hashed[4:8]
    assert hashed[-50_000:] == [defined(b"%d" % n) for n in range(50_000)]


@given(WORDS)
def test_a_filter_denies_no_word_it_holds(found):
    bits, data = words.word_filter(b"\0".join([*found, *found]))
    assert len(data) * 8 == bits
    assert all(holds(bits, data, word) for word in found)


def test_a_filter_has_about_ten_bits_a_distinct_word():
    found = b"\0".join([b"%d" % (n % 20_000) for n in range(60_000)])
    bits, _ = words.word_filter(found)
    assert 200_000 <= bits <= 230_000


@given(st.lists(st.text()), st.lists(st.lists(st.text())))
def test_a_chunk_has_every_word_of_its_texts_and_every_pair(texts, pairs):
    pairs = [[pair.replace("\0", "") for pair in of] for of in pairs]
    data = words.chunk_words(
        [text.encode("utf-8", "replace") for text in texts],
        [[pair.encode("utf-8", "replace") for pair in of] for of in pairs],
    )
    have = {part.decode() for part in data.split(b"\0")} - {""}
    wanted = {word for text in texts for word in words.text_words(text)}
    assert have == wanted.union(*pairs) - {""}

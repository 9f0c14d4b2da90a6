"""Attributes parsed by hand are those that the library parses."""

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import KeyValue

from godot_otel import words
from godot_otel_collector.attributes import Attributes, _attribute


@st.composite
def pairs(draw) -> KeyValue:
    pair = KeyValue(key=draw(st.text(max_size=130)))
    kind = draw(st.sampled_from(["string", "int", "bool", "double", "bytes", "none"]))
    if kind == "string":
        pair.value.string_value = draw(st.text(max_size=140))
    elif kind == "int":
        pair.value.int_value = draw(st.integers(-(2**63), 2**63 - 1))
    elif kind == "bool":
        pair.value.bool_value = draw(st.booleans())
    elif kind == "double":
        pair.value.double_value = draw(st.floats())
    elif kind == "bytes":
        pair.value.bytes_value = draw(st.binary(max_size=20))
    return pair


@given(pairs())
def test_by_hand_or_by_the_library_an_attribute_is_the_same(pair):
    raw = pair.SerializeToString()
    assert Attributes().parse(raw) == _attribute(pair)


@given(pairs())
def test_a_known_attribute_is_found_again(pair):
    attributes, raw = Attributes(), pair.SerializeToString()
    first = attributes.parse(raw)
    assert attributes.known.get(raw, first) is first
    assert attributes.parse(raw) == first


def test_most_attributes_are_parsed_by_hand():
    for value in ("eu-west-1", 81723, True, ""):
        pair = KeyValue(key="some.key")
        name = {str: "string_value", int: "int_value", bool: "bool_value"}[type(value)]
        setattr(pair.value, name, value)
        assert Attributes()._short(pair.SerializeToString()) is not None


@given(st.binary(max_size=60))
@example(b"\n\x00\x12\x80\n~" + 126 * b"z")  # a value that ends behind the attribute
@example(b"\n\x01k\x12\x04\n\x82\x00z")  # lengths and numbers longer than need be
@example(b"\n\x01k\x12\x03\x18\x87\x00")
@example(b"\n\x01k\x12\x03\n\x01z\x12\x02\x18\x07")
def test_bytes_of_anything_are_parsed_as_the_library_does_or_refused(raw):
    found = Attributes()._short(raw)
    if found is not None:
        assert found == _attribute(KeyValue.FromString(raw))


@pytest.mark.parametrize("value", [7, -7, True, "v\0"])
def test_nul_is_mended_in_names_and_in_what_a_search_finds(value):
    pair = KeyValue(key="k\0")
    kind = {str: "string_value", int: "int_value", bool: "bool_value"}[type(value)]
    setattr(pair.value, kind, value)
    found = Attributes().parse(pair.SerializeToString())
    ((key, kept),) = orjson.loads(b"{%b}" % found.json).items()
    assert key == "k\N{REPLACEMENT CHARACTER}"
    assert found.pair.decode() == words.attribute_word(key, kept)

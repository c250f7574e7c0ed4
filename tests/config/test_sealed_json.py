import json

import pytest

from worldmodel_train.config.sealed_json import SealError, sealed, unsealed

VALUE = {"step": 3, "text": 'with "sha256" in it, }\n', "list": [1, {"a": None}]}


@pytest.mark.parametrize("indent", [None, 2])
def test_what_was_sealed_comes_back_and_is_still_json(indent):
    text = sealed(json.dumps(VALUE, indent=indent))
    assert json.loads(unsealed(text.encode())) == VALUE
    assert json.loads(text).keys() == {*VALUE, "sha256"}


def test_no_flipped_bit_comes_back_as_something_else():
    whole = sealed(json.dumps(VALUE)).encode()
    noticed = 0
    for bit in range(8 * len(whole)):
        content = bytearray(whole)
        content[bit // 8] ^= 1 << bit % 8
        try:
            # where the seal itself cannot be read, its reader must see that there is none
            assert unsealed(bytes(content)) is None
        except SealError:
            noticed += 1
    assert noticed > 8 * len(json.dumps(VALUE)) - 16


def test_text_without_a_seal_has_none():
    assert unsealed(b'{"step": 3}') is None

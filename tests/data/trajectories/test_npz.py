"""Files that lie about their size, or would run code: refused before memory is taken."""

import io
import tracemalloc
import zipfile

import numpy as np
import pytest
from numpy.lib import format as npy

from worldmodel_train.data.trajectories.npz import BadArraysError, read_arrays, stored_at

MOST = 1 << 20


def zipped(files, compression=zipfile.ZIP_STORED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return file.getvalue()


def array_file(shape, content=b"", descr="<f4", **changes):
    file = io.BytesIO()
    header = {"shape": shape, "fortran_order": False, "descr": descr, **changes}
    npy.write_array_header_1_0(file, header)
    return file.getvalue() + content


def npz(**arrays):
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def test_arrays_are_those_that_numpy_reads():
    given = {
        "a": np.arange(6, dtype=">f8").reshape(2, 3),
        "b": np.asfortranarray(np.arange(6, dtype=np.int16).reshape(3, 2)),
        "c": np.zeros((0, 4), bool),
    }
    packed = io.BytesIO()
    np.savez_compressed(packed, **given)
    for content in (npz(**given), packed.getvalue()):
        found = read_arrays(content, ["a", "b", "c", "d"], most_bytes=MOST)
        assert found.keys() == given.keys()
        for name, array in given.items():
            np.testing.assert_array_equal(found[name], array)


def test_arrays_with_one_header_have_their_own_numbers_and_a_bad_header_stays_bad():
    for number in range(3):
        arrays = read_arrays(npz(a=np.full(4, number), b=np.full(4, 7)), "ab", most_bytes=MOST)
        assert (arrays["a"].tolist(), arrays["b"].tolist()) == ([number] * 4, [7] * 4)
    bad = zipped({"a.npy": array_file((1,), bytes(4)).replace(b"shape", b"sharp")})
    for _ in range(2):
        with pytest.raises(BadArraysError, match="does not contain the correct keys"):
            read_arrays(bad, ["a"], most_bytes=MOST)


def test_numbers_that_lie_in_the_file_as_they_are_are_found():
    given = {"b": np.arange(5), "a": np.arange(24, dtype=np.uint8).reshape(2, 3, 4)}
    for content in (npz(**given), b"before" + npz(**given)):
        begin = stored_at(content, "a")
        assert content[begin : begin + 24] == bytes(range(24))
    packed = io.BytesIO()
    np.savez_compressed(packed, **given)
    assert stored_at(packed.getvalue(), "a") is None
    assert stored_at(npz(a=np.asfortranarray(given["a"])), "a") is None


HOSTILE = {
    "claims terabytes": (zipped({"a.npy": array_file((1 << 40,))}), "too_large"),
    "is a bomb": (
        zipped({"a.npy": array_file((1 << 28,), bytes(1 << 26))}, zipfile.ZIP_DEFLATED),
        "too_large",
    ),
    "unpacks to more than it says": (
        zipped({"a.npy": array_file((MOST // 8,), bytes(100))}),
        "corrupt_episode",
    ),
    "is packed as numpy never does": (
        zipped({"a.npy": array_file((4,), bytes(16))}, zipfile.ZIP_BZIP2),
        "corrupt_episode",
    ),
    "has a negative length": (zipped({"a.npy": array_file((-1, -4))}), "wrong_array"),
    "has a hundred axes": (zipped({"a.npy": array_file((1,) * 40, bytes(4))}), "wrong_array"),
    "is pickled": (npz(a=np.array([{"x": 1}], dtype=object)), "wrong_array"),
    "holds text": (npz(a=np.array(["x"])), "wrong_array"),
    "holds records": (npz(a=np.zeros(3, dtype=[("x", "f4")])), "wrong_array"),
    "has a header without end": (
        zipped({"a.npy": b"\x93NUMPY\x02\x00" + b"\xff\xff\xff\x7f" + b"(" * 5000}),
        "corrupt_episode",
    ),
    "has a header of brackets": (
        zipped({"a.npy": b"\x93NUMPY\x01\x00" + b"\x88\x13" + b"(" * 5000}),
        "corrupt_episode",
    ),
    "is no array": (zipped({"a.npy": b"no array"}), "corrupt_episode"),
    "is no zip": (b"PK" * 100, "corrupt_episode"),
    "is empty": (b"", "corrupt_episode"),
    "lists a thousand files": (zipped({f"{i}": b"" for i in range(1000)}), "corrupt_episode"),
    "was cut": (npz(a=np.zeros(1000))[:-30], "corrupt_episode"),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_file_is_refused_that(what):
    content, reason = HOSTILE[what]
    tracemalloc.start()
    try:
        with pytest.raises(BadArraysError, match=reason):
            read_arrays(content, ["a"], most_bytes=MOST)
        assert tracemalloc.get_traced_memory()[1] < 4 * MOST + 2 * len(content)
    finally:
        tracemalloc.stop()


def test_the_limit_is_for_all_arrays_together():
    content = npz(a=np.zeros(60_000), b=np.zeros(60_000), c=np.zeros(60_000))
    assert len(read_arrays(content, ["a", "b"], most_bytes=MOST)) == 2
    with pytest.raises(BadArraysError, match="too_large: c"):
        read_arrays(content, ["a", "b", "c"], most_bytes=MOST)


@pytest.mark.parametrize("seed", range(40))
def test_any_flipped_bit_is_a_reason_or_another_array_and_never_a_crash(seed):
    rng = np.random.default_rng(seed)
    content = bytearray(npz(a=np.arange(8.0), b=np.arange(4)))
    content[rng.integers(len(content))] ^= 1 << rng.integers(8)
    arrays, reason = {}, "corrupt_episode"
    try:
        arrays = read_arrays(bytes(content), ["a", "b"], most_bytes=MOST)
    except BadArraysError as error:
        reason = error.reason
    assert reason in ("corrupt_episode", "too_large", "wrong_array")
    assert sum(array.nbytes for array in arrays.values()) <= MOST

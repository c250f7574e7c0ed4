import pytest

from worldmodel_train.data.packing.errors import PackError
from worldmodel_train.data.packing.read_list import read_list

HEADER = "label,youtube_id,time_start,time_end,split,is_cc\n"
ROWS = (
    '"playing ""kubb""",-a_b-c,59,69,train,0\n'
    "abseiling,DDDDDDDDDDD,0,10,train,0\n"
    "abseiling,gone,1234567,1234577,train,0\n"
)


@pytest.fixture
def train(tmp_path):
    path = tmp_path / "lists" / "train.csv"
    path.parent.mkdir()
    path.write_text(HEADER + ROWS)
    return path


def test_clips_are_found_by_id_and_times_wherever_they_lie(tmp_path, train, pack_list, put):
    videos = tmp_path / "videos"
    put(videos, "playing kubb/-a_b-c_000059_000069.mp4", "DDDDDDDDDDD_000000_000010.mp4")
    packed = pack_list("kinetics", train, videos)
    assert packed.labels == {
        "playing kubb/-a_b-c_000059_000069.mp4": 'playing "kubb"',
        "DDDDDDDDDDD_000000_000010.mp4": "abseiling",
    }
    assert packed.classes == ["abseiling", 'playing "kubb"']
    assert packed.rejects == {"gone_1234567_1234577.mp4": "missing"}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("youtube_id,time_start,time_end,split\nx,1,2,test\n", "has no column 'label'"),
        (
            HEADER + "abseiling,x,soon,10,train,0\n",
            "row 1: time_start='soon' is not a whole number",
        ),
        (HEADER + ",x,1,10,train,0\n", "row 1 has nothing in column 'label'"),
        (HEADER, "names no videos"),
        ("", "has no column 'label'"),
    ],
)
def test_a_file_that_is_no_such_list_is_named_with_what_is_wrong(train, put, content, words):
    put(train.parent, "a.mp4")
    train.write_text(content)
    with pytest.raises(PackError, match=r"train\.csv: ") as error:
        read_list("kinetics", str(train), None)
    assert words in str(error.value)
    assert "\n" not in str(error.value)

import pytest

from worldmodel_train.data.packing.errors import PackError
from worldmodel_train.data.packing.read_list import read_list

HEADER = (
    "narration_id,participant_id,video_id,narration_timestamp,start_timestamp,stop_timestamp,"
    "start_frame,stop_frame,narration,verb,verb_class,noun,noun_class,all_nouns,all_noun_classes\n"
)


def action(number, start, stop, verb, noun, video="P01_01"):
    return (
        f"{video}_{number},P01,{video},00:00:01.089,{start},{stop},8,202,"
        f"pick up box,pick-up,{verb},box:lunch,{noun},\"['box:lunch', 'bin']\",\"[1, 0]\"\n"
    )


ACTIONS = (
    action(0, "00:00:01.40", "00:00:01.90", 1, 0),
    action(1, "00:00:01.40", "00:00:01.90", 0, 1),  # two things at once, in one stretch of video
    action(2, "00:00:00.30", "00:00:00.80", 1, 0),
    action(0, "00:01:00.00", "00:01:01.00", 1, 0, video="P02_101"),
)


@pytest.fixture
def train(tmp_path):
    path = tmp_path / "annotations" / "EPIC_100_train.csv"
    path.parent.mkdir()
    path.write_text(HEADER + "".join(ACTIONS))
    verbs = (
        "id,key,instances,category\n0,take,\"['take', 'pick-up']\",retrieve\n1,put,['put'],leave\n"
    )
    (path.parent / "EPIC_100_verb_classes.csv").write_text(verbs)
    # not in the order of their numbers
    nouns = '"id","key","instances","category"\n1,"box","[]","c"\n0,"board:chopping","[]","u"\n'
    (path.parent / "EPIC_100_noun_classes_v2.csv").write_text(nouns)
    return path


@pytest.fixture
def videos(tmp_path, put):
    put(tmp_path / "EK", "P01/videos/P01_01.MP4")
    return tmp_path / "EK"


def test_each_action_is_a_sample_with_verb_noun_and_both(train, videos, pack_list):
    packed = pack_list("ek100", train, videos, "--short-side", "32")
    found = [(info.start, info.end, info.label) for info in packed.infos]
    assert found == [
        (1.4, 1.9, "action put board:chopping"),
        (1.4, 1.9, "action take box"),
        (0.3, 0.8, "action put board:chopping"),
    ]
    assert packed.infos[1].labels == ("verb take", "noun box", "action take box")
    assert [round(info.duration, 1) for info in packed.infos] == [0.5, 0.5, 0.5]
    assert packed.classes == [
        "verb take", "verb put", "noun board:chopping", "noun box",
        "action take box", "action put board:chopping",
    ]  # fmt: skip
    assert packed.rejects == {"P02_101.MP4": "missing"}


def test_a_window_before_the_action_is_cut_and_begins_with_the_video_at_the_earliest(
    train, videos, pack_list
):
    packed = pack_list("ek100", train, videos, "--short-side", "32", "--window", "-0.9:-0.5")
    # the action that begins before the window could end has the first picture of its video
    assert [(info.start, info.end) for info in packed.infos] == [
        (0.5, 0.9),
        (0.5, 0.9),
        (0.0, 0.01),
    ]
    assert [info.frames for info in packed.infos] == [4, 4, 1]
    # so that a clip of 4 frames at 10 fps can begin nowhere else
    assert [info.duration for info in packed.infos[:2]] == [pytest.approx(0.4)] * 2


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("EPIC_100_train.csv", "narration_id,video_id\na,b\n", "has no column 'start_timestamp'"),
        ("EPIC_100_train.csv", HEADER + action(0, "soon", "1", 0, 0), "start_timestamp='soon' is"),
        ("EPIC_100_train.csv", HEADER + action(0, "1", "2", 2, 0), "verb_class=2, but there are 2"),
        (
            "EPIC_100_train.csv",
            HEADER + action(0, "1", "2", 0, "x"),
            "noun_class='x' is not a whole",
        ),
        ("EPIC_100_verb_classes.csv", "id,key\n1,take\n", "its ids are not 0 to 0"),
        ("EPIC_100_verb_classes.csv", "id\n0\n", "has no column 'key'"),
    ],
)
def test_a_file_that_is_wrong_is_named_with_what_is_wrong(train, videos, name, content, words):
    (train.parent / name).write_text(content)
    with pytest.raises(PackError) as error:
        read_list("ek100", str(train), videos)
    assert str(error.value).startswith(str(train.parent / name))
    assert words in str(error.value)

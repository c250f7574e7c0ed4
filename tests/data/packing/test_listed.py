import pytest

from worldmodel_train.data.packing.listed import Library, Window


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def test_a_name_that_two_videos_have_is_rejected_with_both(tmp_path):
    library = Library(touch(tmp_path, "train/a.mp4", "val/a.mkv"))
    reason, detail = library.entry("a", ".mp4").left_out
    assert reason == "ambiguous"
    assert "train/a.mp4 and val/a.mkv are both named so" in detail


def test_places_that_were_not_looked_into_are_rejected_beside_what_they_may_hide(tmp_path):
    touch(tmp_path / "elsewhere", "b.mp4")
    root = touch(tmp_path / "in", "a.mp4")
    (root / "linked").symlink_to(tmp_path / "elsewhere")
    library = Library(root)
    listed = library.listed([library.entry(name, ".mp4") for name in "ab"], ("x",))
    assert [(e.source, e.left_out and e.left_out[0]) for e in listed.entries] == [
        ("a.mp4", None), ("b.mp4", None), ("linked", "link"),
    ]  # fmt: skip


def test_a_video_has_the_label_of_the_list_and_not_of_its_folder(tmp_path):
    assert Library(touch(tmp_path, "run/a.mp4")).entry("a", ".webm").label is None


@pytest.mark.parametrize(
    ("start", "found"),
    [(9.0, (4.0, 8.0)), (3.0, (0.0, 2.0)), (1.0, (0.0, 0.01)), (0.0, (0.0, 0.01))],
)
def test_a_window_ends_before_the_action_but_not_before_the_first_picture(tmp_path, start, found):
    entry = Library(touch(tmp_path, "a.mp4")).entry("a", ".mp4")
    moved = Window.parse("-5:-1").around(
        type(entry)(source=entry.source, path=entry.path, start=start, end=start + 1)
    )
    assert (moved.start, moved.end) == found

"""Episodes of a run on disk: whole, and none that no checkpoint knows of."""

from worldmodel_train.collection.episode_files import EpisodeFiles


def test_what_no_checkpoint_knows_and_what_a_kill_left_half_written_go(tmp_path):
    files = EpisodeFiles(tmp_path)
    for number in range(3):
        files.write(number, b"episode")
    (tmp_path / ".000003.npz.8e5252d24aca1343.partial").write_bytes(b"epi")
    (tmp_path / "notes.txt").write_text("of the user")
    files.forget(first=2)
    assert {path.name for path in tmp_path.iterdir()} == {"000000.npz", "000001.npz", "notes.txt"}

import torch

from worldmodel_train.evaluation.pictures import save_pictures


def test_a_picture_takes_the_place_of_an_older_one_only_when_it_is_whole(tmp_path):
    black, white = (torch.full((4, 6, 3), shade, dtype=torch.uint8) for shade in (0, 255))
    (picture,) = save_pictures(tmp_path, "folder/kind", [("a", black)])
    assert (picture.width, picture.height) == (6, 4)
    file = tmp_path / picture.file
    (tmp_path / "older").hardlink_to(file)
    save_pictures(tmp_path, "folder/kind", [("a", white)])
    # written in place, both names would show the new one
    assert (tmp_path / "older").read_bytes() != file.read_bytes()
    assert [one.name for one in file.parent.iterdir()] == ["kind_00.png"]

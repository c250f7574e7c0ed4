"""Recipes of published sets name their classes in files that come with the sets."""

import pytest

CLASSES = {"ssv2": 174, "k400": 400, "diving48": 48, "in1k": 1000}
KINDS = ("verb 0", "verb 3", "noun 0", "noun 17", "action 0 0", "action 3 17")


@pytest.fixture(scope="session", autouse=True)
def _made_up_classes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    for name, count in CLASSES.items():
        (folder / name / "train").mkdir(parents=True)
        lines = "".join(f"class {number}\n" for number in range(count))
        (folder / name / "train" / "classes.txt").write_text(lines)
    (folder / "ek100" / "train").mkdir(parents=True)
    (folder / "ek100" / "train" / "classes.txt").write_text("\n".join(KINDS))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WMT_DATA", str(folder))
        yield

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from worldmodel_train.data.shards.shard_files import FolderFiles, ShardFiles

PATHS = st.lists(
    st.builds("{}/{}".format, st.sampled_from(["", "/a", "b/c"]), st.text("xyé.", min_size=1))
)


@given(paths=PATHS)
def test_paths_come_back_each_once_in_the_order_given(paths):
    files = ShardFiles.of(paths)
    wanted = list(dict.fromkeys(paths))
    assert list(files) == wanted
    assert [files[i] for i in range(len(files))] == wanted
    assert files[1:] == wanted[1:]
    assert len(files) == len(wanted)


def test_names_that_are_no_text_come_back():
    assert list(ShardFiles.of(["/a/b\udce9.tar"])) == ["/a/b\udce9.tar"]


def test_a_shard_takes_no_more_than_its_name():
    names = np.array([b"shard-%06d.tar" % i for i in range(1000)])
    files = ShardFiles([FolderFiles("/data", names)])
    assert sum(part.names.nbytes for part in files.parts) == 16_000

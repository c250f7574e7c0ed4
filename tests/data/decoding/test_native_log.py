import os

from worldmodel_train.data.decoding.native_log import recording


def test_what_is_written_to_the_error_channel_is_kept():
    with recording() as log:
        os.write(2, b"[h264] error while decoding MB 0 6\n")
    assert log.text == "[h264] error while decoding MB 0 6"


def test_the_channel_is_given_back_also_after_an_error():
    before = os.fstat(2)
    try:
        with recording():
            raise KeyError
    except KeyError:
        pass
    assert (os.fstat(2).st_dev, os.fstat(2).st_ino) == (before.st_dev, before.st_ino)


def test_silence_is_empty():
    with recording() as log:
        pass
    assert log.text == ""

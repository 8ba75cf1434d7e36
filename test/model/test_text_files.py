import pytest

from mpvss_model import CheckpointError, DataError
from mpvss_model.text_files import read_json_object, read_text


@pytest.mark.parametrize("content", ["Tür\n".encode(), "Tür\n".encode("utf-8-sig")])
def test_utf8_is_read_with_and_without_a_byte_order_mark(tmp_path, content):
    (tmp_path / "names.txt").write_bytes(content)
    assert read_text(tmp_path / "names.txt") == "Tür\n"


@pytest.mark.parametrize(
    ("content", "place"), [(b"wall\nT\xfcr\n", "0xfc in line 2"), ("Tür".encode("utf-16"), "0xff in line 1")]
)
def test_another_encoding_is_named_with_its_place(tmp_path, content, place):
    (tmp_path / "names.txt").write_bytes(content)
    with pytest.raises(DataError, match=f"names.txt' is not UTF-8 text: byte {place}; save it as UTF-8"):
        read_text(tmp_path / "names.txt")


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(CheckpointError, match="cannot read '.*none.txt': No such file"):
        read_text(tmp_path / "none.txt", CheckpointError)


@pytest.mark.parametrize(
    ("content", "message"),
    [("{broken", "is no JSON file: "), ("[]", "but holds a list"), ("[" * 100_000, "nested too deeply")],
)
def test_json_must_be_an_object(tmp_path, content, message):
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(DataError, match=message):
        read_json_object(tmp_path / "a.json")

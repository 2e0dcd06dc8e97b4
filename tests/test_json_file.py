import pytest

from genomenet import json_file


def test_what_is_there_is_read(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('{"a": [1, 2.5, true, null, "å\\n"], "b": {"a": -3}}', "utf-8")
    expected = {"a": [1, 2.5, True, None, "å\n"], "b": {"a": -3}}
    assert json_file.read(path) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not JSON"),
        ("", "is not JSON"),
        (b"\xff\xfe", "is not JSON"),
        ("[" * 100_000, "nested too deeply"),
        ("[" * 100_000 + "]" * 100_000, "nested too deeply"),
        ('{"a": 1, "b": {"c": 2, "c": 2}}', "'c' occurs twice"),
        ('{"a": NaN}', "NaN is not a finite number"),
        ('{"a": [-Infinity]}', "-Infinity is not a finite number"),
        ('{"a": 1e999}', "the number 1e999 is too large"),
        ('{"a": 1' + "0" * 400 + "}", "is too large"),
        ('{"a": 1' + "0" * 10_000 + "}", "is too large"),
        ('{"a": ["b", "\\ud800"]}', r"'a' contains an unpaired surrogate: '\\ud800'"),
        ('{"\\udfff": 1}', "unpaired surrogate"),
    ],
)
def test_what_is_wrong_is_one_line_with_the_file(tmp_path, text, message):
    path = tmp_path / "a.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ValueError, match=message) as error:
        json_file.read(path)
    assert str(error.value).startswith(f"{path} is not JSON: ")
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < len(str(path)) + 200


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(ValueError, match=r"b.json cannot be read: No such file"):
        json_file.read(tmp_path / "b.json")
    with pytest.raises(ValueError, match=r"cannot be read: Is a directory"):
        json_file.read(tmp_path)

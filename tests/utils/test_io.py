"""Writing files: what cannot be written is one line, and no device or link is replaced by a file."""

import os
import threading

import pytest

from paft.errors import UserError
from paft.utils.io import read_jsonl, write_text


@pytest.mark.parametrize("name", ["/proc/report.html", "x" * 300])
def test_a_file_that_cannot_be_written_is_one_line_with_what_to_do(tmp_path, name):
    with pytest.raises(UserError, match=r"cannot write: .*; choose another --output"):
        write_text(tmp_path / name, "text")


def test_a_key_that_is_there_twice_is_refused_by_line(tmp_path):
    file = tmp_path / "rows.jsonl"
    file.write_text('{"text": "a", "label": "yes"}\n{"text": "b", "label": "yes", "label": "no"}\n')
    with pytest.raises(UserError, match=r"rows\.jsonl:2: the key 'label' is there twice; keep one"):
        list(read_jsonl(file))


def test_a_stream_is_written_to_and_not_replaced_by_a_file(tmp_path):
    pipe, read = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()))
    reader.start()
    write_text(pipe, "text")
    reader.join(5)
    assert read == ["text"]
    assert pipe.is_fifo()


def test_the_file_behind_a_link_is_written_and_the_link_stays(tmp_path):
    link, file = tmp_path / "link", tmp_path / "file"
    link.symlink_to(file)
    for text in ("one", "two"):
        write_text(link, text)
        assert link.is_symlink()
        assert file.read_text() == text

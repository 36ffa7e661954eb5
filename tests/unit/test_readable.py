"""Tables for programs hold what others wrote, whatever it is."""

import csv
import io

from dbd_ray.readable import csv_text


def test_a_lone_carriage_return_ends_no_row() -> None:
    rows = [["path", "share"], ["Icon\r", "1"], ["a\rb\n,\"c'.jpg", ""], ["plain", "2"]]
    text = csv_text(rows)
    assert list(csv.reader(io.StringIO(text, newline=""))) == rows
    assert text.splitlines()[0] == "path,share"

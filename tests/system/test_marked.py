"""Tables between marks in Markdown files."""

import marked
import pytest

TEXT = "before\n<!-- errors -->\nold\n<!-- end of errors -->\nafter\n"


def test_only_what_is_between_the_marks_changes(tmp_path):
    path = tmp_path / "page.md"
    path.write_text(TEXT + "<!-- my runs -->\n<!-- end of my runs -->\n", encoding="utf-8")
    marked.write(path, errors="| new |\n", my_runs="more")
    assert path.read_text(encoding="utf-8") == (
        "before\n<!-- errors -->\n| new |\n<!-- end of errors -->\nafter\n"
        "<!-- my runs -->\nmore\n<!-- end of my runs -->\n"
    )


@pytest.mark.parametrize(
    "text", ["", TEXT + TEXT, "<!-- end of errors -->\n<!-- errors -->\n", "<!-- errors -->\n"]
)
def test_marks_that_are_not_there_once(text):
    with pytest.raises(ValueError, match="mark='errors'"):
        marked.replaced(text, "errors", "new")

import jinja2
import pytest

from genomenet import html_page


def test_text_of_others_cannot_become_markup():
    page = html_page.render("table.html", above="<b>", head=["a&b"], rows=[["<i>", 1]])
    assert page == (
        "<p>&lt;b&gt;</p>\n<table>\n<tr><th>a&amp;b</th></tr>\n"
        "<tr><td>&lt;i&gt;</td><td>1</td></tr>\n</table>\n"
    )


def test_a_name_that_is_missing_is_an_error():
    with pytest.raises(jinja2.UndefinedError, match="'motifs' is undefined"):
        html_page.render("motifs.html", title="", about="", warnings=[])

import re

from readme_table import README, ROOT, SECTION, table


def test_the_table_of_fields_is_the_parameter_table():
    assert SECTION.search(README.read_text("utf8"))[0] == table(), "run: python tests/readme_table.py"


def test_every_link_into_the_repository_leads_somewhere():
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", README.read_text("utf8")):
        assert (ROOT / target).exists(), target

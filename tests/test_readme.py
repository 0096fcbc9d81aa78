import pytest
from readme_table import README, TABLES, section, table


@pytest.mark.parametrize("name", TABLES)
def test_a_table_of_the_readme_is_the_one_in_the_code(name):
    assert section(name).search(README.read_text("utf8"))[0] == table(name), "run: python tests/readme_table.py"

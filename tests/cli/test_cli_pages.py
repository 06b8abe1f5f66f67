"""`jaxmech report` and `jaxmech explore`: which observations they show."""

import pytest

from jaxmech.cli import main

ONE = """
[[traders]]
name = "a"
count = 3
risk_capacity = 1.0
endowment = { law = "uniform", lower = -1.0, upper = 1.0 }
"""


@pytest.mark.slow
def test_pages_show_the_table_that_the_market_file_names_or_the_command(tmp_path, capsys):
    market = tmp_path / "market.toml"
    market.write_text(ONE + '[provenance]\nobservations = "seen.csv"\n')
    asked = ["report", str(market), "--over", "a.risk_capacity=0.5,1.5", "--out", str(tmp_path / "report.html")]
    assert main(asked) == 0
    assert "seen.csv, which" in capsys.readouterr().err
    (tmp_path / "seen.csv").write_text("group,endowment\na,0.1\na,-0.25\n")
    assert main(asked) == 0
    assert '"latest": -0.25' in (tmp_path / "report.html").read_text()
    (tmp_path / "other.csv").write_text("who,z\na,0.1\na,0.75\n")
    other = ["--observations", str(tmp_path / "other.csv"), "--column", "z", "--group-column", "who"]
    assert main([*asked, *other]) == 0
    assert '"latest": 0.75' in (tmp_path / "report.html").read_text()
    (tmp_path / "other.csv").write_text("who,z\nnobody,0.1\n")
    assert main([*asked, *other]) == 2
    assert "observations are of 'nobody'" in capsys.readouterr().err

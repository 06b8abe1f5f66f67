"""Nothing that cannot be is answered: each bad input is a typed error before anything is compiled, or a status.

Hypothesis draws which function, which argument and which value (`bad_inputs`); the whole is deterministic.
"""

import re
from collections import Counter

import bad_inputs
import hypothesis
import jax
import numpy as np
import pytest
from hypothesis import strategies as st

import jaxmech as jm
from jaxmech.cli import main
from jaxmech.cli.specs import read_calibration, read_spec
from jaxmech.testing.random_markets import DEALERS_AND_FUND

TRIED = Counter()
LEAST = 2000
SETTINGS = {
    "derandomize": True,
    "deadline": None,
    "database": None,
    "suppress_health_check": list(hypothesis.HealthCheck),
}


def refused(call, *arguments, **named):
    """MarketError, with a message that a reader can do something with."""
    with pytest.raises(jm.MarketError) as error:
        call(*arguments, **named)
    assert len(str(error.value)) > 10


@pytest.mark.slow
@pytest.mark.parametrize(
    ("cases", "examples"),
    [
        (bad_inputs.market_cases, 700),
        (bad_inputs.solver_cases, 700),
        (bad_inputs.study_cases, 400),
        (bad_inputs.fit_cases, 300),
    ],
    ids=["laws and traders", "solvers", "studies", "fits"],
)
def test_a_bad_argument_is_refused_by_every_public_function(cases, examples):
    table = cases()
    spoilt = [
        (name, key, k) for name, case in table.items() for key, values in case.bad.items() for k in range(len(values))
    ]

    @hypothesis.settings(max_examples=examples, **SETTINGS)
    @hypothesis.given(st.sampled_from(spoilt))
    def holds(chosen):
        name, key, place = chosen
        case = table[name]
        refused(case.call, **(case.good | {key: case.bad[key][place]}))
        TRIED["arguments"] += 1

    holds()


def test_every_public_function_that_takes_input_is_tried():
    tried = {re.split(r"[ (]", name)[0] for cases in bad_inputs.ALL for name in cases()}
    tried |= {law.__name__ for law in bad_inputs.LAWS} | {"Market", "MarketError", "Traders"}
    answers = {"Answers", "Audit", "Bands", "Calibration", "CaraSchedule", "Certificate", "Example1", "Fit", "Frontier"}
    answers |= {"CommitmentsOfTraders", "CotMarket", "DoubleAuction", "GlobalSensitivity", "LeastCompetition"}
    answers |= {"IrregularMechanism", "Reform"}
    answers |= {"Mechanism", "MisjudgedCapacity", "Outcomes", "RobustDesign", "Robustness", "Sensitivity"}
    answers |= {"BalancedPayments", "SidePayments", "SimpleSchedule", "Simulation", "WorstCase"}
    elsewhere = {"Density", "FromDensity", "Range"}  # test_checks and the tables of sweeps
    assert set(jm.__all__) - answers - elsewhere <= tried


# Numbers that are finite, positive and out of proportion: nothing to refuse, and nothing to be answered with NaN.
EXTREME = st.sampled_from([1e-320, 1e-300, 1e-154, 1e-30, 1e-9, 1.0, 1e9, 1e30, 1e154, 1e300, 1.7e308])


@hypothesis.settings(max_examples=150, **SETTINGS)
@hypothesis.given(EXTREME, EXTREME, EXTREME, st.sampled_from([-1, 0, 1]), EXTREME, st.sampled_from([0.0, 0.5, 1.0]))
def test_numbers_out_of_all_proportion_are_told_from_answers(width, capacity, other, side, place, alpha):
    with np.errstate(all="ignore"):
        lower, upper = side * place, side * place + width
    TRIED["proportions"] += 1
    try:
        market = jm.Market.of(
            jm.Traders(jm.Uniform(lower, upper), capacity, 2, "a"), jm.Traders(jm.Uniform(0.0, 1.0), other, 1, "b")
        )
    except jm.MarketError:
        return
    mechanism = jm.solve(market, alpha)
    achieved, certificate = jm.outcomes(mechanism), jm.certify(mechanism)
    numbers = np.concatenate([np.ravel(part) for part in (*achieved, mechanism.eta, mechanism.ends, *certificate[:-1])])
    assert np.isfinite(numbers).all() or not certificate.ok


SPOILT_TEXT = (
    "nan",
    "inf",
    "-1",
    "0",
    '"1"',
    "true",
    "[]",
    "{}",
    "1e400",
    "[1, 2]",
    "1979-05-27",
    "=",
    '"',
    "[[",
    "",
    "\0",
    "é",
)


def mutated(draw, text):
    """A text with one value, key, line or character replaced by another, dropped or doubled."""
    lines = text.strip().splitlines()
    place = draw(st.integers(0, len(lines) - 1))
    how = draw(st.sampled_from(["value", "key", "drop", "double", "cut", "insert"]))
    line = lines[place]
    if how == "value":
        values = list(re.finditer(r'(?<=[=\[,] )-?[\d.]+|(?<=\[)-?[\d.]+|"[^"]*"|true', line))
        if values:
            one = draw(st.sampled_from(values))
            line = line[: one.start()] + draw(st.sampled_from(SPOILT_TEXT)) + line[one.end() :]
    elif how == "key":
        keys = list(re.finditer(r"\w+(?=\"? =)", line))
        if keys:
            one = draw(st.sampled_from(keys))
            line = (
                line[: one.start()]
                + draw(st.sampled_from(["misspelt", "x", "1", "alpha", "count"]))
                + line[one.end() :]
            )
    elif how == "cut":
        line = line[: draw(st.integers(0, len(line)))]
    elif how == "insert":
        at = draw(st.integers(0, len(line)))
        line = line[:at] + draw(st.sampled_from(SPOILT_TEXT)) + line[at:]
    lines[place : place + 1] = [] if how == "drop" else [line, line] if how == "double" else [line]
    return "\n".join(lines) + "\n"


def checked_market_of(path):
    market = jm.Market.from_toml(path)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(market))


def checked_spec_of(path):
    design, settings = read_spec(path)
    assert ((design.alpha >= 0) & (design.alpha <= 1)).all()
    assert design.points >= 1
    assert set(settings) >= {"derivatives"}


def checked_calibration_of(path):
    from jaxmech.derivatives.calibration_problem import calibration_problem

    market, free, settings = read_calibration(path)
    calibration_problem(market, free, settings.get("targets"), settings.get("alpha", 0.5), settings.get("maximise"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "read"),
    [
        (DEALERS_AND_FUND, checked_market_of),
        (bad_inputs.LAWS_AS_TEXT, checked_market_of),
        (bad_inputs.SPEC, checked_spec_of),
        (bad_inputs.CALIBRATION, checked_calibration_of),
    ],
    ids=["market", "laws", "sweep", "calibration"],
)
def test_a_mutated_file_is_refused_or_means_something(text, read, tmp_path):
    (tmp_path / "market.toml").write_text(DEALERS_AND_FUND)
    path = tmp_path / "given.toml"

    @hypothesis.settings(max_examples=150, **SETTINGS)
    @hypothesis.given(st.data())
    def holds(data):
        path.write_text(mutated(data.draw, text))
        TRIED["files"] += 1
        try:
            read(path)
        except jm.MarketError as error:
            assert str(path) in str(error) or len(str(error)) > 10

    read_before = path.write_text(text) and read(path)
    assert read_before is None
    holds()


ARGUMENTS = ("nan", "inf", "-0.1", "1.1", "1e400", "half", "", "0x1", "None", "1j", "-1", "[0.5]")


def command_lines(folder):
    """Command lines with one bad argument each."""
    market = str(folder / "market.toml")
    for alpha in ARGUMENTS:
        for command in ("solve", "compare", "fees", "sensitivity"):
            yield [command, market, f"--alpha={alpha}"]
    for path in ("/nowhere.toml", "/", "", str(folder), str(folder / "binary.toml")):
        yield from (["solve", path, "--alpha=0.5"], ["frontier", path], ["calibrate", path])
        yield ["sweep", path, "--out", str(folder / "out")]
    yield from ([command] for command in ("solve", "sweep", "misspelt", "fit", "calibrate", "--alpha"))
    yield from (["frontier", market, f"--tolerance={value}"] for value in ("0", "-1", "nan", "inf", "2", "small"))
    yield from (["fees", market, "--alpha=0.5", f"--sizes={value}"] for value in ("0", "-1", "0.5", "many"))
    yield from (["frontier", market, "--out", market], ["fees", market, "--alpha=0.5", "--price-unit=euro"])
    for name, value in (
        ("family", "misspelt"),
        ("lower", "nan"),
        ("lower", "9"),
        ("upper", "-inf"),
        ("column", "none"),
        ("count", "0"),
        ("count", "0.5"),
        ("risk-capacity", "-1"),
        ("risk-capacity", "nan"),
    ):
        yield ["fit", str(folder / "data.csv"), "--column=x", "--out", str(folder / "new.toml"), f"--{name}={value}"]
    yield ["fit", str(folder / "binary.toml"), "--column=x", "--out", str(folder / "new.toml")]


def test_the_command_line_answers_bad_arguments_with_exit_code_2(tmp_path, capsys):
    (tmp_path / "market.toml").write_text(DEALERS_AND_FUND)
    (tmp_path / "binary.toml").write_bytes(bytes(range(256)))
    (tmp_path / "data.csv").write_text("x\n" + "\n".join(map(str, np.linspace(-1, 1, 40))))
    for line in command_lines(tmp_path):
        try:
            code = main(line)
        except SystemExit as refusal:  # argparse's own
            code = refusal.code
        TRIED["commands"] += 1
        said = capsys.readouterr()
        assert code == 2, line
        assert said.err, line
        assert not said.out, line


def test_at_least_two_thousand_bad_inputs_were_tried():
    if TRIED.total() < LEAST:  # alone, or on several workers
        pytest.skip(f"{TRIED.total()} in this process; run the whole file")
    print(dict(TRIED))

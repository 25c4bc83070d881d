"""Digits are read by their separators: thousands, decimals, or no single number."""

from fractions import Fraction

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from paft.scoring.number import find
from paft.scoring.number_text import joined, numbers, plain


def readings(text):
    return [(text[number.start : number.end], number.value) for number in numbers(text)]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0,125", "0.125"), ("-0,5", "-0.5"), ("00,125", "0.125"), ("012,345", "12.345"), ("$0,125", "0.125"), ("0,125e3", "125"),
    ],
)  # fmt: skip
def test_a_comma_after_a_leading_zero_is_a_decimal_comma_and_said_to_be_one(text, value):
    [number] = numbers(text)
    assert number.value == Fraction(value)
    assert "read as" in number.note


@pytest.mark.parametrize(
    "text", ["0.125,5", "0,125.5", "0,125,000", "0.125.000", "0,12,345", "0'125", "0_125", "00'125.5"]
)
def test_a_group_with_a_leading_zero_groups_no_thousands(text):
    [number] = numbers(text)
    assert number.value is None
    assert number.note


def test_a_blank_after_a_leading_zero_separates_two_numbers():
    assert readings("At 10:00 125 came")[-2:] == [("00", 0), ("125", 125)]


MARKS = st.sampled_from(",.'_ \u00a0\u2009")
GROUPS = st.sampled_from(["0", "5", "00", "25", "125", "000", "1250"])
AFTER_ZERO = st.tuples(
    st.sampled_from(["0", "00", "012", "0000"]),
    st.lists(st.tuples(MARKS, GROUPS).map("".join), min_size=1, max_size=4),
).map(lambda parts: parts[0] + "".join(parts[1]))


@example("0 125")
@given(AFTER_ZERO)
def test_what_follows_a_leading_zero_is_never_read_as_thousands(text):
    digits, value = readings(text)[0]
    if value is not None:
        assert not set(digits) & set("'_ \u00a0\u2009")
        assert value == Fraction(digits.replace(",", "."))


@given(st.lists(st.tuples(GROUPS, st.sampled_from(",./")), max_size=4), GROUPS)
def test_digits_are_read_with_all_their_separators_or_not_at_all(groups, last):
    text = "".join(group + mark for group, mark in groups) + last
    assert [digits for digits, _ in readings(text)] == [text]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1,234/5", None), ("1/2,5", None), ("1/2,3/4", None), (".5,125", None), ("10 000/20", None), ("1,234.567,8", None),
        ("1,234,5", None), ("1.234.5", None), ("1/234/567", None), ("1,234 567", "1234"),
        ("1 200,50/month", "1200.5"), ("3 1/2/month", "3.5"), ("1 1\u20442", "1.5"), ("12 000 m", "12000"), ("1\u202f234,5", "1234.5"),
        ("12,34,567.8", "1234567.8"), ("1.234.567", "1234567"), ("5'10", "5"), ("101_2", "101"), ("10 / 4", "2.5"), ("1250 125", "1250"),
    ],
)  # fmt: skip
def test_digits_are_read_by_what_separates_them(text, value):
    first = readings(text)[0][1]
    assert first == (None if value is None else Fraction(value))


def test_digits_of_other_scripts_are_grouped_too():
    values = [value for _, value in readings("\uff11,\uff12\uff13\uff14; \u0661.\u0662\u0663\u0664,\u0665")]
    assert values == [1234, Fraction("1234.5")]


WHOLE = st.integers(0, 10**12)
DECIMALS = st.from_regex(r"[0-9]{0,5}", fullmatch=True)


def grouped(whole, mark):
    return f"{whole:,}".replace(",", mark)


@pytest.mark.parametrize(
    ("mark", "point"),
    [(",", "."), (".", ","), (" ", ","), ("\u202f", ","), ("'", "."), ("_", "."), ("", "."), ("", ",")],
)
@given(WHOLE, DECIMALS)
def test_a_number_grouped_in_thousands_is_read_back_in_every_style(mark, point, whole, decimals):
    text = grouped(whole, mark) + (point + decimals if decimals else "")
    has_two_readings = text.count(".") + text.count(",") == 1 and len(decimals) in (0, 3)  # 1.234 and 1,234
    assume(not has_two_readings or whole == 0)
    assert readings(text) == [(text, Fraction(f"{whole}.{decimals or 0}"))]


@pytest.mark.parametrize("text", ["12 ± 1", "12±1", r"12 \pm 1", "12 +/- 0.5"])
def test_a_number_with_its_uncertainty_is_no_single_number(text):
    first, second = numbers(plain(text))
    assert joined(plain(text), first, second)


@pytest.mark.parametrize("text", ["1.2 x 10^-3", "1.2·10^-3", "1.2\u00d710\u207b\u00b3", "1.2 · 10\u207b\u00b3"])
def test_a_power_of_ten_is_read_however_it_is_typed(text):
    [number] = numbers(plain(text))
    assert number.value == Fraction(12, 10_000)


@pytest.mark.parametrize(
    "text",
    [r"$\boxed{2^{10}}$", r"\boxed{10^{-3}}", "sqrt(2)", "pi/2", "2*pi", r"\boxed{\{1,2\}}", "C(5,2)", r"\boxed{3 \text{ or } -3}",
     r"\boxed{\pm 3}", "x = 3 or x = -3", "10 km to 15 km", "5 minutes or 6 minutes", "March 3, 2024", "3rd of March 2024",
     "3\u5104" "5000\u4e07"],
)  # fmt: skip
def test_a_part_of_an_expression_a_pair_or_a_date_is_no_number(text):
    number = find(text, "auto")
    assert number.value is None
    assert number.note


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12\u4e07\u5143", 120_000), ("3\u5104", 300_000_000), ("2 Millionen", 2_000_000), ("2 millones", 2_000_000),
        ("2 milh\u00f5es", 2_000_000), ("2 millions d'euros", 2_000_000), ("3.5 \u043c\u043b\u043d", 3_500_000), ("3 lakh", 300_000),
        ("2 mil", 2_000), ("3\u5343\u7c73", 3), ("5m", 5), ("$5m", 5_000_000), ("5 pinecones", 5),
    ],
)  # fmt: skip
def test_words_that_multiply_a_number_are_read_in_many_languages(text, value):
    assert find(text, "auto").value == value

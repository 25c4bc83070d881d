"""A stated number is read where it is the only one that can be meant."""

import pytest

from paft.scoring.number import find


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("**Answer:** In 2 years, Tom will be **14** years old.", 14), ("The answer is x = 5, since 2 + 3 = 5.", 5),
        ("As a result, there are 20 apples. After eating 5, 15 remain.", 15), ("The answer is 18 because 9 * 2 = 18", 18),
        ("The result is 24 clips in May. So in total 48 + 24 = 72 clips.", 72), ("The answer is about 5 km, or 3 miles", 5),
        ("The answer is found by dividing 48 by 2. So Natalia sold 24 clips.", 24), ("The answer, therefore, is 18.", 18), ("The answer is very -5 (see page 3)", -5),
        ("The solution is to add 5 and 6.\nThat gives 11.", 11), ("The answer is: she makes 9 * 2 = $18 a day", 18),
        ("To find the answer, we need: 48 / 2 = 24", 24), ("The answer is that 18 are left.", 18), ("She has 18 left [1].", 18),
    ],
)  # fmt: skip
def test_a_statement_gives_the_number_that_a_person_reads(text, value):
    assert find(text, "auto").value == value


@pytest.mark.parametrize(
    "text",
    ["The final answer is that all 5 boxes weigh 40 kg.", "The answer is the product of 6 and 7, which is 42.",
     "Answer: Each of the 4 children gets 5 apples.", "Answer: (2) 18"],
)  # fmt: skip
def test_a_statement_with_several_numbers_is_unread_and_says_so(text):
    number = find(text, "auto")
    assert number.value is None
    assert number.note == "several numbers, none of which is said to be the answer"


@pytest.mark.parametrize(
    "text",
    ["The answer is 14. Wait, that's wrong. It's 15.", "Answer: 14\n\nWait, I made an error. So it is 15.",
     "#### 14\nLet me reconsider."],
)  # fmt: skip
def test_a_number_that_is_taken_back_is_no_answer(text):
    assert find(text, "auto").value is None

"""The task bookings: every record follows from its message by the rules of the task's config."""

import json
import re
from collections import Counter
from itertools import product

import pytest

from conftest import ROOT
from paft.config.load import load_config
from paft.config.schema import BankSource
from paft.prompts.files import load_prompts
from paft.prompts.screen import overlap, screen
from paft.prompts.similarity import Wordings, most_similar
from paft.tasks.load import load_task

FOLDER = ROOT / "src/paft/tasks/bookings"
SPLITS = ("train", "test")
KEYS = ("name", "day", "time", "guests")

ROWS = {
    split: [json.loads(line) for line in (FOLDER / f"{split}.jsonl").read_text(encoding="utf-8").splitlines()]
    for split in SPLITS
}
RECORDS = {split: [json.loads(row["record"]) for row in rows] for split, rows in ROWS.items()}
PAIRS = [
    (row["message"], record) for split in SPLITS for row, record in zip(ROWS[split], RECORDS[split], strict=True)
]

DAYS = {
    "Monday": "mon|monday",
    "Tuesday": "tues?|tuesday",
    "Wednesday": "weds?|wednesday",
    "Thursday": "thurs?|thu|thursday",
    "Friday": "fri|friday",
    "Saturday": "sat|saturday",
    "Sunday": "sun|sunday",
    "today": "today|tonight|this (?:morning|afternoon|evening)",
    "tomorrow": "tomorrow|tmrw",
}
UNITS = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen".split()  # noqa: SIM905
UNITS += ["sixteen", "seventeen", "eighteen", "nineteen", "twenty"]
NUMBERS = {word: number for number, word in enumerate(UNITS)} | {"thirty": 30, "forty": 40, "forty-five": 45}
WORD = "|".join(sorted(NUMBERS, key=len, reverse=True))
MINUTES = {"five": 5, "ten": 10, "quarter": 15, "twenty": 20, "half": 30}
ALONE = r"\b(?:just me|only me|me only|alone|on my own|by myself)\b"


def words(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())


def days(message: str) -> list[str]:
    """Return the days that a message names."""
    return [day for day, form in DAYS.items() if re.search(rf"(?<!\w)(?:{form})s?(?!\w)", message.casefold())]


def clock_times(message: str) -> set[str]:
    """Return every time that a message may mean, both halves of the day where it may mean either."""
    text = message.casefold()

    def number(word: str) -> int:
        return int(word) if word.isdigit() else NUMBERS[word]

    times = [(number(h), number(m)) for h, m in re.findall(r"(?<!\d)(\d{1,2})[:.h]?(\d{2})(?!\d)", text)]
    times += [(number(h), number(m)) for h, m in re.findall(rf"\b({WORD}) ({WORD})\b", text)]
    times += [(number(h), 0) for h in re.findall(rf"(?<![\d:.])(\d{{1,2}}(?![\d:])|\b(?:{WORD})\b)", text)]
    for minutes, side, hour in re.findall(rf"\b({'|'.join(MINUTES)}) (past|to) ({WORD}|\d+)\b", text):
        past = side == "past"
        times.append((number(hour) - (not past), MINUTES[minutes] if past else 60 - MINUTES[minutes]))
    times += [(12, 0)] * bool(re.search(r"\b(?:noon|midday)\b", text)) + [(0, 0)] * ("midnight" in text)
    return {
        f"{(hour + half) % 24:02}:{minute:02}"
        for (hour, minute), half in product(times, (0, 12))
        if minute < 60 and hour + half <= 24
    }


def counts(message: str) -> set[str]:
    """Return the numbers that a message states, in digits."""
    text = message.casefold()
    digits = re.findall(r"(?<![\d:.])\d{1,2}(?![\d:])", text)
    spelled = (str(NUMBERS[word]) for word in re.findall(rf"(?<![\w-])({WORD})(?![\w-])", text))
    alone = ["1"] if re.search(ALONE, text) else []
    both = ["2"] if "both of us" in text else []
    return {*digits, *spelled, *alone, *both}


@pytest.mark.parametrize(("split", "least"), [("train", 600), ("test", 200)])
def test_there_are_as_many_examples_as_promised_each_with_a_message_and_a_record(split, least):
    assert len(ROWS[split]) >= least
    assert all(list(row) == ["message", "record"] and row["message"].strip() for row in ROWS[split])


def test_a_record_is_compact_json_with_four_texts_in_a_fixed_order():
    for split in SPLITS:
        for row, record in zip(ROWS[split], RECORDS[split], strict=True):
            assert tuple(record) == KEYS, row
            assert all(isinstance(value, str) and value == value.strip() for value in record.values()), row
            assert row["record"] == json.dumps(record, ensure_ascii=False), row


def test_a_name_is_in_the_message_word_for_word_and_has_no_title():
    for message, record in PAIRS:
        name = record["name"]
        assert re.search(rf"(?<!\w){re.escape(name)}(?!\w)", message), (name, message)
        assert not re.match(r"(?:mr|mrs|ms|mme|dr|prof|professor|sir|lady|captain|coach)\b", name.casefold()), name


def test_a_day_is_one_of_nine_and_the_message_names_it():
    for message, record in PAIRS:
        assert record["day"] in ("", *days(message)), (record, message)


def test_a_time_is_written_on_the_24_hour_clock_and_the_message_gives_it():
    for message, record in PAIRS:
        assert record["time"] in ("", *clock_times(message)), (record, message)


def test_a_number_of_guests_is_in_digits_and_the_message_states_it():
    for message, record in PAIRS:
        assert record["guests"] in ("", *counts(message)), (record, message)


@pytest.mark.parametrize("split", SPLITS)
def test_no_constant_record_does_well(split):
    """No value is frequent, every field is missing now and then, and messages hold values that do not count."""
    values = {key: Counter(record[key] for record in RECORDS[split]) for key in KEYS}
    total = len(RECORDS[split])
    for key in KEYS:
        assert 0.03 < values[key][""] / total < 0.25, (key, values[key][""] / total)
    for key, most in (("name", 0.01), ("day", 0.2), ("time", 0.1), ("guests", 0.25)):
        del values[key][""]
        assert values[key].most_common(1)[0][1] / total <= most, (key, values[key].most_common(1))
    assert set(values["day"]) == set(DAYS)
    assert min(values["day"].values()) / total > 0.05
    assert len(values["time"]) >= 70
    several_days = sum(len(days(row["message"])) > 1 for row in ROWS[split])
    several_numbers = sum(len(counts(row["message"])) > 1 for row in ROWS[split])
    assert several_days / total > 0.04
    assert several_numbers / total > 0.1


def test_messages_differ_in_length_opening_and_name():
    lengths = sorted(len(message.split()) for message, _ in PAIRS)
    assert lengths[0] >= 8
    assert lengths[-1] <= 70
    assert lengths[len(lengths) // 10] < 16
    assert lengths[len(lengths) * 9 // 10] > 32
    openings = Counter(tuple(words(message)[:2]) for message, _ in PAIRS)
    assert openings.most_common(1)[0][1] / len(PAIRS) < 0.03
    names = Counter(record["name"].casefold() for _, record in PAIRS if record["name"])
    assert names.most_common(1)[0][1] == 1


def test_no_test_message_is_like_a_training_message():
    from rapidfuzz import process
    from rapidfuzz.distance import Indel

    texts = {split: [" ".join(words(row["message"])) for row in ROWS[split]] for split in SPLITS}
    everything = texts["train"] + texts["test"]
    assert len(set(everything)) == len(everything)
    # by words, as prompts are compared
    alphabet: dict[str, str] = {}
    encoded = {
        split: [
            "".join(alphabet.setdefault(w, chr(0x4E00 + len(alphabet))) for w in text.split()) for text in part
        ]
        for split, part in texts.items()
    }
    assert process.cdist(encoded["test"], encoded["train"], scorer=Indel.normalized_similarity).max() < 0.9
    known = {eight for text in texts["train"] for eight in windows(text.split(), 8)}
    assert not [text for text in texts["test"] if known & windows(text.split(), 8)]


def windows(sequence: list[str], size: int) -> set[tuple[str, ...]]:
    return {tuple(sequence[i : i + size]) for i in range(len(sequence) - size + 1)}


def test_a_record_has_at_most_45_tokens(embedded):
    from transformers import AutoTokenizer

    from paft.models.load import model_folder

    tokenizer = AutoTokenizer.from_pretrained(model_folder(embedded))
    records = [row["record"] for split in SPLITS for row in ROWS[split]]
    assert max(map(len, tokenizer(records, add_special_tokens=False).input_ids)) <= 45


TASK, *EXAMPLES = load_task(load_config(FOLDER / "config.yaml").task)


def test_the_bank_has_its_size_and_passes_every_rule_with_every_example():
    for split, size in (("train", 410), ("test", 56)):
        prompts = bank(split)
        _, out = screen(prompts, TASK, [*EXAMPLES[0], *EXAMPLES[1]], off=())
        assert out == []
        assert len(prompts) == size


def test_the_test_prompts_of_the_bank_are_worded_unlike_the_training_prompts():
    assert overlap(bank("train"), bank("test"), TASK) == []
    wordings = Wordings({})
    known = [wordings.encode(prompt) for prompt in bank("train")]
    assert not [p.text for p in bank("test") if most_similar(wordings.encode(p), known, 0.8)]


@pytest.mark.parametrize("split", SPLITS)
def test_the_prompts_ask_for_json_and_most_name_its_keys(split):
    texts = [f"{prompt.system or ''}\n{prompt.text}" for prompt in bank(split)]
    for text in texts:
        assert re.search(r"json|[{\[(<]\W*name\b|object|schema|string", text, re.IGNORECASE), text
        assert not re.search(
            r"\b(?:xml|yaml|csv|html|markdown|null|reasons?|an explanation)\b", text, re.IGNORECASE
        ), text
        assert len(words(text)) <= 80, text
    named = sum(all(re.search(rf"\b{key}\b", text, re.IGNORECASE) for key in KEYS) for text in texts)
    assert named / len(texts) > 0.95
    assert sum("\n" in text.strip() for text in texts) / len(texts) > 0.15


def bank(split: str):
    return load_prompts(BankSource(bank="bookings"), split, 0)

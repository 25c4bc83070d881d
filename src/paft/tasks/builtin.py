"""The paper's five tasks and GSM8K, in the columns of the public data sets, and this package's bookings."""

from paft.config.task import OptionColumns, TaskConfig

_RACE = TaskConfig(
    name="race",
    description="Reading comprehension from English examinations: "
    "an article, a question on it and four options, of which one is right.",
    fields=["article", "question"],
    choices="options",
    target="answer",
    target_format="letter",
    answer="letter",
    top_threshold=0.85,
)

BUILTIN: dict[str, TaskConfig] = {
    "hellaswag": TaskConfig(
        name="hellaswag",
        description="Commonsense: the beginning of a description of an everyday scene "
        "and four endings, of which one is what happens next.",
        fields=["ctx"],
        choices="endings",
        target="label",
        target_format="zero-based",
        answer="letter",
        top_threshold=0.90,
    ),
    "piqa": TaskConfig(
        name="piqa",
        description="Physical commonsense: a goal and two ways to reach it, of which one works.",
        fields=["goal"],
        choices=OptionColumns(columns=["sol1", "sol2"]),
        target="label",
        target_format="zero-based",
        answer="letter",
        top_threshold=0.85,
    ),
    "winogrande": TaskConfig(
        name="winogrande",
        description="Commonsense: a sentence with a blank, written as _, and two options, of which one fills it.",
        fields=["sentence"],
        choices=OptionColumns(columns=["option1", "option2"]),
        target="answer",
        target_format="one-based",
        answer="letter",
        top_threshold=0.80,
    ),
    "race-middle": _RACE.model_copy(update={"name": "race-middle"}),
    "race-high": _RACE.model_copy(update={"name": "race-high"}),
    "gsm8k": TaskConfig(
        name="gsm8k",
        description="Arithmetic word problems from primary school: a question whose answer is a number, "
        "reached in a few steps that are written out.",
        fields=["question"],
        target="answer",  # the whole solution, which ends in "#### 18", is trained on
        answer="text",
        scorer="number",
        top_threshold=0.50,
    ),
    "bookings": TaskConfig(
        name="bookings",
        description="Messages in which people book a table, a tour, a lesson or the like. The answer is a JSON "
        "object with the keys name, day, time and guests, all texts, empty where the message does not say: the "
        "name without a title, the weekday in full or today or tomorrow, the start on the 24-hour clock, the "
        "number of people in digits.",
        fields=["message"],
        target="record",
        answer="text",
        scorer={"name": "json"},
    ),
}

ALIASES: dict[str, dict[str, str]] = {
    "winogrande": {"prompt": "sentence", "only_option1": "A", "only_option2": "B"},
}
"""Names that released prompt pools use for a slot; the columns of single options are aliases by themselves."""

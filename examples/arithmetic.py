"""Write a small task of word problems with one addition or subtraction, whose answers are numbers.

    python examples/arithmetic.py arithmetic
    paft run arithmetic/config.yaml --output runs/arithmetic

The folder gets 800 training and 200 test problems, 40 training and 12 test prompts, and a config. The same seed
gives the same files. It shows a free-text task with the scorer ``number`` that a small model can learn.
"""

import argparse
import json
import random
from collections.abc import Iterable
from pathlib import Path

NAMES = tuple(
    "Ana Ben Chidi Dara Emre Fatima Goran Hana Ivo Jun Kofi Lena Mei Nadia Omar Petra Quinn Rosa Sami Tuva".split()  # noqa: SIM905
)
ITEMS = "apples stamps marbles postcards eggs tickets pencils buttons shells cards bottles bulbs".split()  # noqa: SIM905

ADDITIONS = [
    "{name} has {a} {items} and gets {b} more. How many {items} does {name} have now?",
    "There are {a} {items} in one box and {b} in another. How many {items} are there in both boxes?",
    "{name} found {a} {items} on Monday and {b} on Tuesday. How many is that together?",
    "A shop sold {a} {items} before noon and {b} after it. How many {items} did it sell that day?",
    "{name} counted {a} {items}, and {other} counted {b}. What do the two counts add up to?",
    "{b} {items} are put on a shelf that already holds {a}. How many are on the shelf then?",
    "After {name} gave {other} {b} {items}, {other}, who had {a}, has how many?",
    "A bag with {a} {items} is poured into a jar with {b} {items}. How many {items} does the jar hold?",
]
SUBTRACTIONS = [
    "{name} has {a} {items} and gives {b} of them to {other}. How many {items} does {name} keep?",
    "Of {a} {items}, {b} are broken. How many {items} are whole?",
    "{name} needs {a} {items} and has {b}. How many {items} are missing?",
    "There were {a} {items} in the drawer. {name} took out {b}. How many are left?",
    "{name} has {a} {items}, {other} has {b}. How many more does {name} have?",
    "A shop had {a} {items} this morning and has sold {b} since. How many are still there?",
    "{other} borrowed {b} of the {a} {items} that {name} owns. How many {items} remain with {name}?",
    "The pack held {a} {items} and {b} have been used. How many are unused?",
]

TRAIN_PROMPTS = [
    "{problem}\nAnswer with a number.",
    "Solve this problem and reply with the result only.\n\n{problem}",
    "{problem}\n=",
    "Question: {problem}\nAnswer:",
    "You are given a word problem. Work it out in your head and write down just the number.\n{problem}",
    "What is the answer?\n{problem}",
    "Problem: {problem}\nResult:",
    "{problem} Give the number alone.",
    "Read carefully. {problem} Your answer, as digits:",
    'A pupil asks you: "{problem}" Tell them the number.',
    "How many? {problem}",
    "Compute the answer to the following.\n{problem}\nThe number is",
    "{problem}\n\nOnly digits, please.",
    "Exercise 12. {problem}\nSolution:",
    "Q: {problem}\nA:",
    "Here is a little puzzle from a school book. {problem} Write the number that solves it.",
    "Please help with this sum: {problem}",
    "[problem] {problem} [/problem]\nnumber:",
    "Return one integer.\n{problem}",
    "{problem} (answer with digits)",
    "I need the total or the difference, whichever fits: {problem}",
    "Quick maths! {problem}",
    'task = "{problem}"\nanswer =',
    "Do the arithmetic that this text asks for, and say nothing but the outcome: {problem}",
    "Text: {problem}\nNumber asked for:",
    "Below is a question about amounts. Reply with the amount.\n---\n{problem}\n---",
    "{problem}\nWrite the final figure.",
    "Fill in the blank. {problem} ____",
    "Give me a bare number for this one: {problem}",
    "- {problem}\n- Answer (number):",
    "Someone in the queue wants to know: {problem} What do you say? A number will do.",
    "Count it out. {problem}",
    "WORD PROBLEM\n{problem}\nANSWER",
    "Respond to the problem with its numeric answer.\n\n{problem}\n",
    "Work out the value.\n\n    {problem}\n\nValue:",
    "Can you tell me the number? {problem}",
    "Use addition or subtraction. {problem} Output the number.",
    "input: {problem}\noutput:",
    "{problem} Don't explain; the number is enough.",
    "For the quiz sheet, note the number that answers this: {problem}",
]
TEST_PROMPTS = [
    "{problem}\nThe correct number is:",
    "My daughter brought this home from school. What should she write? {problem}",
    "Evaluate: {problem}",
    "### Problem\n{problem}\n### Number\n",
    "State the numerical answer to this and stop.\n{problem}",
    '"{problem}" gives',
    "You mark homework. The question was: {problem} Which number earns full marks?",
    "{problem}\n\nReply in digits without any words.",
    "Calculate.\n{problem}",
    "Now it is your turn: {problem}",
    "The following needs one small calculation; type what comes out.\n\n{problem}",
    "Story: {problem}\nFigure:",
]


def problems(count: int, rng: random.Random) -> list[dict[str, str]]:
    """Return so many different problems with their answers."""
    made: dict[str, str] = {}
    while len(made) < count:
        a, b = sorted((rng.randint(2, 20), rng.randint(2, 20)), reverse=True)
        adds = rng.random() < 0.5
        name, other = rng.sample(NAMES, 2)
        shape = rng.choice(ADDITIONS if adds else SUBTRACTIONS)
        text = shape.format(name=name, other=other, items=rng.choice(ITEMS), a=a, b=b)
        made[text] = str(a + b if adds else a - b)
    return [{"problem": text, "answer": answer} for text, answer in made.items()]


CONFIG = """\
model: {path: embedded/smollm2-135m-instruct}
task:
  name: arithmetic
  description: A short word problem; its answer is one number
  train: train.jsonl
  test: test.jsonl
  fields: [problem]
  target: answer
  scorer: number
prompts:
  train: prompts/train.jsonl
  test: prompts/test.jsonl
  user: "Solve the problem. Answer with a number.\\n\\n{problem}"
training: {epochs: 3, batch_size: 8, learning_rate: 2.0e-3}
evaluation: {examples: 100, max_new_tokens: 24}
"""


def write(path: Path, rows: Iterable[dict[str, str]]) -> None:
    """Write rows as JSON lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def main() -> None:
    """Write the task into a folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rows = problems(1000, random.Random(f"arithmetic:{options.seed}"))
    write(options.folder / "train.jsonl", rows[:800])
    write(options.folder / "test.jsonl", rows[800:])
    write(options.folder / "prompts/train.jsonl", ({"text": text} for text in TRAIN_PROMPTS))
    write(options.folder / "prompts/test.jsonl", ({"text": text} for text in TEST_PROMPTS))
    (options.folder / "config.yaml").write_text(CONFIG, encoding="utf-8")
    print(f"wrote {options.folder}: next, paft run {options.folder}/config.yaml")


if __name__ == "__main__":
    main()

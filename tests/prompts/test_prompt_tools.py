"""Rules on wording, similarity, import, check and show."""

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from command import assert_refused, paft_here
from conftest import ROOT, TEST_PROMPTS, TRAIN_PROMPTS, write_rows
from endpoints import OK, Server, answer, pool
from paft.config.load import load_config
from paft.config.schema import GenerateSource, TaskConfig
from paft.errors import UserError
from paft.prompts.files import load_prompts
from paft.prompts.importing import import_prompts
from paft.prompts.parse import clean
from paft.prompts.rules import RULES, check_rules, defect
from paft.prompts.screen import screen
from paft.prompts.similarity import clusters, diversity, similarities
from paft.prompts.stage1 import generate
from paft.prompts.template import ending, render
from paft.tasks.load import load_task
from paft.tasks.task import Task
from paft.types import Example, Prompt
from paft.utils.console import Console

TREC = Task("trec", ("question",), ("human", "location", "number"), "label", 0.85, 3)
PIQA = Task("piqa", ("goal",), None, "letter", 0.85, 2, {"sol1": "A", "sol2": "B"})
MOVIES = Task("sst2", ("sentence",), ("negative", "positive"), "label", 0.85, 2, {}, "a film review's sentiment")
ENDINGS = Task("hellaswag", ("ctx",), None, "letter", 0.85, 4, {}, "Choose the ending of the text that fits best")


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ('"{question} - which?"', "{question} - which?"),
        ('"{question}" is asked. Say one of "{choices}"', '"{question}" is asked. Say one of "{choices}"'),
        ("'{question}' or 'none'", "'{question}' or 'none'"),
        ("\u201c{question}\u201d and \u201c{choices}\u201d", "\u201c{question}\u201d and \u201c{choices}\u201d"),
    ],
)
def test_quotes_around_a_whole_prompt_are_taken_off_and_others_stay(text, cleaned):
    assert clean(text) == cleaned


def test_a_scale_named_by_its_ends_names_all_of_its_labels():
    stars = Task("stars", ("review",), ("1", "2", "3", "4", "5"), "label", 0.85, 5)
    assert defect(Prompt("Rate this review from 1 to 5 stars: {review}"), stars) is None
    assert defect(Prompt("This is a 5: {review}"), stars)[0] == "answer-leak"


@pytest.mark.parametrize(
    ("text", "task", "rule"),
    [
        ("{question} Answer with the letter.", TREC, "other-format"),
        ("{question} Reply only with a number.", TREC, "answer-leak"),  # a label of the task
        ("{question} Respond in JSON.", TREC, "other-format"),
        ("{question} Answer yes or no.", TREC, "other-format"),
        ("{question} Explain your choice.", TREC, "other-format"),
        ("{question} Do not explain your choice. No JSON format.", TREC, None),
        ("{goal} {choices} Answer with the letter.", PIQA, None),
        ("{goal} {choices} Write the full text of the option.", PIQA, "other-format"),
        ("{goal} {choices} Give the letter, not the full text.", PIQA, None),
        ("Translate the question into French: {question}", TREC, "other-task"),
        ("Rewrite this: {question}", TREC, "other-task"),
        ("Don't rewrite this. Sort it. {question}", TREC, None),
        ("What is the sentiment of {question}?", TREC, "other-task"),
        ("What is the sentiment of {sentence}?", MOVIES, None),
        ("{sentence} The label is positive.", MOVIES, "answer-leak"),
        ("{sentence} negative or positive? The answer is positive.", MOVIES, "states-answer"),
        ("{sentence} If they liked it the label is positive; else the label is negative.", MOVIES, None),
        ("{goal} {choices} Answer: A", PIQA, "states-answer"),
        ("{goal} {choices} <a label=\"A\">", PIQA, None),
        ("{goal} {A}", PIQA, "lost-option"),
        ("Summarize the scene: {ctx} {choices}", ENDINGS, "other-task"),
        ("Rewrite the text: {ctx} {choices}", ENDINGS, "other-task"),
        ("What is the sentiment of {ctx}? {choices}", ENDINGS, "other-task"),
        ("Translate the text to French: {ctx} {choices}", ENDINGS, "other-task"),
    ],
)  # fmt: skip
def test_a_rule_on_wording_finds_what_it_is_for_and_nothing_else(text, task, rule):
    assert (defect(Prompt(text), task) or [None])[0] == rule


def test_each_rule_can_be_turned_off_by_name_but_those_that_rendering_and_the_grid_need():
    prompt = Prompt("{goal} {choices} Answer: A")
    assert screen([prompt], PIQA, off=["states-answer"])[0] == [prompt]
    check_rules(set(RULES) - {"empty", "unknown-slot"} | {"near-duplicate", "copied-example"})
    with pytest.raises(UserError, match="did you mean 'other-task'"):
        check_rules(["othertask"])
    for rule in ("unknown-slot", "repeat"):
        with pytest.raises(UserError, match=f"{rule} cannot be turned off: "):
            check_rules([rule])


def test_a_prompt_that_copied_an_example_is_screened_from_what_is_collected_and_kept_in_a_users_file():
    example = Example("7", {"question": "What famous comic strip character died of acne ?"}, TREC.labels, 0)
    copied = Prompt("Which kind? What famous comic-strip character died of acne?\n\n{question}")
    other = Prompt("Which famous kind of answer? {question}")
    kept, out = screen([copied, other], TREC, [example], off=[])
    assert kept == [other]
    assert (out[0].rule, out[0].reason) == ("copied-example", "holds the text of example 7")
    assert screen([copied], TREC, [example])[0] == [copied]


def test_near_duplicates_are_screened_when_asked_and_the_reason_names_the_other():
    first = Prompt("Say in one word which kind of answer the following question wants from us: {question}")
    second = Prompt("Say in one word which kind of answer the following question wants from you: {question}")
    kept, out = screen([first, second], TREC, off=[])
    assert kept == [first]
    assert (out[0].rule, first.id in out[0].reason) == ("near-duplicate", True)
    assert len(screen([first, second], TREC)[0]) == 2
    assert len(screen([first, second], TREC, off=[], near_duplicate=0.99)[0]) == 2


@settings(max_examples=40, deadline=None)
@given(st.lists(st.text("ab c", min_size=1, max_size=8), min_size=2, max_size=7))
def test_similarity_is_symmetric_one_for_equals_and_clusters_are_a_partition(texts):
    prompts = [Prompt(text + " {question}") for text in texts]
    array = similarities(prompts, {})
    assert (array == array.T).all()
    assert all(array[i, i] == 1 for i in range(len(prompts)))
    groups = clusters(array, 0.9)
    assert sorted(i for group in groups for i in group) == list(range(len(prompts)))
    for i in range(len(prompts)):
        for j in range(i):
            assert array[i, j] < 0.9 or any({i, j} <= set(group) for group in groups)


def test_diversity_tells_variations_from_prompts_of_their_own():
    same = [Prompt(f"Please say which kind of thing number {i} is: {{question}} Answer:") for i in range(6)]
    own = [Prompt(p["text"].replace("{thing}", "{question}")) for p in TRAIN_PROMPTS + TEST_PROMPTS]
    dull, lively = diversity(same, {}, 0.9), diversity(own, {}, 0.9)
    assert dull.distance < lively.distance
    assert dull.nearest < 0.2 < lively.nearest
    assert len(dull.clusters[0]) == 6
    assert dull.cues == {"Answer:": 6}


@pytest.mark.parametrize(
    ("text", "kind"),
    [("a {q}", "slot"), ("a '{q}'.", "slot"), ("{q}\nAnswer:", "cue"), ("{q}\n**Answer:**", "cue"), ("{q}\n\u7b54\u6848\uff1a", "cue"), ("{q} =>", "cue"), ("{q} Which?", "question"),
     ("{q} Go on.", "sentence")],
)  # fmt: skip
def test_the_ending_of_a_prompt_is_told(text, kind):
    assert ending(Prompt(text))[0] == kind


def test_prompts_come_in_from_tables_text_and_json_lines(tmp_path):
    (tmp_path / "a.csv").write_text('Prompt,system\n"Say, {question}",Be brief\n"two\nlines {question}",\n')
    (tmp_path / "a.tsv").write_text("template\nTell {question}\n")
    (tmp_path / "a.txt").write_text("one {question}\nmore\n---\ntwo {question}\n")
    (tmp_path / "b.txt").write_text("one {question}\nmore\n\n\ntwo {question}\n")
    (tmp_path / "c.txt").write_text("one {question}\ntwo {question}\n")
    write_rows(tmp_path / "a.jsonl", [{"text": r'"Say\n{{ question }}"', "extra": 1}, {"other": 2}])

    def texts(name):
        return [p.text for p in import_prompts(tmp_path / name, TREC)[0]]

    assert texts("a.csv") == ["Say, {question}", "two\nlines {question}"]
    assert import_prompts(tmp_path / "a.csv", TREC)[0][0].system == "Be brief"
    assert texts("a.tsv") == ["Tell {question}"]
    assert texts("a.txt") == texts("b.txt") == ["one {question}\nmore", "two {question}"]
    assert texts("c.txt") == ["one {question}", "two {question}"]
    assert texts("a.jsonl") == ["Say\n{question}"]
    [(place, reason)] = import_prompts(tmp_path / "a.jsonl", TREC)[1]
    assert place.endswith("a.jsonl:2")
    assert "found other" in reason
    with pytest.raises(UserError, match="found \\.doc"):
        import_prompts(tmp_path / "a.doc", TREC)


PROMPTSOURCE = r"""
dataset: piqa
templates:
  1:
    !Template
    name: simple
    answer_choices: '{{sol1}} ||| {{sol2}}'
    jinja: "Goal: {{goal}}\nFirst: {{sol1}}\nSecond: {{ answer_choices[1] }} ||| {{answer_choices[label]}}"
    metadata: !TemplateMetadata {metrics: [Accuracy]}
  2: !Template
    name: computes
    jinja: "{% if label %}{{goal}}{% endif %} {{sol1}} {{sol2}}"
  3: !Template {name: filters, jinja: "{{goal | upper}} {{sol1}} {{sol2}}"}
  4: !Template {name: literal, jinja: "{goal} is not {{goal}}"}
  5: !Template {name: empty}
"""


def test_promptsource_templates_come_in_and_what_computes_is_reported(tmp_path):
    path = tmp_path / "templates.yaml"
    path.write_text(PROMPTSOURCE)
    prompts, unread = import_prompts(path, PIQA)
    assert [p.text for p in prompts] == ["Goal: {goal}\nFirst: {sol1}\nSecond: {sol2}", "{{goal}} is not {goal}"]
    assert [place.rpartition(" ")[2] for place, _ in unread] == ["computes", "filters", "empty"]


@pytest.mark.parametrize("text", ["!!python/object/apply:os.system ['true']", "[", "templates: 3", "a: *b"])
def test_yaml_that_is_no_promptsource_is_refused_and_never_run(tmp_path, text):
    path = tmp_path / "x.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match="not YAML of promptsource"):
        import_prompts(path, PIQA)


@pytest.mark.parametrize("name", ["hellaswag", "piqa", "winogrande", "race"])
def test_the_released_pools_come_in_without_their_artefacts(shared, name):
    from paft.config.schema import TaskConfig
    from paft.tasks.load import load_task

    folder = "race-high" if name == "race" else name
    task, _, _ = load_task(TaskConfig(name=folder, test=str(shared / folder / "test.jsonl")))
    prompts, _ = import_prompts(shared / "prompts/released" / f"{name}.train.jsonl", task)
    kept, out = screen(prompts, task, off=[])
    assert len(kept) > 200
    assert not any(re.search(r"\\n(?![a-z])", p.text) for p in kept)
    assert {s.rule for s in out} >= {"near-duplicate"}


@settings(max_examples=60, deadline=None)
@given(st.text())
def test_cleaning_twice_is_cleaning_once(text):
    assert clean(clean(text)) == clean(text)


def test_the_commands_import_check_and_show(project):
    (project / "pool.txt").write_text("Tell the colour of {thing}\n\nIt is red. {thing}\n\n{thing}? {choices}!\n")
    done = paft_here("prompts", "import", "config.yaml", "pool.txt", "-o", "pool.jsonl", cwd=project)
    assert done.returncode == 0, done.stderr
    assert "2 prompts; 0 could not be imported, 1 screened out (1 answer-leak)" in done.stderr
    assert len((project / "pool.jsonl").read_text().splitlines()) == 2
    assert json.loads((project / "pool.screened.jsonl").read_text())["rule"] == "answer-leak"
    again = paft_here("prompts", "import", "config.yaml", "pool.txt", "-o", "pool.jsonl", cwd=project)
    assert again.returncode == 2
    assert "the file exists" in again.stderr
    checked = paft_here("prompts", "check", "config.yaml", cwd=project)
    assert checked.returncode == 0, checked.stderr
    assert "prompts.train: 5 prompts, 5 fit" in checked.stdout
    assert "slot orders: 3" in checked.stdout
    shown = paft_here("prompts", "show", "config.yaml", "pool.jsonl", "-n", "1", cwd=project)
    assert "Tell the colour of thing" in shown.stdout
    assert "[right answer]" in shown.stdout
    unknown = paft_here("prompts", "show", "config.yaml", "--id", "nope", cwd=project)
    assert (unknown.returncode, "no prompt with the id nope" in unknown.stderr) == (2, True)
    text = (project / "config.yaml").read_text()
    (project / "bare.yaml").write_text(text.replace("  train: train.jsonl\n  test: test.jsonl\n", ""))
    (project / "odd.jsonl").write_text('{"text": "Colour of {thing} now {foo}"}\n{"text": "{thing}?"}\n')
    odd = paft_here("prompts", "show", "config.yaml", "odd.jsonl", cwd=project)
    assert odd.returncode == 0, odd.stderr
    assert "cannot be shown: the task has no slot {foo}; known: choices, thing" in odd.stdout
    assert odd.stdout.count("[right answer]") == 1
    bare = paft_here("prompts", "show", "bare.yaml", cwd=project)
    assert_refused(bare, "config keys task.train and task.test are missing")


def generating(project, **prompts):
    text = (project / "config.yaml").read_text().replace("  test: prompts/test.jsonl\n", "")
    models = "[{model: m, base_url: 'http://127.0.0.1:9/v1', retries: 0}]"
    more = "".join(f"\n  {name}: {value}" for name, value in prompts.items())
    (project / "config.yaml").write_text(
        text.replace("train: prompts/train.jsonl", f"train: {{generate: {{models: {models}}}}}{more}")
    )


def test_prompts_of_ones_own_are_not_replaced_by_generated_ones(project):
    generating(project)
    before = (project / "prompts/train.jsonl").read_bytes()
    refused = paft_here("prompts", "generate", "config.yaml", cwd=project)
    assert_refused(refused, "prompts/train.jsonl exists and would be replaced", "--output")
    assert (project / "prompts/train.jsonl").read_bytes() == before


def test_to_evaluate_a_model_no_prompt_is_written(project):
    generating(project, test="prompts/test.jsonl")
    done = paft_here("evaluate", "config.yaml", cwd=project)
    assert done.returncode == 0, done.stderr
    generating(project)
    (project / "config.yaml").write_text(
        (project / "config.yaml").read_text().replace("  test: prompts/test.jsonl", "")
    )
    assert_refused(paft_here("evaluate", "config.yaml", "-o", "other", cwd=project), "prompts.test is missing")


def test_no_written_prompt_is_the_users_or_a_test_prompt_of_the_config(project):
    """It could end among the test prompts, and a later check would refuse the set that was paid for."""
    test = [json.loads(line)["text"] for line in (project / "prompts/test.jsonl").read_text().splitlines()]
    user = load_config(project / "config.yaml").prompts.user.text
    written = json.dumps({"prompts": [{"system": "", "text": t} for t in (user, test[0])]})
    server = Server(*[(200, answer(written), {})] * 2, *[(200, answer(pool(i)), {}) for i in range(30)], OK)
    config = load_config(project / "config.yaml")
    models = [{"model": "m", "base_url": server.url, "parallel": 1}]
    asked = {"models": models, "zero_shot": 3, "few_shot": 3, "few_shot_prompts": ["Say it: {thing}"]}
    config.prompts.train = GenerateSource.model_validate({"generate": asked})
    generated = generate(config, project / "made", Console(quiet=True))
    server.shutdown()
    assert not generated.missing
    assert not {user, test[0]} & {prompt.text for prompt in generated.prompts}
    assert {user, test[0]} <= {
        screened.prompt.text for screened in generated.screened if screened.rule == "repeat"
    }


def test_where_no_written_prompt_fits_the_reasons_are_kept(project):
    server = Server(*[(200, answer(json.dumps({"prompts": ["Is it red? {thing}"]})), {}) for _ in range(20)], OK)
    config = load_config(project / "config.yaml")
    models = [{"model": "m", "base_url": server.url, "parallel": 1}]
    asked = {"models": models, "zero_shot": 1, "few_shot": 0, "max_request_factor": 1}
    config.prompts.train = GenerateSource.model_validate({"generate": asked})
    assert not generate(config, project / "made", Console(quiet=True)).prompts
    server.shutdown()
    [row] = [json.loads(line) for line in (project / "made/screened.jsonl").read_text().splitlines()]
    assert (row["rule"], row["text"]) == ("answer-leak", "Is it red? {thing}")


def test_replies_without_prompts_are_to_be_looked_up_where_they_are(project, capsys):
    server = Server(*[(200, answer("I would rather not."), {}) for _ in range(20)], OK)
    config = load_config(project / "config.yaml")
    models = [{"model": "m", "base_url": server.url, "parallel": 1}]
    asked = {"models": models, "zero_shot": 1, "few_shot": 0, "max_request_factor": 1}
    config.prompts.train = GenerateSource.model_validate({"generate": asked})
    assert not generate(config, project / "made", Console()).prompts
    server.shutdown()
    assert "the replies hold no prompts; see answers.jsonl" in capsys.readouterr().err
    assert (project / "made/answers.jsonl").is_file()


def test_endings_of_files_are_read_in_either_case(tmp_path):
    (tmp_path / "pool.TSV").write_text("text\tsystem\nSay, {goal}: {choices}\tShort\n")
    prompts, unread = import_prompts(tmp_path / "pool.TSV", PIQA)
    assert not unread
    assert [(p.text, p.system) for p in prompts] == [("Say, {goal}: {choices}", "Short")]
    (tmp_path / "rows.CSV").write_text("goal,sol1,sol2,label\na,b,c,0\n")
    assert load_task(TaskConfig(name="piqa", test=str(tmp_path / "rows.CSV")))[2][0].options == ("b", "c")


def test_a_run_makes_its_prompts_first_and_goes_on_without_asking_again(project):
    server = Server(*[(200, answer(pool(i)), {}) for i in range(30)], OK)
    text = (project / "config.yaml").read_text()
    models = f"{{model: m, base_url: '{server.url}'}}"
    text = text.replace(
        "train: prompts/train.jsonl", f"train: {{generate: {{models: [{models}], zero_shot: 7, few_shot: 7}}}}"
    )
    (project / "config.yaml").write_text(text.replace("  test: prompts/test.jsonl\n", ""))
    done = paft_here("run", "config.yaml", "-o", "out", cwd=project)
    assert done.returncode == 0, done.stderr
    asked = len(server.requests)
    assert asked == 2
    used = [json.loads(line) for line in (project / "out/prompts/train.jsonl").read_text().splitlines()]
    assert {p["strategy"] for p in used} == {"zero-shot", "few-shot"}
    again = paft_here("run", "config.yaml", "-o", "out", cwd=project)
    assert again.returncode == 0, again.stderr
    assert len(server.requests) == asked
    server.shutdown()


@pytest.mark.medium
@pytest.mark.parametrize("name", ["trec", "sst2", "piqa", "winogrande", "hellaswag", "race-middle"])
def test_no_rule_on_wording_puts_out_a_prompt_of_the_bank(shared, name):
    config = load_config(ROOT / f"examples/{name}.yaml")
    task, examples, _ = load_task(config.task)
    for split in ("train", "test"):
        source = getattr(config.prompts, split).model_copy(update={"size": None})
        out = [
            s
            for s in screen(load_prompts(source, split, 0), task, examples, off=())[1]
            if s.rule != "near-duplicate"
        ]
        assert [(s.rule, s.prompt.text) for s in out] == []


def test_a_table_whose_texts_are_cut_at_commas_is_not_taken(tmp_path):
    (tmp_path / "pool.csv").write_text(
        'text\nClassify: {question} Pick from {choices}, in one word.\n"{question}, {choices}"\n'
    )
    prompts, unread = import_prompts(tmp_path / "pool.csv", TREC)
    assert [prompt.text for prompt in prompts] == ["{question}, {choices}"]
    assert unread == [(f"{tmp_path}/pool.csv:2", "more cells than the header; put texts in quotes")]


def test_a_prompt_file_of_another_kind_names_the_command_that_reads_it(tmp_path):
    (tmp_path / "pool.csv").write_text("text\n{question}\n")
    with pytest.raises(
        UserError, match=r"pool\.csv: prompts are JSON lines .*paft prompts import CONFIG pool\.csv -o"
    ):
        load_prompts(str(tmp_path / "pool.csv"), "train", 0)
    (tmp_path / "pool.jsonl").write_text('{"prompt": "{question}"}\n')
    with pytest.raises(UserError, match=r"a prompt needs a 'text', found None; `paft prompts import` reads other"):
        load_prompts(str(tmp_path / "pool.jsonl"), "train", 0)


def test_check_names_test_prompts_that_are_trained_on(project):
    write_rows(
        project / "prompts/test.jsonl",
        [
            *TEST_PROMPTS,
            {
                "text": TRAIN_PROMPTS[0]["text"]
                .upper()
                .replace("{THING}", "{thing}")
                .replace("{CHOICES}", "{choices}")
            },
        ],
    )
    checked = paft_here("prompts", "check", "config.yaml", cwd=project)
    assert "prompts.test: 1 of its prompts repeat one of prompts.train up to case" in checked.stdout


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        (r"Say\n{question}", "Say\n{question}"),
        (r"Say\nAnswer: {question}\n", "Say\nAnswer: {question}"),
        (r"Say\n\n- {question}\r\nB", "Say\n\n- {question}\nB"),
        (r"a\tB\t{question}", "a B {question}"),
        (r"$\nabla f(\theta) \neq \tau$ {question}", r"$\nabla f(\theta) \neq \tau$ {question}"),
        (r"$\nRightarrow \nVdash$ {question}", r"$\nRightarrow \nVdash$ {question}"),
        (r"C:\new {question}", r"C:\new {question}"),
    ],
)
def test_a_written_line_end_is_read_as_one_and_a_command_of_latex_stays(tmp_path, text, cleaned):
    assert clean(text) == cleaned
    write_rows(tmp_path / "a.jsonl", [{"text": text}])
    [prompt], _ = import_prompts(tmp_path / "a.jsonl", TREC)
    assert prompt.text == cleaned
    example = Example("0", {"question": "Who?"}, TREC.labels, 0)
    assert render(prompt, TREC, example).user == cleaned.replace("{question}", "Who?")


def test_an_import_says_what_could_be_meant_otherwise(tmp_path):
    rows = [r"$\nabla$ {question}", "{{question}} is it", "{{ question }} {{choices}}", "{{x}} {question}"]
    write_rows(tmp_path / "a.jsonl", [{"text": text} for text in rows])
    lines = []
    prompts, _ = import_prompts(tmp_path / "a.jsonl", TREC, lines.append)
    assert [p.text for p in prompts] == [rows[0], "{question} is it", "{question} {choices}", rows[3]]
    place = f"{tmp_path}/a.jsonl"
    assert lines == [
        f"{place}:2 and 1 more: {{{{name}}}} became the slot {{name}}, since there is no other slot",
        rf"{place}:1: \n or \t before a small letter stays, as in \nabla; for a line end write a real one",
    ]


def test_literal_braces_go_the_same_way_through_import_check_show_and_a_file(project):
    text = r'Colour of {thing} as {{"colour": ...}}, $\frac{{1}}{{2}}$'
    (project / "pool.txt").write_text(text + "\n")
    done = paft_here("prompts", "import", "config.yaml", "pool.txt", "-o", "pool.jsonl", cwd=project)
    assert done.returncode == 0, done.stderr
    assert json.loads((project / "pool.jsonl").read_text())["text"] == text
    assert "1 prompt, 1 fit" in paft_here("prompts", "check", "config.yaml", "pool.jsonl", cwd=project).stdout
    shown = paft_here("prompts", "show", "config.yaml", "pool.jsonl", cwd=project).stdout
    assert r' as {"colour": ...}, $\frac{1}{2}$' in shown


def free_text(project):
    """Make the project's task one of free text, its answers long and several."""
    text = (project / "config.yaml").read_text().replace("  choices: [red, green, blue]\n", "  scorer: exact\n")
    (project / "config.yaml").write_text(
        text.replace("What colour is {thing}? {choices}", "What colour is {thing}?")
    )
    for name in ("train", "test"):
        rows = [json.loads(line) for line in (project / f"{name}.jsonl").read_text().splitlines()]
        for row in rows:
            row["colour"] = [f"the colour of {row['thing']} is clearly {row['colour']}", row["colour"]]
        write_rows(project / f"{name}.jsonl", rows)
    prompts = ["Describe {thing}.", "{thing}: which colour?", "{thing} {choices}"]
    write_rows(project / "prompts/train.jsonl", [{"text": text} for text in prompts])
    write_rows(project / "prompts/test.jsonl", [{"text": "Paint {thing}"}])


def test_the_commands_on_prompts_take_a_free_text_task(project):
    free_text(project)
    checked = paft_here("prompts", "check", "config.yaml", cwd=project)
    assert "prompts.train: 3 prompts, 2 fit" in checked.stdout, checked.stderr
    assert "1 unknown-slot: the task has no slot {choices}; known: thing" in checked.stdout
    shown = paft_here("prompts", "show", "config.yaml", "-n", "1", cwd=project).stdout
    assert "[right answer] the colour of thing" in shown
    assert "(accepted too: " in shown
    pool = ["Tell the colour of {thing}", "The colour of thing 1 is clearly green: {thing}", "{thing}? {choices}"]
    (project / "pool.txt").write_text("\n\n".join(pool))
    done = paft_here("prompts", "import", "config.yaml", "pool.txt", "-o", "pool.jsonl", cwd=project)
    assert "1 prompt; 0 could not be imported, 2 screened out" in done.stderr, done.stderr
    assert "1 answer-leak" in done.stderr
    assert "1 unknown-slot" in done.stderr


def test_prompts_for_a_free_text_task_are_asked_for_with_the_answer_it_wants(project):
    free_text(project)
    server = Server(*[(200, answer(pool(i)), {}) for i in range(30)], OK)
    config = load_config(project / "config.yaml")
    models = [{"model": "m", "base_url": server.url, "parallel": 1}]
    asked = {"models": models, "zero_shot": 1, "few_shot": 0}
    config.prompts.train = GenerateSource.model_validate({"generate": asked})
    generate(config, project / "made", Console(quiet=True))
    server.shutdown()
    request = json.dumps(server.requests[0], default=str)
    assert "The model must answer with the answer alone and nothing else" in request
    assert "its right answer, which no template may hold" in request
    assert "{choices}" not in request
    assert "list of labels" not in request


def test_check_and_show_name_the_prompts_of_a_file_that_they_cannot_read(project):
    (project / "semicolons.csv").write_text("text;system\nWhat is {thing}? {choices};none\n")
    (project / "jinja.csv").write_text("text\nWhat is {{thing}}? {{choices}}\n{% if a %}{{thing}}{% endif %}\n")
    for command in ("check", "show"):
        assert_refused(
            paft_here("prompts", command, "config.yaml", "semicolons.csv", cwd=project), "no prompt could be read"
        )
        done = paft_here("prompts", command, "config.yaml", "jinja.csv", cwd=project)
        assert done.returncode == 0, done.stderr
        assert "left out: it uses a template statement" in done.stderr

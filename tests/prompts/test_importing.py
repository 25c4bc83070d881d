"""Files of promptfoo and PromptSuite: what comes in, as what, and what is left out for which reason."""

import json
import re
import tempfile
from pathlib import Path

import jinja2
import pytest
import yaml
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from command import assert_refused, paft_here
from paft.errors import UserError
from paft.prompts import importing
from paft.prompts.importing import import_prompts, promptfoo
from paft.prompts.importing.braces import from_jinja, from_placeholders
from paft.prompts.importing.entry import UnreadableError
from paft.prompts.template import render, replace_slots
from paft.tasks.task import Task
from paft.types import Example

TASK = Task("quiz", ("question",), None, "letter", 0.85, 4, answer_names=("answer",))
NEWS = Task("news", ("title", "body"), ("sport", "politics"), "label", 0.85, 2)


def imported(path, task=TASK, lines=None):
    """Return the texts, the system texts, and the reasons by the end of their places."""
    prompts, failures = import_prompts(path, task, (lines if lines is not None else []).append)
    return [(p.system, p.text) for p in prompts], {place.removeprefix(f"{path}: "): why for place, why in failures}


def config(folder, prompts, **more) -> Path:
    path = folder / "promptfooconfig.yaml"
    path.write_text(yaml.safe_dump({"prompts": prompts, "providers": ["openai:gpt-4.1"], **more}))
    return path


def chat(*turns) -> list[dict[str, str]]:
    return [{"role": role, "content": content} for role, content in turns]


PROMPTFOO = """\
# yaml-language-server: $schema=https://promptfoo.dev/config-schema.json
description: 'A quiz'
prompts:
  - 'Answer: {{question}} {{ choices }}'
  - |-
    Reply in JSON, {"answer": "A"}.

    {{question}}
  - id: file://prompts/two.txt
    label: two
  - prompts/chat.json
  - file://prompts/*.md
  - raw: '[{"role": "system", "content": "Be brief."}, {"role": "user", "content": "{{question}} {a}"}]'
    label: inline chat
  - label: messages
    messages:
      - {role: developer, content: Think.}
      - {role: user, content: '{{question}}?'}
  - file://prompts/chat.yaml
  - file://prompts/table.csv
  - file://prompts/lines.csv
  - file://prompts/chats.jsonl
providers:
  - openai:gpt-4.1
tests:
  - vars: {question: 'Why?', choices: 'A. x'}
    assert: [{type: icontains, value: A}]
"""


def test_the_prompts_of_promptfoo_come_in_from_its_config_and_the_files_that_it_names(tmp_path):
    folder = tmp_path / "prompts"
    folder.mkdir()
    (tmp_path / "promptfooconfig.yaml").write_text(PROMPTFOO)
    (folder / "two.txt").write_text("First {{question}}\n\nmore\n---\nSecond {{question}}\n")
    (folder / "chat.json").write_text(json.dumps(chat(("system", "You judge."), ("user", "Chat {{question}}"))))
    (folder / "a.md").write_text("# Task\n\n---\n\n{{question}}\n")
    (folder / "chat.yaml").write_text("- role: user\n  content: 'Yaml {{question}}'\n")
    (folder / "table.csv").write_text('prompt,label\n"Say, {{question}}",one\n')
    (folder / "lines.csv").write_text('"Tell {{question}}"\n"Name {{question}}"\n')
    lines = [json.dumps(chat(("user", f"Line {i} {{{{question}}}}"))) for i in range(2)]
    (folder / "chats.jsonl").write_text("\n".join(lines) + "\n")
    prompts, problems = imported(tmp_path / "promptfooconfig.yaml")
    assert problems == {}
    assert prompts == [
        (None, "Answer: {question} {choices}"),
        (None, 'Reply in JSON, {{"answer": "A"}}.\n\n{question}'),
        (None, "First {question}\n\nmore"),
        (None, "Second {question}"),
        ("You judge.", "Chat {question}"),
        (None, "# Task\n\n---\n\n{question}"),
        ("Be brief.", "{question} {{a}}"),
        ("Think.", "{question}?"),
        (None, "Yaml {question}"),
        (None, "Say, {question}"),
        (None, "Tell {question}"),
        (None, "Name {question}"),
        (None, "Line 0 {question}"),
        (None, "Line 1 {question}"),
    ]


@pytest.mark.parametrize(
    ("template", "why"),
    [("{% if a %}{{question}}{% endif %} {choices}", "it uses a template statement: {% if a %}"),
     ("{{question}} {{choices|join(', ')}}", "it uses a template expression: {{ choices|join(', ') }}")],
)  # fmt: skip
def test_templates_that_compute_are_left_out_of_files_of_plain_prompts_too(tmp_path, template, why):
    (tmp_path / "p.jsonl").write_text(
        json.dumps({"text": template}) + "\n" + json.dumps({"text": "Say: {{question}}"})
    )
    prompts, problems = imported(tmp_path / "p.jsonl")
    assert prompts == [(None, "Say: {question}")]
    [problem] = problems.values()
    assert why in problem


def test_a_config_in_json_a_chat_by_itself_and_a_single_prompt_come_in(tmp_path):
    (tmp_path / "c.json").write_text(json.dumps({"prompts": "One {{question}}"}))
    (tmp_path / "chat.json").write_text(json.dumps(chat(("system", "S"), ("user", "Two {{question}}"))))
    (tmp_path / "chat.yaml").write_text(yaml.safe_dump(chat(("user", "Three {{question}}"))))
    assert imported(tmp_path / "c.json")[0] == [(None, "One {question}")]
    assert imported(tmp_path / "chat.json")[0] == [("S", "Two {question}")]
    assert imported(tmp_path / "chat.yaml")[0] == [(None, "Three {question}")]


@pytest.mark.parametrize(
    ("prompt", "reason"),
    [
        ("{{ question | upper }}", "expression: {{ question | upper }}"),
        ("{{ question.text }}", "expression: {{ question.text }}"),
        ("{{ true }} {{question}}", "expression: {{ true }}"),
        ("{{ }}", "expression"),
        ("{{{question}}}", "expression"),
        ("{% if question %}{{question}}{% endif %}", "statement: {% if question %}"),
        ("{% for c in choices %}{{c}}{% endfor %}", "statement: {% for c in choices %}"),
        ("{# hint #}{{question}}", "statement: {# hint #}"),
        ("{{question", "not closed"),
        (chat(("user", "2+2"), ("assistant", "4"), ("user", "{{question}}")), "assistant turns (few-shot examples)"),
        (chat(("user", "a"), ("user", "{{question}}")), "2 user turns"),
        (chat(("system", "{{question}}")), "found system"),
        (chat(("user", "{{question}}"), ("system", "s")), "found user, system"),
        (chat(("tool", "{{question}}")), "found tool"),
        ([{"role": "user", "content": None}], "content of its user message is no text"),
        ([{"role": "user", "content": [{"type": "image_url"}]}], "content of its user message is no text"),
        (chat(("user", "file://a.txt")), "is another file"),
        ("- role: assistant\n  content: x", "assistant turns"),
        ('[{"role": "user", "content": {{question}} }]', "neither before its slots are filled"),
        ('{"question": "{{question}}"}', "no list of messages"),
        ("langfuse://my-prompt:3:text", "only file:// can be read, found langfuse://"),
        ("https://example.com/prompt", "only file:// can be read, found https://"),
        ("exec:./generate.sh --fast", "only file:// can be read, found exec:"),
        ("file://none.txt", "no such file"),
        ("none.txt", "no such file"),
        ("file://none/*.txt", "no such file"),
        ("file://\0", "no such file"),
        (f"file://{'x' * 5000}.txt", "no such file"),
        ("file://generate.py:create", "runs no program"),
        ("file://empty.txt", "has no prompts"),
        ("file://loop.json", "no JSON before its slots are filled"),
        ("file://broken.json", "broken.json:1: not JSON"),
        ("file://latin.txt", "not UTF-8 text"),
        ("file://wide.csv", "no text in a column prompt"),
        ({"label": "no text"}, "found nothing"),
        ({"raw": {"role": "user"}}, "no list of messages"),
        (7, "found int"),
        ("  ", "the text is empty"),
    ],
)  # fmt: skip
def test_a_prompt_of_promptfoo_that_is_more_than_a_template_is_left_out_with_the_reason(tmp_path, prompt, reason):
    (tmp_path / "generate.py").write_text("raise SystemExit")
    (tmp_path / "empty.txt").write_text("\n---\n\n")
    (tmp_path / "loop.json").write_text(
        '[{% for m in messages %}{"role": "user", "content": {{m | dump}}}{% endfor %}]'
    )
    (tmp_path / "broken.json").write_text("[")
    (tmp_path / "latin.txt").write_bytes("Où {{question}}".encode("latin-1"))
    (tmp_path / "wide.csv").write_text("text,label\n{{question}},a\n")
    prompts, problems = imported(config(tmp_path, [prompt, "Fine: {{question}}"]))
    assert prompts == [(None, "Fine: {question}")]
    [problem] = problems.values()
    assert reason in problem
    assert "\n" not in problem


def test_a_quote_that_is_not_closed_does_not_join_two_prompts(tmp_path):
    (tmp_path / "a.csv").write_text('text\n"Say {question}\n"Name {question}"\n')
    with pytest.raises(UserError, match=r'a.csv:3: not CSV: a quoted cell goes on after its .*write ""'):
        imported(tmp_path / "a.csv")


def test_files_outside_the_folder_of_a_config_are_not_read(tmp_path):
    folder = tmp_path / "configs"
    folder.mkdir()
    secret = tmp_path / "secret.txt"
    secret.write_text("secret {{question}}")
    (folder / "link.txt").symlink_to(secret)
    (folder / "in.txt").write_text("inside {{question}}")
    outside = [
        "file://../secret.txt",
        f"file://{secret}",
        "file://link.txt",
        "file://../*.txt",
        "../**/secret.txt",
    ]
    prompts, problems = imported(config(folder, [*outside, f"file://{folder / 'in.txt'}"]))
    assert prompts == [(None, "inside {question}")]
    assert len(problems) == len(outside)
    assert all("lies outside the folder of promptfooconfig.yaml" in problem for problem in problems.values())


def test_a_small_config_cannot_ask_for_more_text_than_a_prompt_file_may_hold(tmp_path, monkeypatch):
    (tmp_path / "a.txt").write_text("{{question}} " * 50)
    monkeypatch.setattr(promptfoo, "PROMPTS", 1_500)
    _, problems = imported(config(tmp_path, ["file://a.txt"] * 3))
    assert "more than 1,500 bytes together" in problems["prompt 3"]
    monkeypatch.setattr(promptfoo, "_FILES", 1)
    assert "refers to more than 1 files" in imported(config(tmp_path, ["file://a.txt"] * 3))[1]["prompt 3"]
    path = tmp_path / "aliases.yaml"
    path.write_text("prompts:\n- &a '{{question}} and so on'\n" + "- *a\n" * 100)
    assert len(imported(path)[0]) == 101
    monkeypatch.setattr(importing, "PROMPTS", 1_500)
    with pytest.raises(UserError, match=r"aliases\.yaml: more than 1,500 bytes"):
        import_prompts(path, TASK)


def test_what_promptfoo_adds_to_its_prompts_is_named(tmp_path):
    lines = []
    path = config(tmp_path, ["{{question}}"], defaultTest={"options": {"prefix": "Hello. "}})
    assert imported(path, lines=lines)[0] == [(None, "{question}")]
    assert lines == [f"{path}: prompt 1: imported without promptfoo's defaultTest.options.prefix"]


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("a.json", "{", "a.json:1: not JSON"),
        ("a.json", '{"a": 1}', "a.json: not JSON of promptfoo or PromptSuite"),
        ("a.json", "[]", "a.json: not JSON of promptfoo or PromptSuite"),
        ("a.json", "[" * 100_000, "nested too deeply"),
        ("a.json", "1" * 5_000, "a number is too long"),
        ("a.json", '["\\ud83d"]', "half of a surrogate pair"),
        ("a.yaml", "a: 1", "a.yaml: not YAML of promptsource, promptfoo or PromptSuite"),
        ("a.yaml", "prompts: {train: a.jsonl}", "key prompts must be a list, found dict"),
        ("a.yaml", "prompts: []", "key prompts must be a list, found an empty list"),
        ("a.yaml", "prompts: [\n", "a.yaml:2: not YAML"),
    ],
)
def test_a_file_of_no_known_tool_is_refused_with_its_place(tmp_path, name, text, problem):
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=problem):
        import_prompts(tmp_path / name, TASK)


def variation(**changes):
    """A row as PromptSuite's export writes it, without few-shot examples."""
    return {
        "prompt": "You are an expert.\n\nQuestion || What is 2+2?\nChoices || 1. 3\n2. 4\nAnswer ||",
        "original_row_index": 0,
        "variation_count": 1,
        "template_config": {
            "instruction": "Answer.",
            "instruction variations": ["paraphrase_with_llm"],
            "prompt format": "Question: {question}\nChoices: {choices}\nAnswer: {answer}",
            "choices": ["enumerate"],
            "gold": {"field": "answer", "type": "index", "options_field": "choices"},
        },
        "field_values": {
            "instruction variations": "You are an expert.",
            "prompt format variations": "Question || {question}\nChoices || {choices}\nAnswer || {answer}",
            "choices": "1. 3\n2. 4",
        },
        "original_row_data": {"question": "What is 2+2?", "choices": "3, 4", "answer": "1"},
        "gold_updates": {"answer": "1"},
        "conversation": chat(("system", "You are an expert."), ("user", "Question || What is 2+2?\nAnswer ||")),
    } | changes  # fmt: skip


TEMPLATE = ("You are an expert.", "Question || {question}\nChoices || {choices}\nAnswer ||")


def write_json(path, tree):
    path.write_text(json.dumps(tree))
    return path


def test_a_variation_of_promptsuite_comes_in_as_the_template_that_its_row_holds(tmp_path):
    row = variation()
    older = {k: v for k, v in row.items() if k not in ("template_config", "field_values", "original_row_data")}
    older["configuration"] = {"template_config": row["template_config"], "field_values": row["field_values"]}
    assert imported(write_json(tmp_path / "a.json", [row, older])) == ([TEMPLATE, TEMPLATE], {})
    oldest = variation(field_values={"instruction": "Q: {question} {choices}\nAnswer: {answer}"})
    oldest["prompt"] = "Q: What is 2+2? 3, 4\nAnswer:"
    assert imported(write_json(tmp_path / "b.json", [oldest]))[0] == [(None, "Q: {question} {choices}\nAnswer:")]


def test_the_csv_of_promptsuite_comes_in_like_its_json(tmp_path):
    (tmp_path / "a.csv").write_text(
        "prompt,original_row_index,variation_count,original_question,original_answer,"
        "field_instruction variations,field_prompt format variations,field_choices\n"
        '"You are an expert.\n\nQuestion || What is 2+2?\nChoices || 3, 4\nAnswer ||",0,1,What is 2+2?,1,'
        'You are an expert.,"Question || {question}\nChoices || {choices}\nAnswer || {answer}","3, 4"\n'
    )
    assert imported(tmp_path / "a.csv") == ([TEMPLATE], {})


def test_few_shot_examples_of_promptsuite_are_said_to_be_left_behind(tmp_path):
    turns = [
        ("system", "s"),
        ("user", "Question || 1+1?"),
        ("assistant", "2"),
        ("user", "Question || What is 2+2?"),
    ]
    lines = []
    path = write_json(tmp_path / "a.json", [variation(conversation=chat(*turns))])
    assert imported(path, lines=lines)[0] == [TEMPLATE]
    assert lines == [
        f"{path}: row 1: imported without PromptSuite's few-shot examples, which are no part of the template"
    ]
    (tmp_path / "a.csv").write_text(
        "prompt,original_row_index,variation_count,field_instruction\n"
        '"Q: 1+1? 1, 2\nA:\n1\n\nQ: 2+2? 3, 4\nA:",0,1,"Q: {question} {choices}\nA: {answer}"\n'
    )
    assert imported(tmp_path / "a.csv", lines=lines)[0] == [(None, "Q: {question} {choices}\nA:")]
    assert "few-shot examples" in lines[1]


def filled(text, values, **changes):
    """A row that holds no template."""
    return variation(prompt=text, field_values=values, original_row_data={}, conversation=[], **changes)


@pytest.mark.parametrize(
    ("row", "template"),
    [
        (filled("Q: Why {now}?\n{}", {"question": "Why {now}?"}), "Q: {question}\n{{}}"),
        (
            filled("1, 2 of 3 for Why?", {"question": "Why?", "choices": ["1", "2"]}),
            "{choices} of 3 for {question}",
        ),
        (filled("Q: Why?", {"question": "Why?", "answer": "Q", "note": "absent"}), "Q: {question}"),
    ],
)
def test_a_variation_without_its_template_is_turned_back_into_one(tmp_path, row, template):
    assert imported(write_json(tmp_path / "a.json", [row])) == ([(None, template)], {})


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (filled("Q: Why?", {"choices": "3, 4"}), "does not give the example's question"),
        (filled("Q: Why? Why?", {"question": "Why?"}), "whose question stands more than once"),
        (filled("aaa", {"question": "aa"}), "whose question stands more than once"),
        (filled("Q: How?", {"question": "Why?"}), "whose question stands nowhere"),
        (filled("In 1984?", {"question": "84?"}), "whose question stands within a word"),
        (filled("Is it 3, 4?", {"question": "Is it 3, 4?", "choices": "3, 4"}), "overlaps another value"),
        (filled("On maths: Why?", {"question": "Why?", "subject": "maths"}), "holds the example's subject"),
        (filled("Why?", {f"column {i}": "z" for i in range(201)}), "more than 200 columns"),
        (filled("Why?", {"question": "Why?"}) | {"conversation": chat(("user", "1"), ("assistant", "2"), ("user", "Why?"))},
         "assistant turns (few-shot examples)"),
        (variation(prompt="Q: What is 2+2?\nAnswer || 4"), "does not end as its template does"),
        ({"rows": 3}, "no prompt and field_values"),
    ],
)  # fmt: skip
def test_a_variation_whose_template_is_not_certain_is_left_out_with_the_reason(tmp_path, row, reason):
    prompts, problems = imported(write_json(tmp_path / "a.json", [row, variation()]))
    assert prompts == [TEMPLATE]
    assert reason in problems["row 1"]


def test_the_template_dictionaries_of_promptsuite_come_in(tmp_path):
    template = {
        "instruction": "You know {subject}.",
        "prompt format": 'Q: {question}\n{"a": 1}\nA: {answer}',
        "gold": "answer",
        "question": ["typos and noise"],
    }
    expected = ("You know {subject}.", 'Q: {question}\n{{"a": 1}}\nA:')
    for tree in (template, [template], {"quiz": template}, [{"name": "quiz", "template": template}]):
        assert imported(write_json(tmp_path / "a.json", tree)) == ([expected], {})
    lines = []
    few = write_json(
        tmp_path / "b.json", {"few": template | {"few_shot": {"count": 2}}, "other": {"question": []}}
    )
    prompts, problems = imported(few, lines=lines)
    assert prompts == [expected]
    assert "few-shot examples" in lines[0]
    assert problems == {"template other": "it has no text 'prompt format'"}


names = st.sampled_from(["title", "body"])
literals = st.sampled_from(
    [" ", "a ", " b", "\n", "{", "}", "}}", "{ ", "%}", "#", "-", "é|", "\\n'", '"']
) | st.text(max_size=3)
values = st.fixed_dictionaries({"title": st.text(max_size=6), "body": st.text("{}ab%", max_size=6)})


@settings(deadline=None)
@given(
    st.lists(literals | st.tuples(names, st.sampled_from(["", "-"])), min_size=1, max_size=6),
    values,
)
def test_a_template_that_only_inserts_variables_is_filled_in_as_jinja_does(parts, filling):
    assume(not re.search(r"\{[{%#\0]", "".join(p if isinstance(p, str) else "\0" for p in parts)))
    assume("\r" not in "".join(map(str, parts)))  # Jinja makes it a line feed
    text = "".join(p if isinstance(p, str) else f"{{{{{p[1]} {p[0]} {p[1]}}}}}" for p in parts)
    expected = jinja2.Environment(keep_trailing_newline=True).from_string(text).render(filling)
    assert replace_slots(from_jinja(text), filling.__getitem__) == expected


@settings(max_examples=200, deadline=None)
@given(
    st.text("{}%#- ab|", max_size=14), st.fixed_dictionaries({"a": st.text(max_size=4), "b": st.text(max_size=4)})
)
def test_whatever_is_taken_for_a_template_is_filled_in_as_jinja_does(text, filling):
    try:
        template = from_jinja(text)
    except UnreadableError:
        return
    assert replace_slots(template, lambda name: filling.get(name, "")) == jinja2.Template(text).render(filling)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text("{}abc ", max_size=8) | names.map(lambda n: f"{{{n}}}"), max_size=6))
def test_a_template_of_promptsuite_is_filled_in_as_promptsuite_does(parts):
    text, marks = "".join(parts), {"title": "\0", "body": "\1"}
    template = from_placeholders(text)
    assert replace_slots(template, lambda name: marks.get(name, f"{{{name}}}")) == text.replace(
        "{title}", "\0"
    ).replace("{body}", "\1")


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(["a", "B {c}", "}", "\n", " {{title}} ", " {{ body }}"]), max_size=8), values)
def test_a_prompt_of_promptfoo_is_rendered_as_promptfoo_renders_it(parts, filling):
    text = f"x{''.join(parts)}x"
    with tempfile.TemporaryDirectory() as folder:
        [prompt], _ = import_prompts(config(Path(folder), [text]), NEWS)
    example = Example("0", filling, NEWS.labels, 0)
    lines = "\n".join(line.rstrip() for line in text.split("\n"))  # as in every import
    assert render(prompt, NEWS, example).user == jinja2.Template(lines).render(filling)


scalars = (
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.sampled_from(["{{question}}", "file://*"])
)
keys = st.sampled_from(["prompts", "role", "content", "raw", "id", "messages", "prompt", "field_values", "conversation",
    "template_config", "gold", "field", "prompt format", "instruction", "prompt format variations", "question",
    "original_row_data", "original_row_index", "configuration", "defaultTest", "options"])  # fmt: skip
trees = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4), max_leaves=20
)


@settings(max_examples=300, deadline=None)
@given(
    trees
    | st.lists(st.dictionaries(keys, trees, max_size=6), max_size=2)
    | st.dictionaries(keys, trees, max_size=4)
)
def test_any_json_is_imported_or_refused_in_one_line(tree):
    with tempfile.TemporaryDirectory() as folder:
        path = write_json(Path(folder) / "a.json", tree)
        refusal = ""
        try:
            import_prompts(path, TASK)
        except UserError as error:
            refusal = str(error)
    assert not refusal or refusal.startswith(f"{path}: ")


def test_the_command_imports_promptfoo_and_screens_what_does_not_fit(project):
    (project / "promptfooconfig.yaml").write_text(
        "prompts: ['Tell the colour of {{thing}}', '{{thing}} {{topic}}', '{{ thing | upper }}']"
    )
    done = paft_here("prompts", "import", "config.yaml", "promptfooconfig.yaml", "-o", "pool.jsonl", cwd=project)
    assert done.returncode == 0, done.stderr
    assert "prompt 3: not imported: it uses a template expression: {{ thing | upper }}" in done.stderr
    assert "1 prompt; 1 could not be imported, 1 screened out (1 unknown-slot)" in done.stderr
    assert json.loads((project / "pool.jsonl").read_text())["text"] == "Tell the colour of {thing}"
    assert "the task has no slot {topic}" in (project / "pool.screened.jsonl").read_text()
    (project / "bad.json").write_text("{}")
    bad = paft_here("prompts", "import", "config.yaml", "bad.json", "-o", "other.jsonl", cwd=project)
    assert_refused(bad, "bad.json: not JSON of promptfoo or PromptSuite")

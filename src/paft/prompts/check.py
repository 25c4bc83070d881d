"""Check a set of prompts for a task, and show prompts on a real example: text for the terminal."""

from collections import Counter
from collections.abc import Iterable, Sequence

from paft.config.schema import ScreenConfig
from paft.models.response_cache import Answer
from paft.prompts.generate import Generated
from paft.prompts.parse import prompts_in
from paft.prompts.rules import NEEDED, RULES, defect
from paft.prompts.screen import Screened, screen
from paft.prompts.similarity import diversity
from paft.prompts.template import render
from paft.tasks.task import Task
from paft.types import Example, Prompt


def check(
    name: str, prompts: Sequence[Prompt], task: Task, examples: Sequence[Example], rules: ScreenConfig
) -> list[str]:
    """Return the lines on one file: counts, what would be screened out, lengths, slot orders, diversity."""
    kept, out = screen(prompts, task, examples, off=rules.off, near_duplicate=rules.near_duplicate)
    lines = [f"{name}: {len(prompts)} prompts, {len(kept)} fit for {task.name}, {len(out)} would be screened out"]
    lines.extend(_by_rule(out))
    if len(prompts) < 2:
        return lines
    found = diversity(prompts, task.aliases, rules.near_duplicate)
    short, middle, long = found.words
    lines += [
        f"  words: {short} / {middle} / {long} (10th, 50th, 90th percentile); "
        f"{found.system:.0%} of the prompts have a system text",
        f"  slot orders: {len(found.slot_orders)}; {_shares(found.slot_orders, len(prompts))}",
        f"  endings: {_shares(found.endings, len(prompts))}; {_cues(found.cues, len(prompts))}",
        f"  diversity: mean distance {found.distance:.3f} (word triples, 1 - Jaccard, over all pairs); "
        f"half of the prompts are further than {found.nearest:.2f} from the one most like them",
        f"  near-duplicates (similarity {rules.near_duplicate:.2f} and more): {len(found.clusters)} clusters with "
        f"{sum(map(len, found.clusters))} prompts"
        + "".join(
            f"\n    {', '.join(prompts[i].id for i in group[:6])}{' ...' * (len(group) > 6)}"
            for group in found.clusters[:5]
        ),
    ]
    return lines


def _by_rule(out: Iterable[Screened]) -> list[str]:
    rules: dict[str, list[Screened]] = {}
    for screened in out:
        rules.setdefault(screened.rule, []).append(screened)
    return [
        f"  {len(found):4} {rule}: {found[0].reason} ({found[0].prompt.id}{', ...' * (len(found) > 1)})"
        for rule, found in sorted(rules.items(), key=lambda item: -len(item[1]))
    ]


def _cues(cues: Counter[str], total: int) -> str:
    if not cues:
        return "no closing cue"
    cue, n = cues.most_common(1)[0]
    return f"{len(cues)} different closing cues, the most frequent {cue[-40:]!r} {n / total:.0%}"


def _shares(counter: Counter[str], total: int) -> str:
    shown = [f"{kind} {n / total:.0%}" for kind, n in counter.most_common(6)]
    return "; ".join(shown) + f"; {len(counter) - 6} others" * (len(counter) > 6)


def show(prompt: Prompt, task: Task, example: Example) -> list[str]:
    """Return a prompt filled with an example, and the right answer; or why it cannot be filled."""
    if fault := defect(prompt, task, frozenset(RULES) - NEEDED.keys()):
        return [f"--- prompt {prompt.id} cannot be shown: {fault[1]}", *prompt.text.splitlines(), ""]
    conversation = render(prompt, task, example)
    system = ["[system]", conversation.system] if conversation.system else []
    answer = f"[right answer] {task.target(example)}"
    return [f"--- prompt {prompt.id} on example {example.id}", *system, "[user]", conversation.user, answer, ""]


def cost_table(generated: Generated, per_request: int) -> tuple[list[str], list[list[str]]]:
    """Return head and rows, one per model and strategy: its cost and its prompts (the paper's table 7)."""
    head = [
        "model",
        "strategy",
        "requests",
        "tokens read",
        "tokens written",
        "prompts",
        "kept",
        "tokens a kept one",
        "left out",
    ]
    groups: dict[tuple[str, str], list[Answer]] = {}
    for request, answer in generated.answers:
        groups.setdefault((request.model, request.strategy), []).append(answer)
    rows = [_cost(source, answers, generated, per_request) for source, answers in groups.items()]
    if len(rows) > 1:
        everything = [answer for _, answer in generated.answers]
        rows.append(_cost(("all", ""), everything, generated, per_request))
    return head, rows


def _cost(source: tuple[str, str], answers: Sequence[Answer], generated: Generated, per_request: int) -> list[str]:
    def ours(prompt: Prompt) -> bool:
        return source[0] == "all" or (prompt.model, prompt.strategy) == source

    read, written = sum(a.prompt_tokens for a in answers), sum(a.completion_tokens for a in answers)
    kept = sum(map(ours, generated.prompts))
    reasons = Counter(s.rule for s in generated.screened if ours(s.prompt))
    prompts = sum(len(prompts_in(a.text, most=2 * per_request)) for a in answers)
    each = f"{(read + written) / kept:.0f}" if kept else "-"
    why = ", ".join(f"{n} {rule}" for rule, n in reasons.most_common())
    return [*source, str(len(answers)), f"{read:,}", f"{written:,}", str(prompts), str(kept), each, why]

"""Terminal output of ``paft prompts``: check a set of prompts, and show prompts rendered with an example."""

from collections import Counter
from collections.abc import Iterable, Sequence

from paft.config.schema import ScreenConfig
from paft.models.response_cache import CachedCompletion
from paft.prompts.generate import Generated
from paft.prompts.parse import prompts_in
from paft.prompts.rules import NEEDED, RULES, defect
from paft.prompts.screen import Screened, screen
from paft.prompts.similarity import diversity
from paft.prompts.template import render
from paft.tasks.task import Task
from paft.types import Example, Prompt
from paft.utils.console import counted


def check(
    name: str, prompts: Sequence[Prompt], task: Task, examples: Sequence[Example], rules: ScreenConfig
) -> list[str]:
    """Return the lines about one file: counts, prompts to screen out, lengths, slot orders, diversity."""
    kept, out = screen(prompts, task, examples, off=rules.off, near_duplicate=rules.near_duplicate)
    size = counted(len(prompts), "prompts")
    lines = [f"{name}: {size}, {len(kept)} fit for {task.name}, {len(out)} would be screened out"]
    lines.extend(_by_rule(out))
    if len(prompts) < 2:
        return lines
    measures = diversity(prompts, task.aliases, rules.near_duplicate)
    short, middle, long = measures.words
    lines += [
        f"  words: {short} / {middle} / {long} (10th, 50th, 90th percentile); "
        f"{measures.system:.0%} of the prompts have a system text",
        f"  slot orders: {len(measures.slot_orders)}; {_shares(measures.slot_orders, len(prompts))}",
        f"  endings: {_shares(measures.endings, len(prompts))}; {_cues(measures.cues, len(prompts))}",
        f"  diversity: mean distance {measures.distance:.3f} (word triples, 1 - Jaccard, over all pairs); "
        f"median distance to the most similar prompt {measures.nearest:.2f}",
        f"  near-duplicates (similarity {rules.near_duplicate:.2f} or more): "
        f"{counted(len(measures.clusters), 'clusters')} with {sum(map(len, measures.clusters))} prompts"
        + "".join(
            f"\n    {', '.join(prompts[i].id for i in group[:6])}{' ...' * (len(group) > 6)}"
            for group in measures.clusters[:5]
        ),
    ]
    return lines


def _by_rule(out: Iterable[Screened]) -> list[str]:
    rules: dict[str, list[Screened]] = {}
    for screened in out:
        rules.setdefault(screened.rule, []).append(screened)
    return [
        f"  {len(group):4} {rule}: {group[0].reason} ({group[0].prompt.id}{', ...' * (len(group) > 1)})"
        for rule, group in sorted(rules.items(), key=lambda item: -len(item[1]))
    ]


def _cues(cues: Counter[str], total: int) -> str:
    if not cues:
        return "no closing cue"
    cue, n = cues.most_common(1)[0]
    return f"{len(cues)} different closing cues, the most frequent {cue[-40:]!r} {n / total:.0%}"


def _shares(counter: Counter[str], total: int) -> str:
    shares = [f"{kind} {n / total:.0%}" for kind, n in counter.most_common(6)]
    return "; ".join(shares) + f"; {counted(len(counter) - 6, 'others')}" * (len(counter) > 6)


def show(prompt: Prompt, task: Task, example: Example) -> list[str]:
    """Return a prompt rendered with an example and the right answer, or the reason why it cannot be rendered."""
    if fault := defect(prompt, task, frozenset(RULES) - NEEDED.keys()):
        return [f"--- prompt {prompt.id} cannot be shown: {fault[1]}", *prompt.text.splitlines(), ""]
    conversation = render(prompt, task, example)
    system = ["[system]", conversation.system] if conversation.system else []
    right, *others = task.targets(example)
    answer = f"[right answer] {right}" + (f" (accepted too: {', '.join(others)})" if others else "")
    return [f"--- prompt {prompt.id} on example {example.id}", *system, "[user]", conversation.user, answer, ""]


def cost_table(generated: Generated, per_request: int) -> tuple[list[str], list[list[str]]]:
    """Return the header and rows of the paper's table 7: cost and prompts of each model and strategy."""
    header = [
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
    groups: dict[tuple[str, str], list[CachedCompletion]] = {}
    for request, answer in generated.answers:
        groups.setdefault((request.model, request.strategy), []).append(answer)
    rows = [_cost(source, answers, generated, per_request) for source, answers in groups.items()]
    if len(rows) > 1:
        answers = [answer for _, answer in generated.answers]
        rows.append(_cost(("all", ""), answers, generated, per_request))
    return header, rows


def _cost(
    source: tuple[str, str], answers: Sequence[CachedCompletion], generated: Generated, per_request: int
) -> list[str]:
    def is_from_source(prompt: Prompt) -> bool:
        return source[0] == "all" or (prompt.model, prompt.strategy) == source

    read, written = sum(a.prompt_tokens for a in answers), sum(a.completion_tokens for a in answers)
    kept = sum(map(is_from_source, generated.prompts))
    reasons = Counter(s.rule for s in generated.screened if is_from_source(s.prompt))
    prompts = sum(len(prompts_in(a.text, most=2 * per_request)) for a in answers)
    per_kept = f"{(read + written) / kept:.0f}" if kept else "-"
    reason_counts = ", ".join(f"{n} {rule}" for rule, n in reasons.most_common())
    return [
        *source,
        str(len(answers)),
        f"{read:,}",
        f"{written:,}",
        str(prompts),
        str(kept),
        per_kept,
        reason_counts,
    ]

"""``paft prompts attack``: a search for prompts that a finished method fails on, on training examples only."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from paft.config.model import LlmConfig
from paft.config.schema import GenerateSource
from paft.errors import UserError
from paft.methods.evaluator import PromptEvaluator
from paft.models.cached_client import CachedClient
from paft.models.client import Client
from paft.models.model import Model
from paft.models.open import language_models
from paft.prompts.attack import edits, rewrite_request, rewrites
from paft.prompts.files import read_prompts, write_prompts
from paft.prompts.instruct import SCHEMA
from paft.prompts.prepare import user_prompts
from paft.prompts.screen import counts, overlap, screen
from paft.prompts.template import render
from paft.runs.data import TaskData
from paft.runs.fingerprint import Fingerprint, differences, read_fingerprint, write_fingerprint
from paft.runs.finished import FinishedMethod
from paft.scoring import PaidScorer
from paft.tasks.load import subset
from paft.tasks.task import Task
from paft.types import Example, Prompt
from paft.utils.console import Console, counted

T = TypeVar("T")
Screen = Callable[[list[Prompt]], list[Prompt]]
"""Returns those of some prompts that may be tried."""

SPARE = 6
"""Edits proposed for each candidate that is wanted, since the screening leaves some out."""


@dataclass(frozen=True)
class AttackSettings:
    """How long and how widely to search.

    Attributes:
        starts, examples: the prompts to start from, and the training examples to judge on.
        rounds: edits that a prompt gets at most.
        candidates: edits evaluated in each round.
        seed: None takes the run's.
    """

    starts: int
    examples: int
    rounds: int
    candidates: int
    seed: int | None = None

    @property
    def evaluations(self) -> int:
        """Return how many prompts are evaluated at most for each start."""
        return 1 + self.rounds * self.candidates


@dataclass(frozen=True)
class Attacked:
    """A prompt under attack.

    Attributes:
        before: the score of the start.
        score: of the prompt now, and its mean probability of the right answer.
    """

    start: Prompt
    prompt: Prompt
    before: float
    score: tuple[float, float]

    @property
    def after(self) -> float:
        """Return the score of the prompt now."""
        return self.score[0]


class Attack:
    """The search.

    Args:
        clients: language models that rewrite prompts.
    """

    def __init__(
        self,
        evaluator: PromptEvaluator,
        examples: Sequence[Example],
        screened: Screen,
        settings: AttackSettings,
        *,
        clients: Sequence[CachedClient] = (),
        seed: int,
    ):
        self.evaluator, self.examples, self.screened = evaluator, examples, screened
        self.settings, self.clients, self.seed = settings, clients, seed

    def search(self, starts: Sequence[Prompt], console: Console) -> list[Attacked]:
        """Return each start with the prompt of the lowest score that was found, which may be the start itself."""
        attacked = [self._start(start) for start in starts]
        with console.progress("attacking", self.settings.rounds * len(starts)) as tick:
            for number in range(self.settings.rounds):
                for i, candidates in enumerate(self._candidates(attacked, number)):
                    tried = [replace(attacked[i], prompt=c, score=self._score(c)) for c in candidates]
                    attacked[i] = min([attacked[i], *tried], key=lambda a: a.score)  # the first of equals
                    tick(1, f"{starts[i].id} {attacked[i].before:.0%} -> {attacked[i].after:.0%}")
        return attacked

    def _start(self, start: Prompt) -> Attacked:
        score = self._score(start)
        return Attacked(start, replace(start, source="attack", strategy=None, model=None), score[0], score)

    def _score(self, prompt: Prompt) -> tuple[float, float]:
        score = self.evaluator.evaluate(prompt, self.examples)
        return score.accuracy, sum(score.right) / len(score.right)

    def _candidates(self, attacked: Sequence[Attacked], number: int) -> list[list[Prompt]]:
        """Return the candidates of a round for each start, rewrites first; none where the score is 0 already."""
        task, most = self.evaluator.task, SPARE * self.settings.candidates
        proposals: dict[int, list[Prompt]] = {i: [] for i, a in enumerate(attacked) if a.after > 0}
        requests = [rewrite_request(attacked[i].prompt, task) for i in proposals]
        for client in self.clients:
            replies = client.ask(requests, SCHEMA, again=number)
            for i, reply in zip(proposals, replies, strict=True):
                proposals[i] += rewrites(reply, attacked[i].prompt, client.client.name)
        for i, proposed in proposals.items():
            draw = random.Random(f"attack:{self.seed}:{number}:{attacked[i].start.id}")
            proposed.extend(edits(attacked[i].prompt, task, draw, most))
        fit = set(self.screened([prompt for proposed in proposals.values() for prompt in proposed]))
        candidates = {i: [prompt for prompt in proposed if prompt in fit] for i, proposed in proposals.items()}
        return [candidates.get(i, [])[: self.settings.candidates] for i in range(len(attacked))]


def attack(
    run: Path,
    method: str,
    output: Path,
    settings: AttackSettings,
    console: Console,
    *,
    prompt_file: Path | None = None,
    llms: Sequence[LlmConfig] | None = None,
) -> list[Attacked]:
    """Attack a method of a run, and write the prompts that score lower than their start to ``output``.

    What is computed is kept in a folder beside ``output``, so that the same call resumes. Nothing is written where
    no prompt scores lower.

    Args:
        prompt_file: the prompts to start from; the run's training prompts when left out.
        llms: language models that rewrite prompts too; those of the run's stage 1 when left out.

    Raises:
        UserError: the method is not finished, there is nothing to start from or to judge on, or ``output`` belongs
            to something else.
        WorkError: a language model or an endpoint failed; what is computed is kept.
    """
    finished = FinishedMethod.of(run, method)
    config = finished.config
    seed = config.seed if settings.seed is None else settings.seed
    folder, fingerprint = _own_folder(output, finished)
    clients = _clients(finished, llms, console)
    data = TaskData.load(config, [], console)
    if not data.train:
        raise UserError(f"{run}: the config has no task.train; an attack is judged on training examples")
    starts, screened = _starts(finished, data, prompt_file, console)
    starts = _drawn(starts, settings.starts, seed, "prompts", console)
    examples = _drawn(data.train, settings.examples, seed, "training examples", console)
    model = finished.open_model(console)
    evaluator = PromptEvaluator(
        model,
        data.task,
        config.evaluation.answer_settings,
        log=folder / "evaluations.jsonl",
        scorers=data.scorers,
    )
    _check_and_announce(model, evaluator, starts, examples, settings, clients, console)
    write_fingerprint(folder, fingerprint)
    if isinstance(evaluator.scorer, PaidScorer):
        evaluator.scorer.keep_in(folder / "judge.jsonl")
    cached = [CachedClient(client, folder / "answers.jsonl", seed=seed) for client in clients]
    with model.use_adapter(finished.adapter):
        search = Attack(evaluator, examples, screened, settings, clients=cached, seed=seed)
        attacked = search.search(starts, console)
    if usage := model.usage():
        console.say(usage)
    _write_lower(output, attacked, finished, data.task, console)
    return attacked


def _write_lower(
    output: Path, attacked: Sequence[Attacked], finished: FinishedMethod, task: Task, console: Console
) -> None:
    """Write the prompts that score lower than their start, if there are any."""
    lower = {a.prompt.id: a.prompt for a in attacked if a.after < a.before}
    if not lower:
        return
    write_prompts(output, lower.values())
    if repeats := overlap(_own_prompts(finished), list(lower.values()), task):
        console.say(
            f"{output}: {len(repeats)} of {len(lower)} prompts differ from a prompt of the run in format only; "
            "they suit prompts.train, and are no unseen prompts for prompts.test"
        )


def _own_folder(output: Path, finished: FinishedMethod) -> tuple[Path, Fingerprint]:
    """Return the folder beside ``output`` that keeps what is computed, and the method's fingerprint.

    Raises:
        UserError: ``output`` is something else, or of another method.
    """
    if output.suffix != ".jsonl":
        raise UserError(f"{output}: --output must name a .jsonl file")
    method, folder = finished.directory.method(finished.name), output.with_suffix(".search")
    now, before = read_fingerprint(method), read_fingerprint(folder)
    if now is None:
        raise UserError(f"{finished.directory.path}: {finished.name} has no fingerprint yet; finish the run first")
    if before is None and output.exists():
        raise UserError(f"{output}: the file exists and is not of an attack; choose another --output")
    if before is not None and before != now:
        lines = [line for stage, keys in now.items() for line in differences(before[stage], keys)]
        raise UserError(f"{output} is of another method; choose another --output. Different: {'; '.join(lines)}")
    return folder, now


def _clients(finished: FinishedMethod, llms: Sequence[LlmConfig] | None, console: Console) -> list[Client]:
    key, source = "--llm", finished.config.prompts.train
    if llms is None:
        key, llms = "prompts.train.generate.models", []
        if isinstance(source, GenerateSource):
            llms = source.generate.models
    return list(language_models(llms, key, console).values())


def _starts(
    finished: FinishedMethod, data: TaskData, prompt_file: Path | None, console: Console
) -> tuple[list[Prompt], Screen]:
    """Return the prompts that may be attacked, and the screening of what becomes of them.

    What becomes of them may repeat no test prompt, not even up to case, spacing and punctuation, and no other
    prompt of the run word for word.
    """
    run, rules = finished.directory.path, finished.config.prompts.screen
    train, test = (_prompts_of(finished.directory.prompts(split)) for split in ("train", "test"))
    own = {(prompt.system, prompt.text) for prompt in _own_prompts(finished)}
    off = {"near-duplicate", *rules.off}  # an attack is by nature close to its start
    prompts, source = (read_prompts(prompt_file), prompt_file) if prompt_file else (train, run)
    if shared := overlap(test, prompts, data.task):
        raise UserError(
            f"{source}: {shared[0][1].id} is a test prompt of the run, which must be unseen; remove it"
        )
    fit, out = screen(prompts, data.task, data.all_examples, off=off)
    if not prompts:
        raise UserError(f"{run}: no training prompts; name the prompts to start from with --prompts")
    if not fit:
        raise UserError(f"{source}: no prompt fits the task ({counts(out)})")
    if out:
        console.say(f"{source}: {len(out)} prompt(s) do not fit the task ({counts(out)}) and are not attacked")

    def screened(proposed: list[Prompt]) -> list[Prompt]:
        others = [prompt for prompt in proposed if (prompt.system, prompt.text) not in own]
        return screen(others, data.task, data.all_examples, off=off, known=test)[0]

    return fit, screened


def _own_prompts(finished: FinishedMethod) -> list[Prompt]:
    """Return the training prompts of the run and the user's."""
    return [*_prompts_of(finished.directory.prompts("train")), *user_prompts(finished.config.prompts)]


def _prompts_of(file: Path) -> list[Prompt]:
    """Return the prompts of a file of the run, which is empty where nothing is trained."""
    return read_prompts(file) if file.is_file() and file.stat().st_size else []


def _drawn(values: list[T], count: int, seed: int, what: str, console: Console) -> list[T]:
    if count > len(values):
        console.say(f"using all {len(values)} {what}; {count} were asked for")
    return subset(values, count, seed)


def _check_and_announce(
    model: Model,
    evaluator: PromptEvaluator,
    starts: Sequence[Prompt],
    examples: Sequence[Example],
    settings: AttackSettings,
    clients: Sequence[Client],
    console: Console,
) -> None:
    """Refuse questions that the model cannot take, and print what may cost money."""
    task = evaluator.task
    conversations = [render(prompt, task, example) for prompt in starts for example in examples]
    model.check(conversations, list(dict.fromkeys(map(task.candidates, examples))), evaluator.settings)
    if line := model.announce(conversations, evaluator.settings):
        console.say(line)
        console.say(f"these are the starts; the whole search asks up to {settings.evaluations} times as much")
    if isinstance(evaluator.scorer, PaidScorer) and evaluator.settings.mode == "generate":
        console.say(evaluator.scorer.announce(settings.evaluations * len(conversations)))
    if clients:
        names = ", ".join(client.name for client in clients)
        requests = settings.rounds * len(starts) * len(clients)
        console.say(f"asking {names} for rewrites: at most {counted(requests, 'requests')}")

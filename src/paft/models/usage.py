"""What a run asks of an endpoint, and what the answers cost and lack, in lines that a person reads."""

from collections.abc import Iterator, Mapping, Sequence

from paft.models.endpoint import Endpoint
from paft.models.letters import LEAST_MASS
from paft.models.questions import Question, key_of
from paft.models.response_cache import CachedCompletion
from paft.utils.console import counted


class Usage:
    """Counts the questions of a run and their answers.

    Args:
        answers: all that are cached, by key; those of this run come in as they arrive.

    Attributes:
        keys: of the run's questions.
        letter_masses: the probability of all letters together as the first token, of each question about letters.
        unanswered: how many questions have no answer and count as unparsed.
    """

    def __init__(self, endpoint: Endpoint, answers: Mapping[str, CachedCompletion]):
        self.keys: set[str] = set()
        self.letter_masses: list[float] = []
        self.unanswered = 0
        self._endpoint, self._answers = endpoint, answers

    def announce(self, questions: Sequence[Question], most_tokens: int) -> str:
        """Return one line on how many requests follow and about how many tokens they take.

        Args:
            most_tokens: of one answer.
        """
        keys = [key_of(question, self._endpoint) for question in questions]
        self.keys |= set(keys)
        new = {k: q for k, q in zip(keys, questions, strict=True) if k not in self._answers}
        known = sum(key in self._answers for key in keys)
        return (
            f"{self._asking} {counted(len(new), 'requests')}, about "
            f"{sum(q.characters for q in new.values()) // 4:,} tokens to read and at most "
            f"{len(new) * most_tokens:,} to write"
            f"{f'; {known:,} answers are cached' if known else ''}"
        )

    def announce_options(self, count: int) -> str:
        """Return one line on so many questions, each with one request for each of its options."""
        return f"{self._asking} {counted(count, 'questions')}, one request for each option"

    def summary(self) -> str:
        """Return one line on the tokens of all answers, those of earlier runs included, and on what is amiss."""
        answers = self._answers.values()
        read, wrote = sum(a.prompt_tokens for a in answers), sum(a.completion_tokens for a in answers)
        tokens = (
            f"{read:,} tokens read, {wrote:,} written" if read or wrote else "the endpoint reports no token counts"
        )
        notes = "".join(f"; {note}" for note in self._notes())
        return f"{self._endpoint.name}: {counted(len(answers), 'answers')}; {tokens}{notes}"

    @property
    def _asking(self) -> str:
        endpoint = self._endpoint
        return f"asking {endpoint.name} at {endpoint.base_url}, {endpoint.parallel} at a time:"

    def _notes(self) -> Iterator[str]:
        """Yield what the answers of this run lack, so that it is not taken for the model's mistakes."""
        answers = [self._answers[key] for key in self.keys if key in self._answers]
        written = [a for a in answers if a.first is None and a.echoed is None and a.refusal is None]
        if cut := sum(a.finish == "length" for a in written):
            yield f"{cut:,} of {len(written):,} were cut by the limit of tokens (evaluation.max_new_tokens)"
        if filtered := sum(a.finish == "refused" for a in written):
            yield f"{filtered:,} were cut by the provider's content filter"
        if empty := sum(not a.text.strip() for a in written):
            yield f"{empty:,} hold no text"
        if self.unanswered:
            yield f"{self.unanswered:,} questions have no answer and count as unparsed"
        if masses := self.letter_masses:
            yield f"the letters hold {sum(masses) / len(masses):.0%} of the first token's probability on average"
            if low := sum(mass < LEAST_MASS for mass in masses):
                yield f"less than {LEAST_MASS:.0%} in {low:,} of {len(masses):,}, which are unparsed"

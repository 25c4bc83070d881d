"""One text and what it says around every place where an option is named."""

from typing import Literal

from paft.scoring import patterns, words
from paft.scoring.options import Mention, OptionTable

State = Literal["ok", "or", "value", "question", "denied", "doubt", "open"]
"""What stands around a mention: nothing that speaks against it, a second option, a number or yes/no that judges
it, a question mark, a denial, doubt; ``open`` where its sentence goes on, so that it may be no answer."""


class Reading:
    """A plain text and where it names the options of a question.

    Args:
        text: as :func:`~paft.scoring.fold.plain` returns it.
        low: the same in lower case, of the same length.
        names: what the task calls its answer, in lower case.
    """

    def __init__(self, text: str, low: str, table: OptionTable, names: tuple[str, ...]):
        self.low, self.table, self.names = low, table, names
        self.mentions = table.mentions(text, low)
        self.at = {mention.start: mention for mention in self.mentions}
        self._states: dict[int, State] = {}

    def word(self, mention: Mention) -> str:
        """Return how the text names the option."""
        return self.low[mention.start : mention.end]

    def end(self, mention: Mention) -> int:
        """Return where a mention ends with the option's own text after its letter, or the noun after a label."""
        end = mention.end
        if mention.kind != "text":
            own = self.next_to_letter(mention)
            return own.end if own and own.index == mention.index else end
        noun = patterns.noun_after(self.names).match(self.low, end)
        if noun and self.word(mention) not in words.POLAR:
            return noun.end()
        if self.table.highest is not None and (unit := patterns.UNIT.match(self.low, end)):
            return unit.end()
        return end

    def next_to_letter(self, mention: Mention) -> Mention | None:
        """Return the option's text that stands right after a letter: ``B. London``."""
        close = patterns.AFTER_LETTER.match(self.low, mention.end)
        text = self.at.get(close.end()) if close else None
        return text if text and text.kind == "text" else None

    def is_next_to_another_text(self, mention: Mention) -> bool:
        """Return True if a letter stands before the whole text of another option: ``B. Paris``."""
        other = self.next_to_letter(mention) if mention.kind != "text" else None
        return other is not None and other.index != mention.index and self.fills_line(other)

    def state(self, mention: Mention) -> State:
        """Return what the text after a mention does to it."""
        if mention.start not in self._states:
            self._states[mention.start] = self._state(mention)
        return self._states[mention.start]

    def _state(self, mention: Mention) -> State:
        low, end, option = self.low, self.end(mention), self.word(mention)
        if self._goes_on_with_another(mention, end) or self.is_next_to_another_text(mention):
            return "or"
        is_polar_answer = option in words.POLAR and patterns.PUNCTUATION.match(low, end) is not None
        if not is_polar_answer and (patterns.DENIED_AFTER.match(low, end) or patterns.TAKEN_BACK.match(low, end)):
            return "denied"
        if self._is_judged(mention, end):
            return "value"
        if patterns.QUESTION.match(low, end):
            return "question"
        if patterns.NOT_ONLY.match(low, end):
            return "or"
        if mention.kind == "letter" and not patterns.ADVERB.match(low, end):
            return "ok"
        if option in words.POLAR and patterns.POLAR_GOES_ON.match(low, end):
            return "ok"
        return "ok" if patterns.END.match(low, end) else "open"

    def _is_judged(self, mention: Mention, end: int) -> bool:
        """Return True if a number, a percentage or a yes/no of its own stands beside the option."""
        value = patterns.VALUE.match(self.low, end)
        if mention.end != end:
            if mention.kind != "text":
                return False  # "C. 12", where the text of C is 12
            value = value or patterns.VALUE.match(self.low, mention.end)
        return value is not None and value[0].strip(" \"')].,:;-") != self.word(mention)

    def _goes_on_with_another(self, mention: Mention, end: int) -> bool:
        """Return True if another option follows, as in a list: ``A or B``, ``A. C``."""
        for begin in (mention.end, end):
            join = patterns.JOIN.match(self.low, begin)
            other = self.at.get(join.end()) if join else None
            if join and other and other.index != mention.index:
                mark = join[0].strip(" \n\"'([)]*")
                if mark not in (".", ":", "?") or patterns.ENDS_TEXT.match(self.low, other.end):
                    return True
        return False

    def is_denied(self, mention: Mention) -> bool:
        """Return True if the words around a mention deny it: ``not billing``, ``B is wrong``."""
        window = self.low[max(0, mention.start - 60) : mention.start]
        return patterns.DENIED_BEFORE.search(window) is not None or self.state(mention) == "denied"

    def stands_alone(self, mention: Mention) -> bool:
        """Return True if a mention is neither a part of a phrase nor denied."""
        ends = patterns.END.match(self.low, self.end(mention)) is not None
        return ends and self.state(mention) == "ok" and not self.is_denied(mention)

    def fills_line(self, mention: Mention) -> bool:
        """Return True if the rest of the line says nothing."""
        return patterns.REST_OF_LINE.match(self.low, mention.end) is not None

    def is_numbering(self, mention: Mention) -> bool:
        """Return True for the 1 of a numbered list, whose 2 begins a later line."""
        if self.word(mention) != "1":
            return False
        mark = self.low[mention.end : mention.end + 2]
        return mark in (". ", ") ") and f"\n2{mark}" in self.low[mention.end :]

    def is_asked(self, mention: Mention) -> bool:
        """Return True if the sentence with a mention is a question."""
        stop = patterns.STOP.search(self.low, mention.end, mention.end + 160)
        return stop is not None and stop[0] == "?"

    def clause_before(self, position: int) -> str:
        """Return what stands before a position in its clause; "if" is put before one in a conditional sentence."""
        window = self.low[max(0, position - 120) : position]
        if '"' in window:
            window = patterns.QUOTED.sub("", window)
        sentence = patterns.SENTENCE.split(window)[-1]
        clause = patterns.CLAUSE_END.split(sentence)[-1]
        return f"if {clause}" if patterns.CONDITION.match(sentence) else clause

"""Where a text states an answer: after a link such as "is" or a colon, before "is correct", or at its head."""

import re
from dataclasses import dataclass
from typing import Literal

from paft.scoring import patterns, words
from paft.scoring.options import Mention, OptionTable

State = Literal["ok", "or", "value", "question", "denied", "doubt", "open"]
"""What stands around a mention: nothing that speaks against it, a second option, a number or yes/no that judges it,
a question mark, a denial, doubt; ``open`` where its sentence goes on, so that it may be no answer."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A mention that the text states as its answer.

    Attributes:
        is_strong: it is called the answer, is said to be correct, or is chosen; else it only follows "WORD:" or
            "It is", or heads the text.
    """

    mention: Mention
    state: State
    is_strong: bool

    @property
    def index(self) -> int:
        return self.mention.index


class Reading:
    """One plain text and what it says about the options of a question.

    Args:
        text: as :func:`~paft.scoring.fold.plain` returns it.
        low: the same in lower case.
        names: what the task calls its answer, in lower case.
    """

    def __init__(self, text: str, low: str, table: OptionTable, names: tuple[str, ...]):
        self.text, self.low, self.table, self.names = text, low, table, names
        self.mentions = table.mentions(text, low)
        self.at = {mention.start: mention for mention in self.mentions}
        self._name_of = patterns.name_of(names)
        self._states: dict[int, State] = {}

    # -- what stands around a mention ------------------------------------------------------------------------------

    def state(self, mention: Mention) -> State:
        """Return what the text after a mention does to it."""
        if mention.start not in self._states:
            self._states[mention.start] = self._state(mention)
        return self._states[mention.start]

    def _state(self, mention: Mention) -> State:
        low, end = self.low, self.end(mention)
        if self.second_option(mention, end):
            return "or"
        option = low[mention.start : mention.end]
        is_polar = option in words.POLAR and low[end : end + 2].lstrip(" \"')]*")[:1] in tuple(".,;:!-")
        if not is_polar and (patterns.DENIED_AFTER.match(low, end) or patterns.TAKEN_BACK.match(low, end)):
            return "denied"
        value = patterns.VALUE.match(low, end) or (
            patterns.VALUE.match(low, mention.end) if mention.end != end else None
        )
        if value and not self._own_text_follows(mention) and value[0].strip(" \"')].,:;-") != option:
            return "value"
        if question := patterns.QUESTION.match(low, end):
            return "question" if low[question.end() :].strip() or mention.kind != "text" else "ok"
        if patterns.NOT_ONLY.match(low, end):
            return "or"
        if mention.kind == "letter" and not patterns.ADVERB.match(low, end):
            return "ok"
        if option in words.POLAR and patterns.POLAR_GOES_ON.match(low, end):
            return "ok"
        return "ok" if patterns.END.match(low, end) else "open"

    def end(self, mention: Mention) -> int:
        """Return where a mention ends with the option's own text after its letter and the noun after a label."""
        end = mention.end
        if mention.kind != "text":
            close = patterns.AFTER_LETTER.match(self.low, end)
            own = self.at.get(close.end()) if close else None
            return own.end if own and own.index == mention.index and own.kind == "text" else end
        noun = patterns.noun_after(self.names).match(self.low, end)
        if noun and self.low[mention.start : end] not in words.POLAR:
            return noun.end()
        if self.table.highest is not None and (unit := patterns.UNIT.match(self.low, end)):
            return unit.end()
        return end

    def _own_text_follows(self, mention: Mention) -> bool:
        return mention.kind != "text" and self.end(mention) != mention.end

    def second_option(self, mention: Mention, end: int) -> bool:
        """Return True if the text goes on with another option, as in a list: ``A or B``, ``A. C``."""
        for begin in {mention.end, end}:
            join = patterns.JOIN.match(self.low, begin)
            if join is None:
                continue
            other = self.at.get(join.end())
            if other is None or other.index == mention.index:
                continue
            mark = self.low[begin : join.end()].strip(" \"'([)]*")
            if mark in (".", ":", "?") and not re.match(
                r"[\"')\].*]*\s*(?:$|\n|\.)", self.low[other.end : other.end + 9]
            ):
                continue
            return True
        return False

    def is_denied(self, mention: Mention) -> bool:
        """Return True if the words before a mention deny it: ``not billing``, ``rather than B``."""
        window = self.low[max(0, mention.start - 60) : mention.start]
        return patterns.DENIED_BEFORE.search(window) is not None or self.state(mention) == "denied"

    # -- claims ----------------------------------------------------------------------------------------------------

    def claims(self) -> list[Claim]:
        """Return all claims but the head, in the order of the text."""
        found: dict[int, Claim] = {}
        for link in patterns.LINK.finditer(self.low):
            self._linked(link.start(), link.end(), link.lastgroup or "", found)
        if names := patterns.bare_names(self.names):
            for link in names.finditer(self.low):
                self._linked(link.start(), link.end(), "bare", found)
        for mention in self.mentions:
            end = self.end(mention)
            if patterns.CORRECT_AFTER.match(self.low, end) or (
                end != mention.end and patterns.CORRECT_AFTER.match(self.low, mention.end)
            ):
                segment = self._segment(mention.start)
                if patterns.DENIAL.search(segment):
                    continue
                state: State = "doubt" if patterns.DOUBT.search(segment) else "ok"
                found[mention.start] = Claim(mention, state, is_strong=True)
        return [found[start] for start in sorted(found)]

    def _linked(self, start: int, end: int, kind: str, found: dict[int, Claim]) -> None:
        """Note the mention that a link leads to."""
        low = self.low
        position = end
        for _ in range(8):
            mention = self.at.get(position)
            if mention is not None:
                break
            fill = patterns.FILL.match(low, position) or (self._name_of and self._name_of.match(low, position))
            if fill is None:
                return
            position = fill.end()
        else:
            return
        segment = self._segment(start)
        is_strong = self._strength(kind, segment, start)
        if is_strong is None:
            return
        state = self.state(mention)
        if kind == "colon" and self._begins_list(mention):
            return
        if (
            state == "open"
            and mention.kind == "text"
            and self._is_phrase(mention, kind, segment, start, low[end:position])
        ):
            state = "ok"
        if kind == "bare" and (state in ("or", "value", "open") or low[end:position].count("\n")):
            return
        if state in ("denied", "open") or patterns.DENIAL.search(segment):
            return
        option = low[mention.start : mention.end]
        if not is_strong and patterns.DENIAL.match(option) and option not in words.POLAR:
            state = "or"  # "This is not spam": a denial of "spam", or the label "not spam"
        if state == "ok" and (kind == "doubt" or patterns.DOUBT.search(segment)):
            state = "doubt"
        if mention.start not in found or is_strong:
            found[mention.start] = Claim(mention, state, is_strong)

    def _is_phrase(self, mention: Mention, kind: str, segment: str, link: int, between: str) -> bool:
        """Return True where the option describes one noun that says nothing more.

        ``It's a positive review.`` as the first sentence, ``belongs to the Sports section``, and ``the section is the
        Sports section``.
        """
        noun = patterns.NOUN.match(self.low, mention.end)
        if noun is None:
            return False
        ends = patterns.NOUN_END.match(self.low, noun.end()) is not None
        if ends and noun[1] in segment.split():
            return True
        if kind == "assign" and "the " in between and (ends or self.low.startswith((" of ", " in "), noun.end())):
            return True
        is_first = not patterns.STOP.search(self.low[:link])
        return is_first and ends and re.search(r"(?<![^\W_])an? ", between) is not None and kind == "copula"

    def _begins_list(self, mention: Mention) -> bool:
        """Return True if a mention heads its line, and the next option heads a later one: "each option: A. ... B. ..."."""
        if self.low[: mention.start].rstrip(" (*\"'")[-1:] != "\n" or (
            mention.kind != "text" and mention.index != 0
        ):
            return False
        for match in patterns.LINE_HEAD.finditer(self.low, mention.end):
            other = self.at.get(match.end())
            if other is not None and match[0][:1] == "\n" and other.index != mention.index:
                return mention.kind == "text" or other.index == 1
        return False

    def _strength(self, kind: str, segment: str, start: int) -> bool | None:
        """Return True for a link that states an answer, False for one that may, None for any other."""
        if kind == "choose":
            return True
        if kind != "bare" and patterns.SEVERAL.search(segment):
            return None
        if kind == "bare":
            return True
        is_named = patterns.answer_words(self.names).search(segment) is not None
        if kind == "colon" and self.low[start] == "\n":
            return True if is_named and len(segment.split()) <= 5 else None
        if kind == "colon":
            if is_named:
                return True
            is_heading = patterns.HEADING.match(segment) is not None and not self._names_option(
                start - len(segment), start
            )
            return False if is_heading and self.low[start] in ":=" else None
        if is_named:
            return True
        if kind == "assign":
            return False
        is_subject = patterns.SUBJECT.match(segment) is not None or not segment.strip()
        return False if is_subject and len(segment.split()) <= 12 else None

    def _names_option(self, start: int, end: int) -> bool:
        return any(start <= mention.start < end for mention in self.mentions)

    def _segment(self, position: int) -> str:
        """Return what stands before a position in its part of the sentence."""
        window = self.low[max(0, position - 120) : position]
        if '"' in window:
            window = patterns.QUOTED.sub("", window)
        sentence = patterns.SENTENCE.split(window)[-1]
        segment = patterns.CLAUSE_END.split(sentence)[-1]
        return f"if {segment}" if patterns.CONDITION.match(sentence) else segment

    def head(self) -> Claim | None:
        """Return the claim that the text begins with."""
        position, low = 0, self.low
        for _ in range(8):
            mention = self.at.get(position)
            if mention is not None:
                return self._head_claim(mention)
            denied = patterns.DENIED_HEAD.match(low, position)
            mention = self.at.get(denied.end()) if denied else None
            if mention is not None:
                rest = patterns.SENTENCE_END.match(low, mention.end)
                if rest is None:
                    return None
                position = rest.end()
                continue
            opener = patterns.OPENER.match(low, position)
            if opener is None or opener.end() == position:
                return None
            position = opener.end()
        return None

    def _head_claim(self, mention: Mention) -> Claim | None:
        state = self.state(mention)
        if state in ("open", "denied"):
            return None
        if state == "ok" and mention.kind != "text":
            end = self.end(mention)
            after = self.low[mention.end : mention.end + 1]
            if end == mention.end and not patterns.END.match(self.low, end):
                return None
            if mention.kind == "small" and after not in ("", ")", ".", "\n", '"', "'") and end == mention.end:
                return None
            if end == mention.end and self._is_other_text(mention):
                state = "or"
        return Claim(mention, state, is_strong=False)

    def _is_other_text(self, mention: Mention) -> bool:
        """Return True if a letter stands before the whole text of another option."""
        close = patterns.AFTER_LETTER.match(self.low, mention.end)
        other = self.at.get(close.end()) if close else None
        return (
            other is not None
            and other.kind == "text"
            and other.index != mention.index
            and re.match(r"[\"')\].!]*\s*(?:$|\n)", self.low[other.end : other.end + 9]) is not None
        )

    # -- what speaks against a claim -------------------------------------------------------------------------------

    def fills_line(self, mention: Mention) -> bool:
        """Return True if the rest of the line says nothing."""
        return re.match(r"[\"')\].:*]*(?:\n|$)", self.low[mention.end : mention.end + 9]) is not None

    def listed(self, *, blocking: bool = False) -> set[int]:
        """Return the options that head lines or clauses, as in a list of options.

        Args:
            blocking: only those that are alone on their line, or judged there.
        """
        found = set()
        for match in patterns.LINE_HEAD.finditer(self.low):
            mention = self.at.get(match.end())
            if mention is None and (number := patterns.NUMBERED.match(self.low, match.end())):
                mention = self.at.get(number.end())
            if mention is None or mention.kind == "small":
                continue
            if mention.kind == "letter" and not re.match(
                r"[)\].:]|\s[-\u2013:]", self.low[mention.end : mention.end + 2]
            ):
                if match[0][:1] not in ("", "\n") or not re.match(
                    r"\s*(?:\n|$)", self.low[mention.end : mention.end + 3]
                ):
                    continue
            if match[0][:1] == "," and self.state(mention) not in ("value", "question"):
                continue
            if blocking and not (self.fills_line(mention) or self.state(mention) == "value"):
                continue
            if self.state(mention) != "open" and not self.is_denied(mention):
                found.add(mention.index)
        for mention in self.mentions:  # "A) foo B) bar"
            if (
                mention.kind == "letter"
                and not blocking
                and patterns.MARK_IN_LINE.match(self.low, mention.end)
                and not self.is_denied(mention)
            ):
                if mention.start == 0 or self.low[mention.start - 1] == " ":
                    found.add(mention.index)
        return found

    def contradicts(self, claim: Claim) -> bool:
        """Return True if the text takes a claim back further on, or doubts it."""
        low, mention = self.low, claim.mention
        around = low[max(0, mention.start - 100) : self.end(mention) + 120]
        if patterns.UNSURE.search(around):
            return True
        own_end = self.end(mention)
        for other in self.mentions:
            if other.index == mention.index or other.kind == "small" or mention.start <= other.start < own_end:
                continue
            if other.start < mention.start:
                between = low[other.end : mention.start]
                if (
                    claim.is_strong
                    and len(between) < 200
                    and not patterns.STOP.search(between)
                    and self._stands_alone(other)
                ):
                    return True
                continue
            begin = max(own_end, other.start - 160)
            stops = [stop.end() for stop in patterns.STOP.finditer(low, begin, other.start)]
            between = low[max(stops, default=begin) : other.start]
            is_same_sentence = not stops and begin == own_end and not patterns.GIVES_REASON.search(between)
            if not (is_same_sentence or patterns.CONTRAST.search(between)) or self.is_denied(other):
                continue
            if (
                patterns.CLAIMLIKE.match(low, other.end)
                or self.state(other) in ("or", "value", "question")
                or self._stands_alone(other)
            ):
                return True
        return False

    def _stands_alone(self, mention: Mention) -> bool:
        """Return True if a mention is neither a part of a phrase nor denied."""
        return (
            self.state(mention) == "ok"
            and patterns.END.match(self.low, self.end(mention)) is not None
            and not self.is_denied(mention)
        )

"""Where a text states an answer: after a link such as "is" or a colon, before "is correct", or at its head."""

from dataclasses import dataclass

from paft.scoring import patterns, words
from paft.scoring.options import Mention
from paft.scoring.reading import Reading, State

_STEPS = 8
"""Words and signs that may stand between a link and an option, or before the head."""


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
        """The option."""
        return self.mention.index


@dataclass(frozen=True, slots=True)
class _Link:
    """What leads to a mention.

    Attributes:
        kind: ``choose``, ``assign``, ``doubt``, ``copula``, ``colon`` (also an arrow, a dash, a line's end), or
            ``bare`` where the option follows the word "answer" itself.
        clause: what stands before it.
        between: what stands between it and the mention.
    """

    kind: str
    start: int
    clause: str
    between: str


def claims(reading: Reading) -> list[Claim]:
    """Return all claims but the head, in the order of the text."""
    found: dict[int, Claim] = {}
    links = [(link.start(), link.end(), link.lastgroup or "") for link in patterns.LINK.finditer(reading.low)]
    if names := patterns.bare_names(reading.names):
        links += [(name.start(), name.end(), "bare") for name in names.finditer(reading.low)]
    for start, end, kind in links:
        mention = _linked(reading, end)
        if mention is None:
            continue
        link = _Link(kind, start, reading.clause_before(start), reading.low[end : mention.start])
        claim = _claim(reading, mention, link)
        if claim and (claim.is_strong or mention.start not in found):
            found[mention.start] = claim
    for mention in reading.mentions:
        if claim := _called_correct(reading, mention):
            found[mention.start] = claim
    return [found[start] for start in sorted(found)]


def _linked(reading: Reading, position: int) -> Mention | None:
    """Return the mention that follows a link, after words that only fill."""
    name_of = patterns.name_of(reading.names)
    for _ in range(_STEPS):
        if mention := reading.at.get(position):
            return mention
        fill = patterns.FILL.match(reading.low, position)
        fill = fill or (name_of.match(reading.low, position) if name_of else None)
        if fill is None:
            return None
        position = fill.end()
    return None


def _claim(reading: Reading, mention: Mention, link: _Link) -> Claim | None:
    is_strong = _strength(reading, link)
    if is_strong is None or patterns.DENIAL.search(link.clause):
        return None
    if link.kind == "colon" and _begins_list(reading, mention):
        return None
    state = reading.state(mention)
    if state == "open" and _describes_a_noun(reading, mention, link):
        state = "ok"
    if state in ("denied", "open"):
        return None
    if link.kind == "bare" and (state in ("or", "value") or "\n" in link.between):
        return None
    option = reading.word(mention)
    if not is_strong and patterns.DENIAL.match(option) and option not in words.POLAR:
        state = "or"  # "This is not spam": a denial of "spam", or the label "not spam"
    if state == "ok" and (link.kind == "doubt" or patterns.DOUBT.search(link.clause)):
        state = "doubt"
    if state == "ok" and reading.is_asked(mention):
        state = "question"
    return Claim(mention, state, is_strong)


def _strength(reading: Reading, link: _Link) -> bool | None:
    """Return True for a link that states an answer, False for one that may, None for any other."""
    if link.kind in ("choose", "bare"):
        return True
    if patterns.SEVERAL.search(link.clause):
        return None
    length = len(link.clause.split())
    if patterns.answer_words(reading.names).search(link.clause):
        return True if reading.low[link.start] != "\n" or length <= 5 else None
    if link.kind == "colon":
        start = link.start - len(link.clause)
        heading = patterns.HEADING.match(link.clause)
        if heading is None or patterns.NO_HEADING.fullmatch(link.clause) or reading.low[link.start] not in ":=":
            return None
        end = start + (heading.start("brackets") if heading["brackets"] else len(link.clause))
        if any(start <= mention.start < end for mention in reading.mentions):
            return None
        return None if _is_repeated(reading, link) else False
    if link.kind == "assign":
        return False
    is_subject = patterns.SUBJECT.match(link.clause) is not None or not link.clause.strip()
    return False if is_subject and length <= 12 else None


def _is_repeated(reading: Reading, link: _Link) -> bool:
    """Return True if the same heading has another value elsewhere, as in "Part: 100. Part: 120."."""
    heading = f"{link.clause.strip()}{reading.low[link.start]}"
    value = reading.low[link.start + 1 :].split("\n", 1)[0].strip()
    others = {line.split(heading, 1)[1].strip() for line in reading.low.split("\n") if heading in line}
    return bool(others - {value})


def _begins_list(reading: Reading, mention: Mention) -> bool:
    """Return True if a mention heads its line and the next option a later one: "each option: A. ... B. ..."."""
    before = reading.low[max(0, mention.start - 5) : mention.start].rstrip(" (*\"'")
    if before[-1:] != "\n" or (mention.kind != "text" and mention.index != 0):
        return False
    for match in patterns.LINE_HEAD.finditer(reading.low, mention.end):
        other = reading.at.get(match.end())
        if other and match[0][:1] == "\n" and other.index != mention.index:
            return mention.kind == "text" or other.index == 1
    return False


def _describes_a_noun(reading: Reading, mention: Mention, link: _Link) -> bool:
    """Return True where a label describes one noun that says nothing more.

    ``It's a positive review.`` as the first sentence, ``belongs to the Sports section``, and ``the section is the
    Sports section``.
    """
    noun = patterns.NOUN.match(reading.low, mention.end) if mention.kind == "text" else None
    if noun is None:
        return False
    ends = patterns.NOUN_END.match(reading.low, noun.end()) is not None
    if ends and noun[1] in link.clause.split():
        return True
    if link.kind == "assign" and "the " in link.between:
        return ends or reading.low.startswith((" of ", " in "), noun.end())
    is_first = patterns.STOP.search(reading.low, 0, link.start) is None
    return is_first and ends and link.kind == "copula" and bool({"a", "an"} & set(link.between.split()))


def _called_correct(reading: Reading, mention: Mention) -> Claim | None:
    """Return the claim of "B is correct" and the like."""
    ends = (mention.end, reading.end(mention))
    if not any(patterns.CORRECT_AFTER.match(reading.low, end) for end in ends):
        return None
    clause = reading.clause_before(mention.start)
    if patterns.DENIAL.search(clause):
        return None
    in_doubt = patterns.DOUBT.search(clause) is not None or reading.is_asked(mention)
    return Claim(mention, "doubt" if in_doubt else "ok", is_strong=True)


def head(reading: Reading) -> Claim | None:
    """Return the claim that the text begins with, after words such as "Sure!" and denied options."""
    position, low, name_of = 0, reading.low, patterns.name_of(reading.names)
    for _ in range(_STEPS):
        if mention := reading.at.get(position):
            return _head_claim(reading, mention)
        denial = patterns.DENIED_HEAD.match(low, position)
        denied = reading.at.get(denial.end()) if denial else None
        if denied:
            rest = patterns.SENTENCE_END.match(low, denied.end)
        else:
            rest = patterns.OPENER.match(low, position) or patterns.SPACE.match(low, position)
            rest = rest or (name_of.match(low, position) if name_of else None)
        if rest is None or rest.end() == position:
            return None
        position = rest.end()
    return None


def _head_claim(reading: Reading, mention: Mention) -> Claim | None:
    state, end = reading.state(mention), reading.end(mention)
    if state in ("open", "denied") or reading.is_numbering(mention):
        return None
    if state == "ok" and reading.is_asked(mention):
        state = "question"
    if state == "ok" and mention.kind != "text" and end == mention.end:
        if not patterns.END.match(reading.low, end):
            return None
        if mention.kind == "small" and reading.low[end : end + 1] not in ("", ")", ".", "\n", '"', "'"):
            return None
    return Claim(mention, state, is_strong=False)

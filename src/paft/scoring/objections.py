"""What speaks against a claim: a list of options, a second thought, doubt."""

from paft.scoring import patterns
from paft.scoring.options import Mention
from paft.scoring.reading import Reading
from paft.scoring.statements import Claim

_WINDOW = 160
"""Characters around a mention that are looked at."""


def listed(reading: Reading, *, blocking: bool = False) -> set[int]:
    """Return the options that head lines or clauses, as in a list of options.

    Args:
        blocking: only those that are alone on their line, or judged there.
    """
    found = set()
    for match in patterns.LINE_HEAD.finditer(reading.low):
        mention = reading.at.get(match.end())
        if mention is None and (number := patterns.NUMBERED.match(reading.low, match.end())):
            mention = reading.at.get(number.end())
        if mention is None or not _is_entry(reading, mention, match[0][:1]):
            continue
        if blocking and not (reading.fills_line(mention) or reading.state(mention) == "value"):
            continue
        found.add(mention.index)
    if not blocking:
        found |= {mention.index for mention in reading.mentions if _is_entry_within_line(reading, mention)}
    return found


def _is_entry(reading: Reading, mention: Mention, before: str) -> bool:
    """Return True if an option heads what may be an entry of a list.

    Args:
        before: the sign that ends what stands before it; empty for the text's beginning and odd for a bullet.
    """
    if mention.kind == "small":
        return False
    is_marked = mention.kind == "text" or patterns.LETTER_MARK.match(reading.low, mention.end)
    heads_line = before not in (".", ";", "!", "?", ",")
    if not is_marked and not (heads_line and patterns.LINE_END.match(reading.low, mention.end)):
        return False
    if before == "," and reading.state(mention) not in ("value", "question"):
        return False
    return reading.state(mention) != "open" and not reading.is_denied(mention)


def _is_entry_within_line(reading: Reading, mention: Mention) -> bool:
    """Return True for each entry of ``A) foo B) bar``."""
    if mention.kind != "letter" or not patterns.MARK_IN_LINE.match(reading.low, mention.end):
        return False
    return reading.low[max(0, mention.start - 1) : mention.start] in ("", " ") and not reading.is_denied(mention)


def contradicts(reading: Reading, claim: Claim) -> bool:
    """Return True if the text around a claim doubts it or names another option, or takes the claim back later."""
    mention = claim.mention
    begin, end = mention.start, reading.end(mention)
    if patterns.UNSURE.search(reading.low, max(0, begin - _WINDOW), end + _WINDOW):
        return True
    if patterns.IF_AFTER.match(reading.low, end) or _is_taken_back(reading, end):
        return True
    if mention.kind == "letter" and patterns.RANGE_BEFORE.search(reading.low[max(0, begin - 16) : begin]):
        return True
    for other in reading.mentions:
        if other.index == mention.index or other.kind == "small" or begin <= other.start < end:
            continue
        if other.start < begin:
            if claim.is_strong and _shares_sentence(reading, other, begin):
                return True
        elif _comes_instead(reading, other, end):
            return True
    return False


def _is_taken_back(reading: Reading, end: int) -> bool:
    """Return True for a second thought after a claim: ``A is right. Wait, no.``; one on another option is none."""
    thought = patterns.SECOND_THOUGHT.search(reading.low, end, end + _WINDOW)
    return thought is not None and not any(end <= mention.start < thought.start() for mention in reading.mentions)


def _shares_sentence(reading: Reading, other: Mention, begin: int) -> bool:
    """Return True if another option is named as an answer in the sentence that leads to a claim."""
    if begin - other.end > _WINDOW or patterns.STOP.search(reading.low, other.end, begin):
        return False
    join = patterns.JOIN.match(reading.low, other.end)
    is_joined = join is not None and join.end() == begin and not {".", ":", "?"} & set(join[0])  # both A and D
    return is_joined or reading.stands_alone(other)


def _comes_instead(reading: Reading, other: Mention, end: int) -> bool:
    """Return True if another option follows a claim in the same sentence, or after "but", "wait" and the like."""
    begin = max(end, other.start - _WINDOW)
    stops = [stop.end() for stop in patterns.STOP.finditer(reading.low, begin, other.start)]
    between = reading.low[max(stops, default=begin) : other.start]
    if not stops and _is_parallel(reading, other, end, between):
        return True
    if not stops and patterns.AS_WELL.search(between):
        return True
    is_same_sentence = not stops and begin == end and not patterns.GIVES_REASON.search(between)
    if not (is_same_sentence or patterns.CONTRAST.search(between)) or reading.is_denied(other):
        return False
    if is_same_sentence and patterns.MIXED.search(between):
        return True
    if patterns.CLAIMLIKE.match(reading.low, other.end) or reading.state(other) in ("or", "value", "question"):
        return True
    return reading.stands_alone(other)


def _is_parallel(reading: Reading, other: Mention, end: int, between: str) -> bool:
    """Return True for ``positive for the acting and negative for the plot``: one answer for each part."""
    left, right = patterns.OF_A_PART.match(reading.low, end), patterns.OF_A_PART.match(reading.low, other.end)
    return bool(left and right and left[1] == right[1] and patterns.AND_LAST.search(between))

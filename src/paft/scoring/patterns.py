"""What stands around an option in a text, as compiled patterns over plain lower-case text.

All are anchored by their caller (``match`` at a position) or look at a bounded window: reading stays linear.
"""

import re
from functools import lru_cache

from paft.scoring import words
from paft.scoring.fold import MARK

_CLOSE = r"[\"'\])}>*$]*"
_APART = r"(?![^\W_])"


def _spaced(alternatives: str) -> str:
    """Return a pattern of words that stand apart from letters and digits."""
    return rf"(?<![^\W_])(?:{alternatives}){_APART}"


def _either(spaced: str, unspaced: str, *, capture: str = "") -> str:
    """Return a pattern of words that stand apart, or of words of a language that sets none apart."""
    return f"(?P<{capture}>{_spaced(spaced)}|{unspaced})" if capture else f"(?:{_spaced(spaced)}|{unspaced})"


# -- links: from what a statement is about to the option -----------------------------------------------------

_COULD_BE = "could be|might be|may be|can be|could also be|podría ser|pourrait être|könnte"
_CORRECT_OPTION = f"(?:{words.CORRECT}) (?:{words.NAMING})"
LINK = re.compile(
    "|".join(
        (
            _either(words.CHOOSE, words.CHOOSE_UNSPACED, capture="choose"),
            f"(?P<assign>{_spaced(words.ASSIGN)})",
            _either(_COULD_BE, "可能是", capture="doubt"),
            rf"(?P<copula>{_spaced(words.COPULA)}|'s{_APART}|{words.COPULA_UNSPACED})",
            r"(?P<colon>[:=]|[=-]>|\u2192| [-\u2013\u2014] |\n)",
            _either(f"{words.ANSWER}|{_CORRECT_OPTION}", words.ANSWER_UNSPACED, capture="bare"),
        )
    )
)
FILL = re.compile(
    rf"[ \n]+|[:=]>?|->|\u2192|[\"'(\[{{<*$]|(?<![^\W_])(?:{words.FILLER})|-(?= )|\u2022|\d[.)] "
    rf"|{words.FILLER_UNSPACED}|(?<![^\W_])(?:{words.NAMING})(?: of(?: the)?)?(?= )"
)
"""What may stand between a link and the option."""

SUBJECT = re.compile(
    r"[\s\W]*(?:(?:so|therefore|thus|hence|overall|and|then|since|because|as|also|that|i think|i believe"
    r"|in conclusion|clearly|well|(?:we|one|you|i) (?:can|could|would|may) (?:say|conclude|infer|see))[, ]+){0,3}"
    + _either(words.PRONOUN, words.PRONOUN_UNSPACED)
)
_WORD = rf"[^\W\d_](?:[^\W\d_]|{MARK})*"
HEADING = re.compile(rf"\s*{_WORD}(?:[ '/-]{_WORD}){{0,2}}\s?(?P<brackets>\([^()]{{0,60}}\))?\s*$")
"""One to three words before a colon, perhaps with the options in brackets."""

IN_BRACKETS = re.compile(r"[^()\n]{0,60}\)\s?[:=]")
NO_HEADING = re.compile(rf"\W*(?:{words.RULED_OUT}|{words.NO_ANSWER}|{words.EXPLANATION})\W*")
"""What stands before a colon that leads to no answer."""

SEVERAL = re.compile(
    rf"(?<![^\W_])(?:{words.ONE_OF_SEVERAL})(?: [^\W\d_]+)? (?:{words.NAMING}|{words.ANSWER})s?{_APART}"
)
QUOTED = re.compile(r'"[^"\n]*"')
SENTENCE = re.compile(r"[.!?\n;:]")
CLAUSE_END = re.compile(r"[.,;:!?\n]")
CONDITION = re.compile(rf"\s*(?:if|unless|wenn|falls){_APART}")
DENIAL = re.compile(_either(words.DENIAL, words.DENIAL_UNSPACED) + r"|n't")
DOUBT = re.compile(_either(words.DOUBT, words.DOUBT_UNSPACED))

# -- after an option -----------------------------------------------------------------------------------------

JOIN = re.compile(
    r"[\"'\])}>*]*(?: ?(?:[,/|&;+.:?]|[=-]*>|\u2192|[-\u2013\u2014](?= )"
    rf"|{_spaced(words.OR)}|{words.OR_UNSPACED}))"
    r"{1,5}[ \n]?(?:(?:maybe|also|possibly|perhaps|even|the|an?|option|both|el|la|le|die|der|das) )?[\"'(\[*]*"
)
"""What joins two options: a comma, a slash, "or", an arrow, ..."""
RANGE_BEFORE = re.compile(r"(?<![^\W_])[a-z][\"'\])}>*]* (?:through|thru|to|bis) [\"'(\[*]*$")
AS_WELL = re.compile(
    r"(?:as (?:is|are|does)|as well as|along with|together with|so (?:is|does)) [\"'(\[*]*(?:option )?$"
)
""" "A is correct, as is D": what follows is an answer too, and no reason."""

VALUE = re.compile(
    rf"[\"'\])}}>*]*(?:\s?[:=(,.|\u2013\u2014-]|\s?[=-]*>|\s?\u2192|\s|\s?{_spaced('is|are')}\s){{1,5}}[\"'(]?"
    r"(?:[~\u2248]?-?\d[\d.,]*\s?(?:%|percent\b|/\s?\d+|out of \d+|points?\b)?"
    rf"|(?:{words.VALUE}){_APART})"
    r"(?=[\"')\].;,!|]*\s*(?:$|\n|[.;,!|)]|\s[-\u2013\u2014]\s|\(|[^\W_]+\s?[:=(]))"
)
QUESTION = re.compile(r"[\"'\])}>*]*\s?\?")
_IS = "is|was|are|would be|seems|looks|es|est|ist|\u00e9|\u00e8|\u2014|-"
_IS_NOT = (
    r"isn't|aren't|wasn't|cannot|can't|can not|can be (?:ruled|excluded|eliminated)|doesn't|does not|do not|don't"
    r"|did not|didn't|won't|would not|wouldn't"
)
DENIED_AFTER = re.compile(
    r"[\"'\])}>*]*\s?(?:\([^()\n]{0,40}\)\s?)?(?:(?:,\s?)?(?:which|that)\s)?(?:[,:-]\s)?"
    rf"(?:(?:{_IS})\s?(?:[^\W\d_]{{2,14}}\s){{0,2}}?"
    rf"(?:{words.DENIAL}|out|unlikely|ruled out|eliminated|excluded|irrelevant){_APART}"
    rf"|(?:{_IS_NOT}){_APART}|(?:{words.DENIAL_UNSPACED})|(?:(?:{words.CORRECT})\s)?(?:{words.DENIAL_LAST})"
    rf"|\((?:wrong|incorrect|not correct|{words.RULED_OUT}){_APART})"
)
_WRONG = (
    r"(?:(?:it|that|this|which)(?:'s| is| was)|that's) "
    rf"(?:(?:[^\W\d_]{{2,14}} )?(?:wrong|incorrect|false)|not (?:it|that|right|correct|true)){_APART}"
)
_BUT = r"(?:(?:but|wait|hmm+|actually|no|hold on|oh|oops|sorry|however|though)[,.!\u2026 -]{1,4})"
TAKEN_BACK = re.compile(rf"[\"'\])}}>*]*(?:\s?[.,;:!-]+\s*{_BUT}{{0,3}}|\s{_BUT}{{1,3}}){_WRONG}")
"""A denial right after an option: "B. That is wrong", "B, but that's wrong"."""

SECOND_THOUGHT = re.compile(
    rf"(?<![^\W_])(?:wait|hmm+|hold on|oops|oh)[,.!\u2026 -]{{1,4}}{_BUT}{{0,2}}(?:no(?=[.,!]|\s*$)|{_WRONG})"
    r"|(?<![^\W_])i(?:'ve| have| think i| may have| might have)? (?:made|make) (?:an?|some) (?:\w+ )?"
    r"(?:mistake|error)s?|let me (?:recheck|re check|reconsider|rethink|re ?evaluate|re ?examine|redo|try again"
    r"|correct (?:that|this|myself))"
    rf"|scratch that|(?<![^\W_])i was wrong{_APART}"
)
"""Words with which a text takes back what it has said before."""

PUNCTUATION = re.compile(r"[ \"')\]*]?[.,:;!-]")
ENDS_TEXT = re.compile(r"[\"')\].*]{0,4}\s*(?:$|\n|\.)")
NOT_ONLY = re.compile(r"[\"')\]]*,? (?:but )?not only")
CORRECT_AFTER = re.compile(
    r"(?:[\"'\])}>*]*(?:\s?\([^()\n]{0,60}\))?\s?"
    rf"{_either(words.COPULA, words.COPULA_UNSPACED + '|が|가|이')}|(?=\s))"
    rf"\s?(?:(?:{words.FILLER})\s){{0,2}}(?:{_either(words.CORRECT, words.CORRECT_UNSPACED)}"
    rf"|(?:the|my) (?:final )?(?:answer|choice){_APART}"
    r"|(?:fits|works|suits)(?: \w+){0,2} best|(?:makes|make) (?:the )?most sense|(?:it is|the one)(?=[.!]|\s*$))"
    rf"(?! (?:in|about|that){_APART})(?!\s?(?:{words.DENIAL_LAST}))"
)
END = re.compile(
    rf"{_CLOSE}(?:\s?(?:{words.SUFFIX}))?(?:\s*$|\n|\s?[.,;!?](?!\d)|\s?[:=](?!\s?\d)|\s[-\u2013](?!\s?\d)"
    rf"|(?<=[\"'\])}}>*$])\s(?!(?:{words.COPULA}){_APART})"
    r"|\s?\u2014(?!\s?\d)|-(?= )|\s?\(|\s?<|\s?[\u2190-\u2bff\U0001f000-\U0001faff]"
    rf"|\s(?:{words.REASON}){_APART}|(?:{words.REASON_UNSPACED})"
    r"|\s(?:too|here|overall|then|instead|of course|for sure)(?=[.,!\n]|$))"
)
"""Where the option ends what is said, or only a reason follows."""

POLAR_GOES_ON = re.compile(
    r" (?:it|they|he|she|this|that|you|we|i|there)"
    rf" (?:is|are|was|were|does|do|did|can|could|has|have|will|would|cannot|am)(?:n't)?{_APART}"
    rf"| (?:indeed|of course|absolutely|definitely|certainly){_APART}"
)
ADVERB = re.compile(rf"\s[a-z]+ly{_APART}")
AFTER_LETTER = re.compile(r"[\"')\].:,}\s*-]{0,5}")
UNIT = re.compile(r"[ -](?!and|or|to)[a-z]{2,12}(?=[.,;!:)\n]|\s*$)")
NOUN = re.compile(rf"[\"'*]* ([^\W\d_]{{3,16}}){_APART}")
NOUN_END = re.compile(r"[\"'*]*\s?(?:[.,!]|\n|$)")

# -- heads, lists and second thoughts ------------------------------------------------------------------------

OPENER = re.compile(
    rf"(?:{words.OPENER})[!,.]+\s?|[\"'(\[{{<*\u2022\u00b7]+\s?|[-\u2013] (?!\d)|:\s?|\n|\d{{1,2}}[.)] "
    rf"|(?:{words.ADVERB_OPENER}),? |(?:the|an?) (?=[^\W\d_]{{2}})"
)
SPACE = re.compile(r" ")
DENIED_HEAD = re.compile(rf"(?:{words.DENIAL})(?: an?| the| option)? |{words.DENIAL_UNSPACED}")
SENTENCE_END = re.compile(r"[\"')\]]*[.,;!\n]\s?")
LINE_HEAD = re.compile(r"(?:^|\n|[.;!?,] )(?:[-*\u2022\u00b7] ?)?(?:the )?[\"'(\[*]*(?=\S)")
LETTER_MARK = re.compile(r"[)\].:]|\s[-\u2013:]")
LINE_END = re.compile(r"\s?(?:\n|$)")
NUMBERED = re.compile(r"\d{1,2}[.)] [\"'(\[*]*")
MARK_IN_LINE = re.compile(r"\) (?=\w)")
REST_OF_LINE = re.compile(r"[\"')\].:*]{0,4}(?:\n|$)")
DENIED_BEFORE = re.compile(rf"(?:{_either(words.DENIAL, words.DENIAL_UNSPACED)}|n't)[^.,;:!?\n]{{0,45}}$")
UNSURE = re.compile(words.UNSURE)
CONTRAST = re.compile(_either(words.CONTRAST, words.CONTRAST_UNSPACED))
CLAIMLIKE = re.compile(
    r"[\"'\])}>*]*\s(?:also |really |actually |probably )?"
    rf"(?:fits?|is|seems|works|would|makes|better|instead){_APART}|[\"'\])]*(?:是|更|也|が|は|이|가)"
)
STOP = re.compile(r"(?<!\.)[.!?](?!\.)(?=\s|$)|\n")
"""The end of a sentence; an ellipsis is none."""

IF_AFTER = re.compile(rf"(?:,(?: but)?(?: only)?|[^.,;:!?\n]{{0,60}}) ?{_spaced('if|unless|provided')}")
"""A condition after a claim: "B would be right if ..."."""

MIXED = re.compile(rf"{_spaced('with|albeit|but|though|although|yet')}(?: [^\W_]+){{0,2}} $")
OF_A_PART = re.compile(rf" (for|in|on|about|regarding|para|en|em|pour|für|per|по|для){_APART}")
AND_LAST = re.compile(rf"(?:,|(?:,\s)?{_spaced(words.OR)}) $")
GIVES_REASON = re.compile(_either(words.BECAUSE, words.REASON_UNSPACED))

# -- the task's own names ------------------------------------------------------------------------------------


def _own(names: tuple[str, ...], end: str = "s?") -> str:
    return "".join(f"|{re.escape(name)}{end}" for name in names if name)


@lru_cache(maxsize=512)
def answer_words(names: tuple[str, ...]) -> re.Pattern[str]:
    """Return what makes a subject speak of the answer: "the answer", "the correct one", "the NAME"."""
    own = _own(names)
    spaced = f"{words.ANSWER}|{words.NAMING}|{words.CORRECT}{own}"
    unspaced = f"{words.ANSWER_UNSPACED}|{words.NAMING_UNSPACED}|{words.CORRECT_UNSPACED}{own}"
    return re.compile(_either(spaced, unspaced))


@lru_cache(maxsize=512)
def noun_after(names: tuple[str, ...]) -> re.Pattern[str]:
    """Return the nouns that may follow a label: "the delivery NAME"."""
    return re.compile(
        rf"[\"'\])}}>*]* (?:label|category|class|option|answer|choice|one{_own(names)}){_APART}[\"'\])}}>*]*"
    )


@lru_cache(maxsize=512)
def bare_names(names: tuple[str, ...]) -> re.Pattern[str] | None:
    """Return the names themselves, after which an option may follow without a verb; None without names."""
    own = _own(names, "").lstrip("|")
    return re.compile(_spaced(own)) if own else None


@lru_cache(maxsize=512)
def name_of(names: tuple[str, ...]) -> re.Pattern[str] | None:
    """Return the names as they may stand before an option: "the NAME of delivery"; None without names."""
    own = _own(names, "").lstrip("|")
    return re.compile(rf"(?<![^\W_])(?:{own})(?: of(?: the)?)?(?= )") if own else None

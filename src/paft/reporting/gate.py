"""The result of a gate in words: ``gate.md`` for a pull request's comment, and ``junit.xml`` for CI."""

from pathlib import Path
from xml.etree import ElementTree

from paft.runs.gate import GateResult
from paft.utils.console import counted
from paft.utils.io import write_text

LOWEST = 5
"""The most prompts that the Markdown file lists."""
LONGEST = 80
"""Characters of a prompt's text in the Markdown file."""


def write_gate(output: Path, result: GateResult) -> None:
    """Write ``gate.md`` and ``junit.xml`` into the folder ``output``."""
    write_text(output / "gate.md", markdown(result))
    write_text(output / "junit.xml", junit(result))


def line(result: GateResult) -> str:
    """Return the result in one line."""
    return f"{_verdict(result)}: {result.goal}; {_found(result)} after {_asked(result)}"


def markdown(result: GateResult) -> str:
    """Return the result as a comment on a pull request."""
    sign = {"passed": "\N{WHITE HEAVY CHECK MARK}", "fell short": "\N{CROSS MARK}"}.get(
        result.verdict, "\N{WARNING SIGN}"
    )
    lines = [
        f"### {sign} paft gate: {_verdict(result)}",
        "",
        f"`{result.goal}` for {_cell(result.subject)}: {_found(result)} after {_asked(result)} on "
        f"{counted(result.prompts, 'prompts')} x {counted(result.examples, 'examples')}.",
        "",
        *(f"- {_cell(note)}" for note in result.notes),
        *[""] * bool(result.notes),
    ]
    lowest = sorted(result.per_prompt, key=lambda prompt: prompt[2])[:LOWEST]
    if len(lowest) > 1:
        lines += [
            "| lowest prompts | score |" if not _is_difference(result) else "| lowest prompts | difference |"
        ]
        lines += ["|---|---|"]
        lines += [f"| {_cell(text or name)} | {score:.2f} |" for name, text, score in lowest]
    return "\n".join(lines).rstrip() + "\n"


def junit(result: GateResult) -> str:
    """Return the result as JUnit XML: one test case; an undecided one that passes is skipped."""
    code, is_undecided = result.exit_code, result.verdict == "undecided"
    counts = {"tests": 1, "failures": code, "errors": 0, "skipped": int(is_undecided and not code)}
    totals = {name: str(count) for name, count in counts.items()}
    suites = ElementTree.Element("testsuites", totals)
    suite = ElementTree.SubElement(suites, "testsuite", {"name": "paft gate"} | totals)
    names = {"classname": "paft.gate", "name": _plain(f"{result.goal} ({result.subject})")}
    case = ElementTree.SubElement(suite, "testcase", names)
    if code or is_undecided:
        ElementTree.SubElement(case, "failure" if code else "skipped", {"message": _plain(line(result))})
    ElementTree.SubElement(case, "system-out").text = _plain("\n".join([line(result), *result.notes]))
    ElementTree.indent(suites)
    return ElementTree.tostring(suites, encoding="unicode", xml_declaration=True) + "\n"


def _verdict(result: GateResult) -> str:
    if result.verdict != "undecided":
        return result.verdict
    return f"undecided, which counts as {'fallen short' if result.exit_code else 'passed'} (--undecided)"


def _is_difference(result: GateResult) -> bool:
    return result.figure == "difference"


def _found(result: GateResult) -> str:
    decision, name = result.decision, "difference" if _is_difference(result) else result.figure
    sign = "+" if _is_difference(result) else ""
    if decision.is_exact:
        return f"{name} {decision.estimate:{sign}.3f}"
    found = f"{name} about {decision.estimate:{sign}.2f}"
    if decision.interval is None:
        return found
    return f"{found} ({decision.interval.low:{sign}.2f} to {decision.interval.high:{sign}.2f})"


def _asked(result: GateResult) -> str:
    if result.asked == result.whole:
        return f"all {result.whole:,} questions of the grid"
    return f"{result.asked:,} of at most {result.most:,} questions ({result.whole:,} in the grid)"


def _cell(text: str) -> str:
    """Return a text for a cell of a Markdown table, which nothing in it can leave."""
    short = " ".join(text.split())
    short = short if len(short) <= LONGEST else f"{short[:LONGEST]} ..."
    marks = {ord(mark): f"\\{mark}" for mark in "\\`*_[]|#"} | {ord(mark): f"&#{ord(mark)};" for mark in "<>@"}
    return short.translate(marks)


def _plain(text: str) -> str:
    """Return a text without the control characters that XML cannot hold."""
    return "".join(c if c.isprintable() or c == "\n" else " " for c in text)

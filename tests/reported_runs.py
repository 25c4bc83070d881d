"""``paft run`` and ``paft evaluate`` as functions: the work, then the report."""

from paft.errors import WorkError
from paft.reporting.report import write_report
from paft.runs import run as runs


def run(config, output, console, **more):
    runs.run(config, output, console, **more)
    _report(output)


def evaluate(config, output, console):
    runs.evaluate(config, output, console)
    _report(output)


def _report(output):
    result = write_report(output)
    if result.unfinished:
        raise WorkError("; ".join(result.problems))

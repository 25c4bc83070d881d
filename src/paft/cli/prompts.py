"""``paft prompts``: generate, import, check, show and attack prompts."""

from pathlib import Path
from typing import Annotated

import typer

from paft.cli.options import ConfigFile, Overrides, Quiet
from paft.utils.console import Console

app = typer.Typer(no_args_is_help=True, help="Generate, import, check, show and attack prompts.")

Files = Annotated[
    list[Path] | None, typer.Argument(metavar="FILE", help="Prompt files; by default the config's prompts.")
]


@app.command()
def generate(
    config_file: ConfigFile,
    overrides: Overrides = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="The folder for the prompts.")] = Path("prompts"),
    quiet: Quiet = False,
) -> None:
    """Generate prompts with language models (stage 1).

    Run the same command again to generate only what is missing.
    """
    from paft.config.load import load_config
    from paft.prompts.stage1 import costs
    from paft.prompts.stage1 import generate as work
    from paft.reporting.terminal import show_table

    config = load_config(config_file, overrides)
    generated = work(config, output, Console(quiet=quiet))
    show_table(*costs(config, generated))
    if generated.missing:
        raise typer.Exit(1)


@app.command(name="import")
def import_(
    config: ConfigFile,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="JSON lines, CSV, text, promptsource, promptfoo or PromptSuite.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The prompt file to write.")],
    quiet: Quiet = False,
) -> None:
    """Import prompts of another tool, cleaned and screened."""
    from paft.config.load import load_config
    from paft.prompts.stage1 import import_file

    import_file(load_config(config), file, output, Console(quiet=quiet))


@app.command()
def check(config: ConfigFile, files: Files = None) -> None:
    """Check a set of prompts for defects and for diversity."""
    from paft.config.load import load_config
    from paft.prompts.stage1 import check_files

    print("\n".join(check_files(load_config(config), files or [])).rstrip())


@app.command()
def show(
    config: ConfigFile,
    files: Files = None,
    ids: Annotated[
        list[str] | None, typer.Option("--id", help="Show only the prompt with this id; repeatable.")
    ] = None,
    count: Annotated[int, typer.Option("--count", "-n", min=1, help="How many prompts to show.")] = 3,
) -> None:
    """Show prompts filled with real examples.

    The chat template is not applied.
    """
    from paft.config.load import load_config
    from paft.prompts.stage1 import show_prompts

    print("\n".join(show_prompts(load_config(config), files or [], ids or [], count)).rstrip())


@app.command()
def attack(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run directory.")],
    method: Annotated[str, typer.Argument(metavar="METHOD", help="The finished method that is attacked.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE.jsonl", help="The prompt file to write.")
    ] = Path("attack.jsonl"),
    prompts: Annotated[
        Path | None,
        typer.Option(
            "--prompts", metavar="FILE", help="Prompts to start from; by default the run's for training."
        ),
    ] = None,
    starts: Annotated[int, typer.Option("--starts", min=1, help="How many prompts to start from.")] = 10,
    examples: Annotated[
        int, typer.Option("--examples", min=1, help="How many training examples to judge on.")
    ] = 40,
    rounds: Annotated[int, typer.Option("--rounds", min=1, help="The most edits of a prompt.")] = 4,
    candidates: Annotated[int, typer.Option("--candidates", min=1, help="Edits to evaluate in each round.")] = 8,
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="By default the run's.")] = None,
    llm: Annotated[
        str | None,
        typer.Option(
            "--llm",
            metavar="NAME",
            help="A language model that rewrites prompts too, or none; by default those of the run's stage 1.",
        ),
    ] = None,
    base_url: Annotated[
        str | None,
        typer.Option("--base-url", metavar="URL", help="The endpoint of --llm; without it, a local model."),
    ] = None,
    key: Annotated[
        str | None, typer.Option("--key", metavar="VARIABLE", help="The environment variable with its key.")
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Search for prompts that a finished method fails on.

    They are judged on training examples. Run the same command again to resume. The exit code
    is 1 if no prompt was found that scores lower than its start.
    """
    from paft.config.model import LlmConfig
    from paft.errors import UserError
    from paft.reporting.terminal import show_table
    from paft.runs.attack import AttackSettings
    from paft.runs.attack import attack as work

    if llm in (None, "none") and (base_url or key):
        raise UserError("--base-url and --key belong to a language model; name it with --llm")
    llms = None if llm is None else [] if llm == "none" else [LlmConfig(model=llm, base_url=base_url, key=key)]
    settings = AttackSettings(starts, examples, rounds, candidates, seed)
    attacked = work(run, method, output, settings, Console(quiet=quiet), prompt_file=prompts, llms=llms)
    lower = [a for a in attacked if a.after < a.before]
    rows = [
        [a.start.id, f"{a.before:.1%}", f"{a.after:.1%}", (a.prompt.strategy or "") if a in lower else "none"]
        for a in attacked
    ]
    show_table(["start", "before", "after", "edits"], rows)
    if not lower:
        print(f"No prompt scores lower than its start; {output} is not written")
        raise typer.Exit(1)
    print(f"Prompts: {output} ({len(lower)} of {len(attacked)} score lower than their start)")

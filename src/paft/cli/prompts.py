"""``paft prompts``: stage 1 by itself."""

from pathlib import Path
from typing import Annotated

import typer

from paft.utils.console import Console, interruptible

app = typer.Typer(no_args_is_help=True, help="Make, collect, check and show prompts.")

ConfigFile = Annotated[Path, typer.Argument(metavar="CONFIG", help="A YAML config that names the task.")]
Files = Annotated[
    list[Path] | None, typer.Argument(metavar="[FILE]...", help="Prompt files; by default the config's prompts.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but the result and errors.")]


@app.command()
def generate(
    config: ConfigFile,
    overrides: Annotated[list[str] | None, typer.Argument(metavar="[KEY.SUB=VALUE]...")] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="The folder for the prompts.")] = Path("prompts"),
    quiet: Quiet = False,
) -> None:
    """Ask language models for prompts (stage 1); a second run asks only for what is missing."""
    from paft.config.load import load_config
    from paft.prompts.stage1 import costs
    from paft.prompts.stage1 import generate as work
    from paft.reporting.terminal import show_table

    tree = load_config(config, overrides)
    with interruptible():
        generated = work(tree, output, Console(quiet=quiet))
    show_table(*costs(tree, generated))
    if generated.missing:
        raise typer.Exit(1)


@app.command(name="import")
def import_(
    config: ConfigFile,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="JSON lines, CSV, TSV, text or promptsource YAML.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The prompt file to write.")],
    quiet: Quiet = False,
) -> None:
    """Bring prompts from elsewhere into a prompt file, cleaned and screened."""
    from paft.config.load import load_config
    from paft.prompts.stage1 import import_file

    import_file(load_config(config), file, output, Console(quiet=quiet))


@app.command()
def check(config: ConfigFile, files: Files = None) -> None:
    """Say what prompts are worth: faults, lengths, layouts, diversity, near-duplicates."""
    from paft.config.load import load_config
    from paft.prompts.stage1 import check_files

    print("\n".join(check_files(load_config(config), files or [])).rstrip())


@app.command()
def show(
    config: ConfigFile,
    files: Files = None,
    ids: Annotated[list[str] | None, typer.Option("--id", help="Only the prompt with this id.")] = None,
    count: Annotated[int, typer.Option("--count", "-n", min=1, help="So many prompts.")] = 3,
) -> None:
    """Show prompts filled with real examples; a chat template comes around them later."""
    from paft.config.load import load_config
    from paft.prompts.stage1 import show_prompts

    print("\n".join(show_prompts(load_config(config), files or [], ids or [], count)).rstrip())

"""``paft prompts``: generate, import, check and show prompts."""

from pathlib import Path
from typing import Annotated

import typer

from paft.utils.console import Console, interruptible

app = typer.Typer(no_args_is_help=True, help="Generate, import, check and show prompts.")

ConfigFile = Annotated[Path, typer.Argument(metavar="CONFIG", help="A YAML config that names the task.")]
Files = Annotated[
    list[Path] | None, typer.Argument(metavar="[FILE]...", help="Prompt files; by default the config's prompts.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print only the result and errors.")]


@app.command()
def generate(
    config: ConfigFile,
    overrides: Annotated[list[str] | None, typer.Argument(metavar="[KEY.SUB=VALUE]...")] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="The folder for the prompts.")] = Path("prompts"),
    quiet: Quiet = False,
) -> None:
    """Generate prompts with language models (stage 1); run it again to generate only missing prompts."""
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
    """Import prompts from another file format into a prompt file, cleaned and screened."""
    from paft.config.load import load_config
    from paft.prompts.stage1 import import_file

    import_file(load_config(config), file, output, Console(quiet=quiet))


@app.command()
def check(config: ConfigFile, files: Files = None) -> None:
    """Check a set of prompts: defects, lengths, slot orders, diversity, near-duplicates."""
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
    """Show prompts rendered with real examples, without the chat template."""
    from paft.config.load import load_config
    from paft.prompts.stage1 import show_prompts

    print("\n".join(show_prompts(load_config(config), files or [], ids or [], count)).rstrip())

"""Named parts of a run: built in (``uniform``), or a user's own (``module:name``).

A module of the user's own is looked for beside the config file, then where Python looks for every module.
"""

import importlib
import inspect
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from paft.errors import LineError, UserError, WorkError, nearest, one_line

T = TypeVar("T")

_folders: list[str] = []


def search_modules_in(folders: Sequence[str]) -> None:
    """Look for a user's modules in these folders first, such as the one of the config file."""
    _folders[:] = folders


class Registry:
    """The parts of one kind, by name.

    Args:
        kind: what a part is called in messages, such as ``sampler``.
        builtin: ``module:name`` by name; a module is imported when its part is asked for.
    """

    def __init__(self, kind: str, builtin: Mapping[str, str]):
        self.kind, self.builtin = kind, dict(builtin)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the built-in parts."""
        return tuple(self.builtin)

    def get(self, name: str, key: str) -> Any:
        """Return the class or function of a name.

        Args:
            key: the config key that holds the name, for messages.

        Raises:
            UserError: there is no such part, or the user's module cannot be imported or lacks it.
        """
        if name in self.builtin:
            return load_object(self.builtin[name], key)
        if ":" in name:
            return load_object(name, key)
        raise UserError(
            f"config key {key}: no {self.kind} {name!r}{nearest(name, self.builtin)}; "
            "one of your own is written module:name"
        )


def load_object(reference: str, key: str) -> Any:
    """Return what ``module:name`` stands for.

    Raises:
        UserError: the module cannot be imported, or has no such name.
    """
    module_name, _, name = reference.partition(":")
    if not module_name or not name:
        raise UserError(f"config key {key}: {reference!r} names no part of a module; write module:name")
    try:
        with _searched():
            module = importlib.import_module(module_name)
    except Exception as error:  # a user's module runs whatever it holds
        raise UserError(
            f"config key {key}: cannot import {module_name!r}: {describe(error)}{place(error)}"
            f"{_where_it_may_be(error, module_name)}"
        ) from None
    if not hasattr(module, name):
        names = [name for name in vars(module) if not name.startswith("_")]
        raise UserError(f"config key {key}: {module_name!r} has no {name!r}{nearest(name, names)}")
    return getattr(module, name)


def _where_it_may_be(error: Exception, module_name: str) -> str:
    """Return where a module was looked for that is nowhere; nothing for other errors."""
    if not isinstance(error, ModuleNotFoundError) or error.name != module_name.partition(".")[0]:
        return ""
    folders = ", ".join(dict.fromkeys((*_folders, str(Path.cwd()))))
    return f"; it is looked for in {folders}; start paft in its folder, or set PYTHONPATH"


def create(part: Any, settings: Mapping[str, Any], key: str, **arguments: Any) -> Any:
    """Return ``part(**arguments, **settings)``.

    Args:
        settings: what the config says of the part.
        arguments: what paft passes.

    Raises:
        UserError: the part takes no such setting, or refuses its value.
    """
    taken = keywords(part)
    if taken is not None:
        for name in settings:
            if name in arguments or name not in taken:
                raise UserError(f"config key {key}.{name} is unknown{nearest(name, taken - arguments.keys())}")
    if lacking := [name for name in required(part) if name not in settings and name not in arguments]:
        raise UserError(f"config key {key}.{lacking[0]} is missing")
    try:
        return part(**arguments, **settings)
    except LineError:
        raise
    except Exception as error:  # a user's class runs whatever it holds
        raise UserError(f"config key {key}: {describe(error)}{place(error)}") from None


Part = str | Mapping[str, Any] | Callable[..., Any]
"""How a config or a call names a part: a name, ``{name: NAME, ...its settings}``, or the class itself."""


def make_part(registry: Registry, setting: Part, key: str, kind: type[T], **arguments: Any) -> T:
    """Return the part of a setting.

    Args:
        key: the config key of the setting, for messages.
        kind: the base class of such parts.
        arguments: what paft passes to it.

    Raises:
        UserError: there is no such part, it is of another kind, or it refuses a setting.
    """
    name, settings = part_setting(setting, key)
    made = create(registry.get(name, key) if isinstance(name, str) else name, settings, key, **arguments)
    if not isinstance(made, kind):
        raise UserError(
            f"config key {key}: {name!r} makes a {type(made).__name__}; derive it from {kind.__name__}"
        )
    return made


def part_setting(setting: Any, key: str) -> tuple[Any, dict[str, Any]]:
    """Return the name (or the class) and the further settings of a part.

    Raises:
        UserError: the setting has another form.
    """
    if isinstance(setting, Mapping):
        settings = dict(setting)
        name = settings.pop("name", None)
    else:
        name, settings = setting, {}
    if isinstance(name, str) or callable(name):
        return name, settings
    raise UserError(f"config key {key} takes a name or {{name: NAME, ...}} with its settings; found {setting!r}")


@contextmanager
def user_code(name: str) -> Iterator[None]:
    """Turn an error of a user's own code into one line that names its file and line.

    Raises:
        WorkError: the code raised; what is finished is kept, and the same command resumes.
    """
    try:
        yield
    except LineError:
        raise
    except Exception as error:  # a user's code raises whatever it raises
        if not (where := place(error)):
            raise
        raise WorkError(
            f"{name} failed: {describe(error)}{where}; fix it and run the same command again to resume"
        ) from error


def source_file(part: Any) -> Path | None:
    """Return the file of a user's own class or function; None for a part of paft."""
    kind = part if inspect.isclass(part) or inspect.isfunction(part) else type(part)
    if kind.__module__.startswith("paft."):
        return None
    try:
        return Path(inspect.getfile(kind))
    except (OSError, TypeError):
        return None


def describe(error: BaseException) -> str:
    """Return an error's class and text on one line."""
    text = one_line(error)
    return text if text == type(error).__name__ else f"{type(error).__name__}: {text}"


def place(error: BaseException) -> str:
    """Return `` (file:line)`` of the innermost line of an error that lies in a user's file, or nothing."""
    if isinstance(error, SyntaxError) and error.filename:
        return f" ({error.filename}:{error.lineno})"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_users(frame.filename)]
    return f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""


def _is_users(file: str) -> bool:
    library = (
        "site-packages",
        "dist-packages",
        str(Path(__file__).parent.parent),
        str(Path(inspect.__file__).parent),
    )
    return not file.startswith("<") and not any(part in file for part in library)


@contextmanager
def _searched() -> Iterator[None]:
    """Let imports see the user's folders, and forget them afterwards."""
    added = [folder for folder in (*_folders, str(Path.cwd())) if folder not in sys.path]
    sys.path[:0] = added
    try:
        yield
    finally:
        for folder in added:
            sys.path.remove(folder)


def keywords(part: Any) -> set[str] | None:
    """Return the names of the arguments that a part takes by keyword; None where it takes any.

    A class of paft hands the arguments that it does not name to its base class.
    """
    try:
        parameters: Iterable[inspect.Parameter] = inspect.signature(part).parameters.values()
    except (TypeError, ValueError):
        return None
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.VAR_KEYWORD)
    names = {parameter.name for parameter in parameters if parameter.kind not in kinds}
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        if not (inspect.isclass(part) and part.__module__.startswith("paft.")):
            return None
        inherited = keywords(part.__base__)
        return None if inherited is None else names | inherited
    return names


def required(part: Any) -> list[str]:
    """Return the names of the arguments that a part must get."""
    try:
        parameters = inspect.signature(part).parameters.values()
    except (TypeError, ValueError):
        return []
    variable = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    return [p.name for p in parameters if p.default is p.empty and p.kind not in variable]

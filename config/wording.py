"""The texts of notices, read from `texts` of the configuration folder and checked as a whole; docs/notices.md.

A text that is missing there is the shipped one, so that a folder need hold only what it says differently.
"""

from __future__ import annotations

import traceback
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from jinja2 import TemplateError, TemplateSyntaxError, nodes

from bridge.delivery.facts import Frame, Several, Single, Told, parts
from bridge.delivery.notices import KINDS, Loader, Texts, writing
from bridge.delivery.samples import A_BODY, OURS, known_to
from bridge.words import LANGUAGES
from config.settings import HERE, BadSettings

#: What writing with right names can still do wrong: a sum with a word, a filter that is none, the eleventh of ten.
_WRONG_IN_USE = (TemplateError, TypeError, ValueError, LookupError, AttributeError, ArithmeticError)
#: Names a text may use, each with the type that says what fields it has.
Names = Mapping[str, Any]


def read_texts(folder: Path) -> Texts:
    """Return the texts of a configuration folder.

    Raises:
        BadSettings: with every fault of every text, each with file and line.
    """
    faults: list[str] = []
    check = _Check(_sources(folder / "texts", faults))
    faults += check.faults()
    if faults:
        raise BadSettings(faults)
    return Texts(check.environment)


@cache
def shipped() -> Texts:
    """Return the texts as they are shipped."""
    return read_texts(HERE)


def _sources(folder: Path, faults: list[str]) -> dict[str, str]:
    sources = {path.name: path.read_text(encoding="utf-8") for path in sorted((HERE / "texts").iterdir())}
    known = ", ".join(sources)
    # Files that hide, and the copies editors leave behind, are nobody's texts.
    own = [path for path in folder.glob("*") if not path.name.startswith(".") and not path.name.endswith("~")]
    for path in sorted(own):
        if path.name not in sources:
            faults.append(f"texts/{path.name}: no such text; there are {known}")
            continue
        try:
            sources[path.name] = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            faults.append(f"texts/{path.name}: cannot be read: {error}")
    return sources


class _Check:
    """Looks through all texts once; a fault found in one that several include is told once."""

    def __init__(self, sources: Mapping[str, str]) -> None:
        self._sources = sources
        self._loader = Loader(sources)
        self.environment = writing(self._loader)
        self._faults: dict[str, None] = {}
        #: Whether the names of a text, given these facts, are right.
        self._named: dict[tuple[str, frozenset[str]], bool] = {}

    def faults(self) -> list[str]:
        """Return every fault: what cannot be read, wrong names wherever they stand, and what goes wrong in use."""
        for name in self._sources:
            try:
                self.environment.get_template(name)
            except TemplateSyntaxError as error:
                self._add(f"{name}:{error.lineno}", error.message or "cannot be read")
        for kind, language in product(KINDS, LANGUAGES):
            self._text(f"{kind}.{language}.txt", kind)
        self._frame()
        return list(self._faults)

    def _add(self, place: str, fault: str) -> None:
        self._faults[f"texts/{place}: {fault}"] = None

    def _text(self, name: str, kind: str) -> None:
        if not self._is_named(name, _fields(Several) if kind == "digest" else _fields(Told) | _fields(Single)):
            return
        for known in known_to(kind):
            written = self._written(name, known)
            if written is None:
                return
            wrong = _unlike_mail(written, "" if kind == "digest" else known["ticket"])
            if wrong:
                self._add(f"{name}:1", wrong)
                return

    def _frame(self) -> None:
        if not self._is_named("notice.html", _fields(Frame)):
            return
        for urgent in (False, True):
            self._written("notice.html", vars(Frame("id", "Laporan baru", urgent, parts(A_BODY, OURS))))

    def _written(self, name: str, known: Mapping[str, Any]) -> str | None:
        """Return a text with these facts; None if that fails."""
        try:
            return self.environment.get_template(name).render(known)
        except TemplateSyntaxError:
            return None  # told already, with its line
        except _WRONG_IN_USE as error:
            self._add(_place(error, name), str(error))
            return None

    def _is_named(self, name: str, names: Names) -> bool:
        """Look for names that are none in a text and in those it includes, also where no facts lead to."""
        known = (name, frozenset(names))
        tree = self._loader.trees.get(name)
        if known not in self._named and tree is not None:
            # A text that includes itself is found out when it is written.
            self._named[known] = True
            found = list(tree.find_all((nodes.Name, nodes.Getattr, nodes.For, nodes.Include)))
            given = self._given(found, names)
            wrong = [(node, text) for node in found for text in _misnamed(node, *given)]
            for node, text in wrong:
                self._add(f"{name}:{node.lineno}", text)
            self._named[known] = not wrong and all([self._is_named(each, names) for each in _included(found)])
        return self._named.get(known, False)

    def _given(self, found: Sequence[nodes.Node], names: Names) -> tuple[Names, set[str], Collection[str]]:
        """Return the types of what a text can name, its own variables and jinja's, and all texts."""
        own = {node.name for node in found if isinstance(node, nodes.Name) and node.ctx != "load"}
        return {**names, **_looped(found, names)}, own | set(self.environment.globals), self._sources


def _included(found: Sequence[nodes.Node]) -> list[str]:
    templates = [node.template for node in found if isinstance(node, nodes.Include)]
    return [template.value for template in templates if isinstance(template, nodes.Const)]


def _misnamed(node: nodes.Node, types: Names, own: set[str], texts: Collection[str]) -> Iterator[str]:
    if isinstance(node, nodes.Name) and node.name not in types and node.name not in own:
        yield f"no field {node.name!r}; there are {', '.join(sorted(types))}"
    if isinstance(node, nodes.Getattr):
        owner = _type(node.node, types)
        if _has_fields(owner) and node.attr not in _fields(owner):
            yield f"no field {node.attr!r} here; there are {', '.join(_fields(owner))}"
    for included in _included([node]):
        if included not in texts:
            yield f"includes {included!r}; there are {', '.join(texts)}"


def _looped(found: Sequence[nodes.Node], names: Names) -> dict[str, Any]:
    """Return what `{% for item in items %}` names, with its type."""
    types: dict[str, Any] = {}
    for loop in found:
        if isinstance(loop, nodes.For) and isinstance(loop.target, nodes.Name):
            types[loop.target.name] = _one_of(_type(loop.iter, {**names, **types}))
    return types


def _type(node: nodes.Node, names: Names) -> Any:
    """Return the type of an expression as far as it is known, else None."""
    if isinstance(node, nodes.Name):
        return names.get(node.name)
    if isinstance(node, nodes.Getitem):
        return _one_of(_type(node.node, names))
    if isinstance(node, nodes.Getattr):
        owner = _type(node.node, names)
        return _fields(owner).get(node.attr) if _has_fields(owner) else None
    return None


def _one_of(several: Any) -> Any:
    return get_args(several)[0] if get_origin(several) is tuple else None


def _has_fields(kind: Any) -> bool:
    return is_dataclass(kind)


@cache
def _fields(kind: Any) -> dict[str, Any]:
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in fields(kind)}


def _unlike_mail(written: str, ticket: str) -> str:
    subject, _, body = written.partition("\n")
    if not subject.strip():
        return "the first line is the subject, and it is empty"
    if ticket not in subject:
        return "the subject must hold {{ report.ticket }}: people look for it"
    if not body.strip():
        return "nothing follows the subject"
    return "" if body.startswith("\n") else "an empty line must follow the subject"


def _place(error: Exception, name: str) -> str:
    """Return file and line of a text in which something went wrong: jinja's frames are named like their texts."""
    lines = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.startswith("texts/")]
    return f"{lines[-1].filename.removeprefix('texts/')}:{lines[-1].lineno}" if lines else name

"""What an officer reads: subject, text and HTML of a notice, from the report as it stands at this moment.

The words are files in config/texts, or in `texts` of BRIDGE_CONFIG_DIR; config/wording.py reads and checks them.
"""

import re
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from jinja2 import BaseLoader, Environment, StrictUndefined, Template, TemplateNotFound, nodes, select_autoescape
from jinja2.sandbox import ImmutableSandboxedEnvironment

from bridge import words
from bridge.delivery import facts
from bridge.delivery.facts import Frame, Item, Several, Single
from bridge.links import Links
from bridge.reports import preferences
from bridge.reports.people import Person
from bridge.reports.report import Report

#: Each has a text in every language.
KINDS = ("new_report", "warning", "escalation", "amended", "withdrawn", "digest")
#: What a person may choose not to get by mail. An assignment and an escalation are never among them.
MAY_TURN_OFF = frozenset({*preferences.MAY_TURN_OFF, "digest"})
_MANY_EMPTY_LINES = re.compile(r"\n{3,}")


@dataclass(frozen=True)
class Notice:
    """A notice ready to be sent; `unsubscribe_url` is where one turns its kind off, None if nobody may.

    `one_click`: a POST to it does so without a login (RFC 8058).
    """

    subject: str
    text: str
    html: str
    language: str = "id"
    unsubscribe_url: str | None = None
    one_click: bool = False


class Loader(BaseLoader):
    """Compiles texts by name, and keeps in `trees` how each is built, for who looks whether its names are right."""

    def __init__(self, sources: Mapping[str, str]) -> None:
        self._sources = sources
        self.trees: dict[str, nodes.Template] = {}

    def load(
        self,
        environment: Environment,
        name: str,
        globals: MutableMapping[str, Any] | None = None,  # noqa: A002 - jinja's
    ) -> Template:
        """Return a text, compiled.

        Raises:
            TemplateNotFound: there is none of that name.
            TemplateSyntaxError: it cannot be read.
        """
        if name not in self._sources:
            raise TemplateNotFound(name)
        self.trees[name] = environment.parse(self._sources[name], name)
        # With the name as its file, a traceback tells text and line.
        code = environment.compile(self.trees[name], name, f"texts/{name}")
        return environment.template_class.from_code(environment, code, globals or {})


class _Sandbox(ImmutableSandboxedEnvironment):
    """Asks once for each attribute of a type whether a text may see it: asking for every mail is half of writing it."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._safe: dict[tuple[type, str], bool] = {}

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """See SandboxedEnvironment.is_safe_attribute, which looks at the type and the name alone."""
        key = (type(obj), attr)
        if key not in self._safe:
            self._safe[key] = super().is_safe_attribute(obj, attr, value)
        return self._safe[key]


def writing(loader: Loader) -> ImmutableSandboxedEnvironment:
    """Return what writes texts: nothing they say can reach beyond their facts, an unknown one is an error."""
    return _Sandbox(
        loader=loader,
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        # They are read once, at the start.
        auto_reload=False,
        cache_size=-1,
    )


class Texts:
    """The texts of notices, each compiled when it is first used; may be used by several threads."""

    def __init__(self, environment: ImmutableSandboxedEnvironment) -> None:
        self._environment = environment

    def notice(
        self, report: Report, person: Person, delivery: Mapping[str, Any], links: Links, *, remaining_s: float | None
    ) -> Notice:
        """Return the notice in the person's language.

        Args:
            delivery: See Item.delivery_row.
            remaining_s: Working seconds to the deadline, negative once it has passed; None without a deadline.

        Raises:
            TemplateNotFound: no text for such an event.
        """
        language = _language(person)
        told = facts.told(Item(report, delivery, remaining_s), person, links, language)
        single = Single(facts.reader(person), links.to_inbox(), links.to_settings())
        notice = self._written(told.event, language, vars(told) | vars(single), links, urgent=_urgent(told))
        if told.event not in preferences.MAY_TURN_OFF:
            return notice
        return replace(notice, unsubscribe_url=links.to_turn_off(person.person_id, told.event), one_click=True)

    def digest(self, person: Person, items: Sequence[Item], *, why: str, links: Links) -> Notice:
        """Return several notices for one person as one, the most urgent first.

        Args:
            why: burst (many at once), digest (asked for) or quiet (held back until now).
        """
        language = _language(person)
        ordered = sorted(items, key=lambda item: item.urgency)
        tolds = tuple(facts.told(item, person, links, language) for item in ordered)
        several = Several(facts.reader(person), tolds, len(tolds), why, links.to_inbox(), links.to_settings())
        return self._written("digest", language, vars(several), links, urgent=any(map(_urgent, tolds)))

    def _written(self, kind: str, language: str, known: dict[str, Any], links: Links, *, urgent: bool) -> Notice:
        subject, _, rest = self._text(f"{kind}.{language}.txt").render(known).strip("\n").partition("\n")
        body = _MANY_EMPTY_LINES.sub("\n\n", rest.strip("\n"))
        frame = Frame(language, subject, urgent, facts.parts(body, links.public_url))
        html = self._text("notice.html").render(vars(frame))
        unsubscribe_url = links.to_settings() if kind in MAY_TURN_OFF else None
        return Notice(subject, f"{body}\n", html, language, unsubscribe_url)

    def _text(self, name: str) -> Template:
        return self._environment.get_template(name)


def _language(person: Person) -> str:
    return person.language if person.language in words.LANGUAGES else "id"


def _urgent(told: facts.Told) -> bool:
    return told.late or told.event == "escalation"

"""What a process is made of: settings, configuration, and the parts both sides share, made when first needed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING

from bridge.arrivals import Arrivals
from bridge.broker.publisher import Publisher, Submitting, open_publisher
from bridge.keyring import Keyring
from bridge.links import Links
from bridge.receiver.doors import Door
from bridge.receiver.spool import SpoolingPublisher
from bridge.receiver.webhooks import Receiver
from bridge.schemes import SCHEMES, Headers
from bridge.signing import sending_key
from bridge.throttle import Throttle
from config.files import Configuration, read_configuration
from config.settings import Settings, read_settings
from config.sources import Callback, Source

# A receiver shall not load what needs the database (25 MB and a third of a second): imported where it is made.
if TYPE_CHECKING:
    from bridge.casework import Casework
    from bridge.delivery.email import Mailer
    from bridge.delivery.guarded import Guard
    from bridge.delivery.notices import Texts
    from bridge.delivery.outlets import Outlet
    from bridge.delivery.webhook import CityEndpoint
    from bridge.reports.channels import Ways
    from bridge.rules import Rules
    from bridge.storage.database import Database
    from bridge.worklist import Worklist
    from config.channels import ChannelSource


class Service:
    """The parts of one process. Nothing is opened before it is used; close() closes what was opened."""

    def __init__(self, settings: Settings, configuration: Configuration) -> None:
        self.settings = settings
        self.configuration = configuration

    @classmethod
    def from_environment(cls, variables: Mapping[str, str] | None = None, *, with_texts: bool = True) -> Service:
        """Read settings and files; a receiver needs no texts.

        Raises:
            BadSettings: with every fault of the environment or the files.
        """
        found = os.environ if variables is None else variables
        settings = read_settings(found)
        return cls(settings, read_configuration(settings, found, with_texts=with_texts))

    @cached_property
    def database(self) -> Database:
        """The facts."""
        from bridge.storage.database import Database

        return Database(self.settings.database_url)

    @cached_property
    def publisher(self) -> Submitting:
        """The one publisher of this process."""
        return open_publisher(self.settings.broker_url)

    @cached_property
    def way_in(self) -> Publisher:
        """What makes received reports durable: the publisher, with a spool in front where the broker is elsewhere."""
        settings = self.settings
        if settings.embedded:
            return self.publisher
        return SpoolingPublisher(self.publisher, settings.spool, floor_bytes=settings.spool_floor_mb * 1_000_000)

    @cached_property
    def rules(self) -> Rules:
        """The rulebook; call prepare() on it before the first decision."""
        from bridge.rules import Rules

        return Rules(self.database, self.configuration.rulebook)

    @cached_property
    def casework(self) -> Casework:
        """The moves people make."""
        from bridge.casework import Casework

        return Casework(self.database, self.rules)

    @cached_property
    def worklist(self) -> Worklist:
        """What people do with what lies aside."""
        from bridge.worklist import Worklist

        return Worklist(self.database, self.arrivals)

    @cached_property
    def links(self) -> Links:
        """Addresses for mail and callbacks."""
        return Links(self.settings.secret_key, self.settings.public_url)

    @cached_property
    def texts(self) -> Texts:
        """What notices say."""
        from config.wording import read_texts

        return self.configuration.texts or read_texts(self.settings.config_dir)

    @cached_property
    def arrivals(self) -> Arrivals:
        """How webhooks travel, are kept and read."""
        payloads = {source.name: source.payload for source in self.configuration.sources.values()}
        return Arrivals.under(self.settings.ticket_key, self.settings.data_keys, payloads)

    @cached_property
    def doors(self) -> dict[str, Door]:
        """What each source has to show."""
        # Each process counts for itself, so each lets its share through.
        processes = 1 if self.settings.embedded else self.settings.receiver_workers
        return {name: self._door(source, processes) for name, source in self.configuration.sources.items()}

    def keyring(self, source: Source) -> Keyring:
        """Return a source's keys."""
        mark, scheme = self.arrivals.vault.mark, SCHEMES[source.scheme]
        path = self.settings.made_keys / f"{source.name}.json"
        return Keyring(source.keys, path, id_of=lambda text: mark(text)[:8], read_key=scheme.read_key)

    def _door(self, source: Source, processes: int) -> Door:
        throttle = None
        if source.rate:
            throttle = Throttle(burst=max(1, 2 * source.rate // processes), every_s=processes / source.rate)
        return Door(SCHEMES[source.scheme], Headers(source.header, source.id_header), self.keyring(source), throttle)

    @cached_property
    def receiver(self) -> Receiver:
        """The way in."""
        return Receiver(self.doors, self.arrivals, self.way_in, self.settings.public_url)

    def new_mailer(self) -> Mailer:
        """Return a mailer; one per thread."""
        from bridge.delivery.email import open_mailer

        return open_mailer(self.settings.smtp_url, self.settings.data_dir / "mail")

    def new_cities(self) -> dict[str, CityEndpoint]:
        """Return the callback addresses, by source; one set per thread."""
        return {
            one.recipient: _city(source, one, self.guard)
            for source in self.configuration.sources.values()
            for one in source.callbacks
        }

    @property
    def ways(self) -> Ways:
        """How people and the city are told."""
        return self.configuration.channels.ways

    def new_outlets(self) -> dict[str, Outlet]:
        """Return the channels to people, by name; one set per thread."""
        return {name: self._outlet(source) for name, source in self.configuration.channels.sources.items()}

    def _outlet(self, source: ChannelSource) -> Outlet:
        from bridge.delivery.outlets import ByMail, ByWebhook
        from bridge.delivery.webhook import CityWebhook

        if source.kind == "email":
            return ByMail(self.new_mailer(), self.settings.mail_from)
        if source.kind == "webhook":
            return ByWebhook(CityWebhook(source.url, [sending_key(key) for key in source.keys], self.guard))
        from bridge.delivery.by_apprise import ByApprise

        return ByApprise(source.name, source.url, self.guard)

    @cached_property
    def guard(self) -> Guard:
        """What is asked before anything is sent to the outside."""
        from bridge.delivery.guarded import Guard

        return Guard(self.settings.outgoing_allow)

    def close(self) -> None:
        """Close what was opened."""
        for name in ("way_in", "publisher", "database"):
            if name in self.__dict__:
                self.__dict__[name].close()


def _city(source: Source, callback: Callback, guard: Guard) -> CityEndpoint:
    from bridge.delivery.open311 import CityUpdates
    from bridge.delivery.webhook import CityWebhook

    if source.scheme == "open311":
        return CityUpdates(callback.url, callback.secret, guard)
    return CityWebhook(callback.url, [sending_key(key) for key in callback.secret.split()], guard)

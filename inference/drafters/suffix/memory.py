"""All tenants' stores: apart from each other, together bounded, kept across restarts."""

from __future__ import annotations

import logging
import time
from collections import Counter
from pathlib import Path
from typing import Final

from . import keeping
from .background import Background, Install
from .keeping import Generations
from .saving import Kept, load_or_set_aside, save, store_path
from .store import Store, Unsorted

log = logging.getLogger("flyball")


class Memory:
    """A store per tenant. Its methods belong to one thread; the work is done on another.

    Attributes:
        dropped: tokens given up because sorting did not keep up.
    """

    TOKENS: Final = 10_000_000
    """Tokens held of all tenants, unless another limit is given."""
    TENANTS: Final = 64
    """Stores held; those used longest ago are saved and let go."""
    WAITING: Final = 4
    """Parts of a store that may wait for being sorted."""
    PARTS: Final = 4
    """Parts in which what is too much is dropped."""
    SAVED_EVERY: Final = 10.0
    """Seconds from saving a store to saving it again, at least, if it grew: an engine may be ended
    at any time, without a word."""
    SAVED_IDLE: Final = 1.0
    """The same while no request runs, and nobody is in the way."""
    REST: Final = 500.0
    """Times as long as saving took until it is done again: copying a large store into a file's form
    holds the interpreter's lock, about a tenth of a second for 10 million tokens."""

    def __init__(
        self, tokens: int = TOKENS, folder: Path | None = None, tokenizer: str = ""
    ) -> None:
        """Start empty; stores are read when their tenants come.

        Args:
            tokens: how many may be held sorted, of all tenants together.
            folder: where stores are kept; None for nowhere.
            tokenizer: fingerprint of what the ids of tokens mean.

        Raises:
            ValueError: if no token may be held.
        """
        if tokens < 1:
            raise ValueError(f"a suffix memory holds at least 1 token, not {tokens}")
        self.dropped = 0
        self._limit, self._folder, self._tokenizer = tokens, folder, tokenizer
        self._stores: dict[str, Store] = {}
        self._users: Counter[str] = Counter()
        self._background = Background()
        self._kept: dict[str, float] = {}  # when a store was last given to be saved
        self._took = 0.0  # seconds that saving took last
        self._unasked: set[str] = set()  # stores whose files there was no room to ask for
        # Of the background's thread alone.
        self._built: dict[str, Generations] = {}
        self._read: set[str] = set()  # stores that may be saved: no file holds more than they do

    def __len__(self) -> int:
        """Tokens held."""
        return sum(map(len, self._stores.values()))

    def nbytes(self) -> int:
        """Memory that the stores take."""
        return sum(store.nbytes() for store in self._stores.values())

    def acquire(self, tenant: str) -> Store:
        """The store of a tenant, for one request."""
        self._background.collect()
        store = self._stores.pop(tenant, None) or self._open(tenant)
        self._stores[tenant] = store  # at the end: used last
        if tenant in self._unasked:
            self._ask(tenant, store)
        self._users[tenant] += 1
        return store

    def release(self, tenant: str) -> None:
        """A request of a tenant has ended; what it added may be sorted now."""
        self._users -= Counter((tenant,))
        store = self._stores[tenant]
        save = self._is_due(tenant, store)
        if store.full() or save:
            self._sort(tenant, store, save)
        if len(self._stores) > self.TENANTS:
            idle = next((name for name in self._stores if not self._users[name]), None)
            if idle is not None:
                self._let_go(idle)
        self._background.collect()

    def drain(self) -> None:
        """Wait for what is under way in the background."""
        self._background.drain()

    def close(self) -> None:
        """Sort what is new, save everything, end the thread; what was held is let go."""
        self._background.drain()
        for tenant in tuple(self._stores):
            self._let_go(tenant)
            self._background.drain()
        self._background.close()

    def _is_due(self, tenant: str, store: Store) -> bool:
        """Whether a store is to be saved."""
        if self._folder is None or not store.newest.size:
            return False
        every = self.SAVED_EVERY if self._users else self.SAVED_IDLE
        return time.monotonic() - self._kept[tenant] >= max(every, self.REST * self._took)

    def _open(self, tenant: str) -> Store:
        self._kept[tenant] = time.monotonic()
        if self._folder is not None:
            self._unasked.add(tenant)
        return Store()

    def _ask(self, tenant: str, store: Store) -> None:
        """Have a store's file read; where there is no room, its next request asks again."""

        def job() -> Install:
            assert self._folder is not None
            kept = load_or_set_aside(store_path(self._folder, tenant), tenant, self._tokenizer)
            self._read.add(tenant)
            if kept is not None:
                newer = self._built.get(tenant, ())
                self._built[tenant] = keeping.compact((*newer, *kept.generations))
            install = self._bounded()

            def taken_in() -> None:
                if kept is not None:
                    store.trust.restore(kept.right, kept.accepted)
                install()

            return taken_in

        if self._background.submit(job, lambda: None):
            self._unasked.discard(tenant)

    def _sort(self, tenant: str, store: Store, save: bool) -> None:
        """Have what is new sorted, and saved if so told; or give it up if too much waits."""
        part = store.seal()
        if save:
            self._kept[tenant] = time.monotonic()
        waits = len(store.waiting) > self.WAITING
        if waits or not self._submit(tenant, store, part, save=save, last=False):
            self._give_up(store, part)

    def _let_go(self, tenant: str) -> None:
        """Sort, save and forget a store; it stays if too much waits."""
        if self._background.full:
            return
        store = self._stores[tenant]
        if self._submit(tenant, store, store.seal(), save=True, last=True):
            del self._stores[tenant], self._kept[tenant]
            self._unasked.discard(tenant)

    def _submit(self, tenant: str, store: Store, part: Unsorted, *, save: bool, last: bool) -> bool:
        right, accepted = (table.copy() for table in store.trust.tables())

        def job() -> Install:
            older = self._built.get(tenant, ())
            newer = (part.sorted(),) if part.size else ()
            self._built[tenant] = keeping.compact((*newer, *older))
            install = self._bounded()
            if save:
                self._save(tenant, Kept(self._built[tenant], right, accepted))
            if last:
                del self._built[tenant]
                self._read.discard(tenant)

            def taken_in() -> None:
                store.release(part)
                install()

            return taken_in

        return self._background.submit(job, lambda: self._give_up(store, part))

    def _give_up(self, store: Store, part: Unsorted) -> None:
        self.dropped += part.size
        store.release(part)

    def _save(self, tenant: str, kept: Kept) -> None:
        if self._folder is None or not kept.generations:
            return
        if tenant not in self._read:
            log.warning("a suffix memory is not saved: the file that it would replace was not read")
            return
        began = time.monotonic()
        try:
            save(store_path(self._folder, tenant), kept, tenant, self._tokenizer)
            self._took = time.monotonic() - began
        except OSError as error:
            log.warning("a suffix memory could not be saved in %s: %s", self._folder, error)

    def _bounded(self) -> Install:
        """Drop what is too much, of the largest stores; gives what takes the results in."""
        held = sum(map(keeping.size, self._built.values()))
        if held > self._limit:
            # In parts, so that not one store alone gives everything.
            part = -(-(held - int(keeping.SLACK * self._limit)) // self.PARTS)
            for _ in range(self.PARTS):
                tenant = keeping.largest(self._built)
                self._built[tenant] = keeping.evict(self._built[tenant], part)
        built = dict(self._built)
        return lambda: self._install(built)

    def _install(self, built: dict[str, Generations]) -> None:
        for tenant, generations in built.items():
            if tenant in self._stores:
                self._stores[tenant].generations = generations

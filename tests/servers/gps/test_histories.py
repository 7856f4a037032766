"""Generated histories of generic processes, in both stores: `python3 tools/dev.py generic` runs as many as one likes."""

from __future__ import annotations

import random

import pytest

from masix.groups import Member
from tests.support.generic_histories import STORES, history, run
from tests.support.generic_replicas import ReplicatedWorld
from tests.support.generic_worlds import MS

SAMPLE = {"replicated": 20, "paged": 200}


@pytest.mark.slow
@pytest.mark.parametrize("store", STORES)
def test_a_sample_of_histories_is_as_the_model_says(store: str) -> None:
    """With a fresh seed; `dev.py generic --store STORE --seed SEED --histories 1` runs one again."""
    first = random.SystemRandom().randrange(1 << 32)
    for seed in range(first, first + SAMPLE[store]):
        print(f"{store}: seed {seed}")
        run(store, history(seed))


@pytest.mark.parametrize("store", STORES)
def test_a_seed_is_the_same_history_again(store: str) -> None:
    wanted = history(10)
    assert wanted == history(10)
    one, other = run(store, wanted), run(store, wanted)
    assert (one.outcomes, one.messages, one.running) == (other.outcomes, other.messages, other.running)


@pytest.mark.parametrize("store", STORES)
def test_saving_and_loading_at_any_point_changes_nothing(store: str) -> None:
    for seed in range(3):
        wanted = history(seed)
        plain, loaded = (run(store, wanted._replace(reload=reload)) for reload in (False, True))
        assert (plain.outcomes, plain.messages, plain.running) == (loaded.outcomes, loaded.messages, loaded.running)


@pytest.mark.parametrize("number", range(4))
def test_a_process_that_cannot_be_decided_about_stays_frozen_and_goes_on_soon_after_healing(number: int) -> None:
    """Source and destination are each in a part without a quorum: nothing runs there; then it runs at one of the two."""

    world = ReplicatedWorld(number, 5)
    world.run(100 * MS)
    world.actors[0].create()
    world.run(50 * MS)
    (process,) = world.running
    world.actors[0].move(process, Member(1, 1), (1 + 10 * number) * MS)
    world.run(number * MS)
    world.partition([0, 1, 2, 2, 2])
    world.run(10_000 * MS)
    assert world.running.get(process) in (None, Member(0, 1), Member(1, 1))
    world.heal()
    world.run(5_000 * MS)
    assert world.running[process] in (Member(0, 1), Member(1, 1))
    assert not any(actor.frozen for actor in world.actors.values())

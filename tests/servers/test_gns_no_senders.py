"""No-senders, whatever the order in which rights go and nodes hear of it: never too early, and once they are all gone, once."""

from __future__ import annotations

import random

import pytest

from machemu.abi.message import COPY_SEND, MOVE_RECEIVE, MOVE_SEND
from masix.gns.ports import Way
from tests.support.guests import Arch
from tests.support.parties import Game, met

GAMES = 12
STEPS = 40


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.slow
def test_no_senders_is_told_when_there_are_none_whatever_the_order(arch: Arch, seed: int) -> None:
    with met(arch, Way(seed % 2)) as (made, parties):
        for number in range(GAMES):
            Game(made, parties, arch, random.Random(f"{seed} {number}")).play(STEPS)


def hear_all(game: Game, here: int, there: int) -> None:
    game.run(here)
    while game.pairs.get((here, there)):
        game.hear(here, there)
    game.run(there)


def test_a_right_passed_on_by_a_node_to_which_its_port_then_comes_lives(arch: Arch) -> None:
    """The old home hears that the node has no right to it any more before it hears of the one that was passed on."""
    with met(arch) as (made, parties):
        game = Game(made, parties, arch, random.Random(0))
        game.begin()
        game.give(0, 2, MOVE_SEND)
        hear_all(game, 0, 2)
        game.give(0, 2, MOVE_RECEIVE)
        hear_all(game, 0, 2)
        game.give(2, 1, COPY_SEND)
        game.drop(2)
        for _ in range(3):
            hear_all(game, 2, 0)
            hear_all(game, 0, 2)
        assert parties[2].receive_right and parties[1].under_way == 1
        game.play_out()


def test_a_port_that_comes_back_while_its_new_home_asks_after_what_it_sent_before_has_no_proxy_left(arch: Arch) -> None:
    """The question is about a port of the old home's that has the same number as the port has at the new one."""
    with met(arch) as (made, parties):
        Game(made, parties, arch, random.Random("0")).play(0)
        Game(made, parties, arch, random.Random("4 1")).play(STEPS)

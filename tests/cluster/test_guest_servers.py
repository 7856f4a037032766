"""A guest program as a server of a node: the name server in C takes the place of the one in Python, and nobody can tell."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from machemu.abi.errors import UserError
from machemu.cluster.file import parse_file
from machemu.cluster.server_specs import GuestSpec
from tests.support.calls import CALLS, answers, pair
from tests.support.clusters import ACS, MS, ROOT, SECOND, World, fault, node, saved_in_between, ticks, with_guests
from tests.support.programs import Knower

GUEST = '{ guest = "images/i386/acs.elf", name-server = true }'


def test_greet_differs_from_its_form_with_guests_in_the_name_servers_alone() -> None:
    with_python, with_guest = ((ROOT / "images" / name).read_text() for name in ("greet.toml", "greet-guest.toml"))
    settings = [
        [line for line in text.splitlines() if not line.startswith("#")] for text in (with_guests(with_python, ""), with_guest)
    ]
    assert settings[0] == settings[1]


@pytest.mark.parametrize(("server", "client"), [("i386", "m68k"), ("m68k", "i386")])
def test_a_client_calls_a_service_by_name_where_the_name_servers_are_guests(server: str, client: str) -> None:
    with World(with_guests(pair(server, client))) as world:
        world.run(SECOND)
        assert world.lines("beta") == [*answers(), "END"]
        assert world.lines("alpha") == ["serves as greeter", *(f"asked: {-100 * n} good morning" for n in range(1, CALLS + 1))]


def test_a_node_may_have_the_one_and_another_the_other() -> None:
    texts = pair(calls=2).split("[nodes.beta]"), with_guests(pair(calls=2)).split("[nodes.beta]")
    with World(texts[1][0] + "[nodes.beta]" + texts[0][1]) as world:
        world.run(SECOND)
        assert world.lines("beta") == [*answers(2), "END"]


@pytest.mark.parametrize(("time", "server", "client"), [(900_000, "i386", "m68k"), (4 * MS, "m68k", "i386")])
def test_guests_are_saved_with_their_nodes_at_any_moment(time: int, server: str, client: str, tmp_path: Path) -> None:
    with saved_in_between(with_guests(pair(server, client)), time, 60 * SECOND, tmp_path / "saved") as world:
        assert world.lines("beta") == [*answers(), "END"]


def test_a_restarted_node_starts_its_guests_anew() -> None:
    faults = fault("1s", "crash", node="alpha") + fault("2s", "restart", node="alpha")
    with World(with_guests(pair(faults=faults))) as world:
        world.run(3 * SECOND)
        assert world.lines("alpha").count("serves as greeter") == 2


def test_a_guest_that_is_not_the_first_server_finds_the_name_server_as_any_module_does() -> None:
    text = f'[nodes.one]\nmemory = "4M"\nservers = [{ACS}, {{ guest = "images/m68k/greet.elf serve greeter" }}]\n'
    with World(text) as world:
        world.run(SECOND)
        assert world.lines("one") == ["serves as greeter"]


def test_host_side_servers_find_the_guest_that_is_the_name_server() -> None:
    servers = f'servers = [{ACS}, "tests.support.programs:Ticker"]\n'
    with World("[segments.lan]\n" + with_guests(node("one", "answer", machine="m68k") + servers)) as world:
        world.run(SECOND)
        assert len(ticks(world, "one")) > 40


def test_what_is_started_before_the_name_server_does_not_know_it() -> None:
    text = f'[nodes.one]\nmemory = "4M"\nservers = ["tests.support.programs:Knower", {ACS}, "tests.support.programs:Knower"]\n'
    for each in (text, with_guests(text)):
        with World(each) as world:
            world.run(10 * MS)
            assert [knower.knows for knower in world.programs("one", Knower)] == [False, True]


@pytest.mark.parametrize("first", [ACS, GUEST])
@pytest.mark.parametrize("second", [ACS, GUEST])
def test_a_node_has_no_second_name_server(first: str, second: str) -> None:
    names = ["images/i386/acs.elf" if each is GUEST else each.strip('"') for each in (first, second)]
    text = f'[nodes.one]\nmemory = "4M"\nservers = [{first}, "tests.support.programs:Ticker", {second}]\n'
    with pytest.raises(UserError, match=f"^node one: server {names[1]}: is a second name server of the node: {names[0]} is one"):
        World(text)


def test_a_node_of_a_guest_is_a_machine_of_its_architecture() -> None:
    spec = parse_file('[nodes.one]\nservers = [{ guest = "images/m68k/acs.elf a b" }]\n', ROOT)
    assert spec.nodes[0].profile.architecture == "m68k"
    assert spec.nodes[0].servers == (GuestSpec("images/m68k/acs.elf a b"),)


@pytest.mark.parametrize(
    ("server", "message"),
    [
        ('{ guest = "nothing.elf" }', r"nothing\.elf"),
        ('{ guest = "images/greet.toml" }', r"images/greet\.toml"),
        ("{ guest = 1 }", "must be a text, and is 1"),
        ('{ guest = " " }', "guest: names no program"),
        ('{ guest = "images/i386/acs.elf", name-server = 1 }', "name-server: must be true or false, and is 1"),
        ('{ guest = "images/i386/acs.elf", class = "a:B" }', "guest: has no class; its arguments stand behind its path"),
        (
            '{ guest = "images/i386/acs.elf" }, { guest = "images/m68k/acs.elf" }',
            "the boot script has programs for different machines",
        ),
    ],
)
def test_what_is_no_guest_is_refused(server: str, message: str) -> None:
    with pytest.raises(UserError, match=rf"nodes\.one\.servers: .*{message}") as raised:
        parse_file(f"[nodes.one]\nservers = [{server}]\n", ROOT)
    assert not re.search("Traceback", str(raised.value))


def test_a_guest_of_another_machine_than_its_node_is_refused() -> None:
    with pytest.raises(UserError, match=r"nodes\.one\.profile: sun3-60 is a machine of m68k, its programs of i386"):
        parse_file('[nodes.one]\nprofile = "sun3-60"\nservers = [{ guest = "images/i386/acs.elf" }]\n', ROOT)


def test_arguments_that_do_not_fit_are_refused() -> None:
    with pytest.raises(UserError, match=r"node one: images/i386/acs\.elf: its arguments take \d+ bytes"):
        World(f'[nodes.one]\nservers = [{{ guest = "images/i386/acs.elf {"x" * 200_000}" }}]\n')

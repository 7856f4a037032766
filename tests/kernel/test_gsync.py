"""Threads that wait for words of memory."""

from __future__ import annotations

from pathlib import Path

from machemu.kern import gsync
from tests.support.guests import Arch
from tests.support.machine import CODE, STACK_END, add_task, add_thread, empty, load

MILLISECOND = 1_000_000
RESULT = CODE + 0x800


def test_threads_that_wait_for_words_are_saved_and_woken_in_another_machine(arch: Arch, tmp_path: Path) -> None:
    path = tmp_path / "machine"
    with empty(arch) as machine:
        task, _ = add_task(machine, arch.stay)
        kern = machine.kernel.kern
        machine.run(MILLISECOND)
        for number in range(3):
            thread = add_thread(machine, task, CODE, STACK_END - 64 - 128 * number)
            kern.sched.rem_runq(thread)
            kern.sched.current, running = thread, kern.sched.current
            gsync.wait(kern, task, RESULT, 0, 0, 50, gsync.GSYNC_TIMED if number else 0)
            thread.state &= ~4
            kern.sched.current = running
        machine.check()
        machine.node.save(path)
    with load(path) as machine:
        kern = machine.kernel.kern
        [task] = machine.tasks
        [queue] = kern.gsync.waiters.values()
        assert len(queue) == 3
        gsync.wake(kern, task, RESULT, 7, gsync.GSYNC_MUTATE)
        assert (len(queue), machine.word(task, RESULT)) == (2, 7)
        machine.run(100 * MILLISECOND)
        assert not kern.gsync.waiters

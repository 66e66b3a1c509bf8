"""One measured run of one program, and the two small programs that this needs."""

import json
import os
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path

from stack.errors import StackError
from stack.layout import CHECKOUT
from stack.process import last_lines

HERE = Path(__file__).resolve().parent
BUILT = CHECKOUT / "target/bench"


def built(name):
    """The program made of `<name>.rs` beside this file, compiled when its source is newer."""
    source, program = HERE / f"{name}.rs", BUILT / name
    if not program.exists() or program.stat().st_mtime < source.stat().st_mtime:
        BUILT.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(
            ["rustc", "--edition", "2024", "-O", source, "-o", program], capture_output=True, text=True
        )
        if done.returncode != 0:
            raise StackError(f"{source.name} does not compile:\n{done.stderr}")
    return program


class Failed(StackError):
    """A measured program that ended with another code than it should have."""


def timed(command, folder, environment, expect=0, stdin=None):
    """Runs the command: its wall and CPU seconds, its peak memory in KiB; raises unless it ends as expected."""
    log = BUILT / "output.log"
    with tempfile.NamedTemporaryFile(dir=BUILT) as result, open(log, "wb") as output:
        subprocess.run(
            [built("timed"), result.name, *map(str, command)],
            cwd=folder,
            env=environment,
            stdin=stdin or subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            check=True,
        )
        sample = json.loads(result.read())
    code = sample.pop("code")
    if code != expect:
        shown = "\n".join(f"  | {line}" for line in last_lines(log))
        raise Failed(f"`{' '.join(map(str, command))}` ended with code {code}, expected {expect}:\n{shown}")
    return sample


@contextmanager
def far(host, port, seconds):
    """A proxy before `host:port` that adds `seconds` to every turn: yields its port and, at the end, its counts."""
    proxy = subprocess.Popen(
        [built("latency"), f"{host}:{port}", str(round(seconds * 1e6))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    counts = {}
    try:
        yield int(proxy.stdout.readline()), counts
        proxy.stdin.close()
        counts.update(json.loads(proxy.stdout.readline()))
    finally:
        proxy.kill()
        proxy.wait()
        proxy.stdout.close()


def machine_seconds():
    """Processor seconds that the whole machine has spent at work, and those stolen from it, since it started."""
    fields = [int(field) for field in Path("/proc/stat").read_text().splitlines()[0].split()[1:]]
    user, nice, system, _idle, _iowait, irq, softirq, steal = fields[:8]
    tick = os.sysconf("SC_CLK_TCK")
    return (user + nice + system + irq + softirq) / tick, steal / tick

"""The raw figures: one JSON file, a suite after another, so that the page can be made again."""

import json
import os
import platform
import time

from stack.layout import CHECKOUT

RESULTS = CHECKOUT / "target/bench/results.json"


def load():
    try:
        return json.loads(RESULTS.read_text())
    except FileNotFoundError:
        return {}


def store(suite, figures):
    """Replaces one suite's figures."""
    results = load()
    results[suite] = figures
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    draft = RESULTS.with_suffix(".new")
    draft.write_text(json.dumps(results, indent=1))
    draft.replace(RESULTS)


def machine():
    """What a reader has to know of the machine to place the figures."""
    with open("/proc/meminfo") as file:
        kib = int(file.readline().split()[1])
    with open("/proc/cpuinfo") as file:
        models = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    return {
        "cores": os.cpu_count(),
        "processor": models[0] if models else platform.machine(),
        "memory_gib": round(kib / 1024**2),
        "system": f"{platform.system()} {platform.release().partition('-')[0]}",
        "when": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
    }

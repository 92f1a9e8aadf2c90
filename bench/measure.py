"""What a run costs: processor time and memory of process trees from /proc, and the load tool's own figures."""

import json
import os
import subprocess
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


def stat_of(pid):
    """The fields of /proc/PID/stat after the name, or None if the process is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except (FileNotFoundError, ProcessLookupError):
        return None


def tree(root):
    """The process and all that descend from it."""
    children = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit() and (stat := stat_of(entry)):
            children.setdefault(int(stat[1]), []).append(int(entry))
    found, ahead = [], [root]
    while ahead:
        pid = ahead.pop()
        found.append(pid)
        ahead += children.get(pid, [])
    return found


def cpu_seconds(root):
    """User and system time of the tree so far. Children that ended count too: they are in their parent's sum."""
    ticks = 0
    for pid in tree(root):
        if stat := stat_of(pid):
            ticks += sum(int(field) for field in stat[11:15])  # utime stime cutime cstime
    return ticks / TICKS


def memory_mb(root, field="VmRSS"):
    """Resident memory of the tree; `VmHWM` for the most it ever was."""
    kilobytes = 0
    for pid in tree(root):
        try:
            for line in Path(f"/proc/{pid}/status").read_text().splitlines():
                if line.startswith(field + ":"):
                    kilobytes += int(line.split()[1])
        except (FileNotFoundError, ProcessLookupError):
            pass
    return kilobytes / 1024


def machine_busy():
    """(busy, all) processor seconds of the whole machine so far."""
    fields = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    idle = fields[3] + fields[4]
    return (sum(fields) - idle) / TICKS, sum(fields) / TICKS


def load(port, prefix, options, seconds, again):
    """Drives http://127.0.0.1:PORT with the prepared requests (over and over if `again`); what load.lua prints."""
    here = Path(__file__).parent
    command = [
        "wrk", f"--threads={options.threads}", f"--connections={options.connections}", f"--duration={seconds}s",
        "--timeout=30s", f"--script={here / 'load.lua'}", f"http://127.0.0.1:{port}", "--", prefix,
    ] + (["again"] if again else [])
    before = os.times()
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    after = os.times()
    lines = [line for line in ran.stdout.splitlines() if line.startswith("RESULT ")]
    if ran.returncode != 0 or not lines:
        raise SystemExit(f"bench: wrk failed:\n{ran.stdout}{ran.stderr}")
    figures = json.loads(lines[-1].removeprefix("RESULT "))
    figures["load_cpu_seconds"] = (
        after.children_user - before.children_user + after.children_system - before.children_system
    )
    return figures

#!/usr/bin/env python3
"""Play sessions of the simulator against ftpdlib and pyftpdlib 2.2.0, and compare.

    against.py [--sessions N] [--from SEED] [--tls | --clear] [--client N] [--trace]

The clients of the simulator's worlds play one at a time, each alone with its home, over
sockets of the loopback. Both servers get the same steps from the same code, one after the
other: after each step the replies, the data and the trees must agree, or one of RULES must
name the row of the table in ARCHITECTURE.md that explains the difference. Differences that
no row explains are printed, and the exit status is 1.

A session ends at the first explained difference after which the servers may be in different
states. What differs with the time alone is left out, or made certain: see units.py. The parts
are in sockets/. pyftpdlib comes from PyPI, into a virtual environment under
${XDG_CACHE_HOME:-~/.cache}.
"""

import argparse
import collections
import concurrent.futures
import itertools
import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "tests", "transcripts"))
sys.dont_write_bytecode = True

import record  # noqa: E402
from sockets.client import Peer  # noqa: E402
from sockets.rules import CHANGES, RULES, Case, agree, data_agrees, explain, is_utf8, rows  # noqa: E402
from sockets.servers import Servers  # noqa: E402
from sockets.units import Unit, Units, short  # noqa: E402
from sockets.worlds import World, furnish, snapshot  # noqa: E402

TLS_EVERY = 30  # as in script.rs: which worlds have TLS


class Before:
    """The state of a client."""

    def __init__(self, peer):
        self.promised = peer.promised
        self.ended = bool(peer.data and peer.data.ended)
        self.has_data = peer.data is not None


class Session:
    def __init__(self, world, index, options):
        self.world, self.options = world, options
        user = index % (len(world.users) - 1)
        self.user, self.home = world.users[user], world.homes[int(world.users[user]["home"])]
        self.temper, steps = world.clients[index]
        self.units = Units(steps, self.temper, world.settings).make()
        self.rest = False  # whether a REST waits for its transfer
        self.auth = self.implied = False  # whether there was AUTH, and whether it was AUTH SSL
        self.again = False  # whether there was a second login
        self.rows = collections.Counter()
        self.units_done = 0
        self.unexplained = None
        self.log = []

    def run(self):
        directory = os.path.realpath(tempfile.mkdtemp(prefix="against-"))
        pids, peers = [], []
        try:
            timeout = 1 if any(x.kind == "time out" for x in self.units) else 300
            certificate = self.options.certificate
            servers = self.servers = Servers(self.world, self.user, certificate, timeout)
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
            self.tops = [os.path.join(directory, name, "home") for name in ("ours", "them")]
            for top in self.tops:
                os.mkdir(os.path.dirname(top))
                furnish(top, self.home)
            pid, port = servers.start_theirs(self.tops[1])
            pids.append(pid)
            theirs = port
            pid, port = servers.start_ours(self.options.program, directory, self.tops[0])
            pids.append(pid)
            for name, port in (("ftpdlib", port), ("pyftpdlib", theirs)):
                peers.append(Peer(name, servers.host, port, tls))
            self.play(peers, timeout)
            for peer in peers:
                peer.leave()
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
            shutil.rmtree(directory)

    def play(self, peers, timeout):
        for unit in [Unit("greeting"), *self.units]:
            before = Before(peers[0])
            ours, theirs = [peer.run(unit) for peer in peers]
            self.units_done += 1
            self.log.append(f"{unit}\n      {self.show(ours)}")
            if self.options.trace:
                print(f"    {self.log[-1]}\n      {self.show(theirs)}", flush=True)
            used = self.compare(unit, ours, theirs)
            tree = self.trees(peers)
            if timeout == 1 and 421 in theirs.events and unit.kind != "time out":
                return  # too early
            case = Case(unit, ours, theirs, tree, before, self)
            case.after = Before(peers[0])
            if used is None or tree:
                found = explain(case)
                if not found:
                    self.unexplained = self.describe(unit, ours, theirs, tree)
                    return
                used = {found.row}
                if found.then == "ends" or tree or peers[0].is_over != peers[1].is_over:
                    self.rows.update(used)
                    return
                if found.then == "heals":
                    if any(peer.promised for peer in peers):
                        self.rows.update(used)
                        return
                    for peer in peers:
                        peer.heal()
            self.rows.update(used)
            self.remember(case)
            if all(peer.is_over for peer in peers):
                return

    def has_odd_names(self):
        encoding = self.servers.encoding
        return any(not is_utf8(x) or x.decode().encode(encoding, "replace") != x for x in self.home)

    def remember(self, case):
        """Keeps what later rules want to know."""
        if 350 in case.a and b"REST" in case.verbs:
            self.rest = True
        if case.verbs & {b"RETR", b"STOR", b"APPE"} and {125, 150} & set(case.a):
            self.rest = False
        if 234 in case.a:
            self.auth = True
            self.implied = self.implied or case.said(rb"^AUTH (SSL|TLS-P)$")
        if case.said(rb"^PROT ") and 200 in case.a:
            self.implied = False
        self.again = case.again()

    @staticmethod
    def compare(unit, ours, theirs):
        """The rows that explain what differs, if that is only the text."""
        if unit.data and unit.data.get("read", "-") != "-":
            # Whether the server has noticed depends on the time.
            for outcome in (ours, theirs):
                outcome.events = [226 if x == 426 else x for x in outcome.events]
                outcome.texts = [x for x in outcome.texts if x[0][:3] not in (b"226", b"426")]
        if ours.events != theirs.events:
            return None
        used = data_agrees(ours, theirs)
        if used is None:
            return None
        for a, b in zip(ours.texts, theirs.texts):
            if a != b:
                found = agree(a, b)
                if found is None:
                    return None
                used |= found
        return used

    def trees(self, peers):
        """Paths whose nodes differ, once the servers had the time to write."""
        for wait in (0, 0.05, 0.2, 0.5, 1):
            time.sleep(wait)
            trees = [snapshot(top, peer.names) for top, peer in zip(self.tops, peers)]
            if trees[0] == trees[1]:
                return {}
        paths = sorted(set(trees[0]) | set(trees[1]))
        both = {path: (trees[0].get(path), trees[1].get(path)) for path in paths}
        return {path: pair for path, pair in both.items() if pair[0] != pair[1]}

    @staticmethod
    def show(outcome):
        data = [f"{len(x)} bytes" for x in outcome.data]
        return " ".join(str(x) for x in [*outcome.events, *data])

    def describe(self, unit, ours, theirs, tree):
        lines = [f"  settings: {self.servers.handler} {self.servers.tls} {self.servers.user}"]
        for path, (kind, content, mode, _) in self.home.items():
            lines.append(f"  node {short(path)} {kind} {mode:o} {short(content)}")
        lines += [f"  {x}" for x in self.log]
        for name, outcome in (("ftpdlib", ours), ("pyftpdlib", theirs)):
            lines.append(f"  {name}: {self.show(outcome)}")
            lines += [f"    {short(b' / '.join(x))}" for x in outcome.texts]
        for a, b in zip(ours.data, theirs.data):
            if a != b:
                a, b = [sorted(x.split(b"\r\n")) for x in (a, b)]
                lines += [f"    ftpdlib only: {x!r}" for x in a if x not in b]
                lines += [f"    pyftpdlib only: {x!r}" for x in b if x not in a]
        for path, pair in tree.items():
            lines.append(f"    {path!r}: {short(str(pair[0]))} / {short(str(pair[1]))}")
        return "\n".join(lines)


def sessions_of(options, seed):
    """The sessions of a world."""
    command = [options.sim, "print", str(seed)]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    world = World(text)
    all_of_it = range(min(len(world.clients), options.most))
    chosen = all_of_it if options.client is None else [options.client]
    results = []
    for index in chosen:
        session = Session(world, index, options)
        session.run()
        done, whole = session.units_done, len(session.units) + 1
        tls = bool(session.servers.tls)
        name = f"seed {seed}, client {index} ({session.temper})"
        results.append((name, tls, done, whole, session.rows, session.unexplained))
    return results


def build(options):
    def cargo(*arguments):
        command = ["cargo", *arguments, "--message-format=json"]
        done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
        made = [json.loads(line) for line in done.stdout.splitlines() if line[:1] == "{"]
        return {x["target"]["name"]: x["executable"] for x in made if x.get("executable")}

    options.program = options.program or cargo("build", "--quiet")["ftpdlib"]
    tests = ("test", "--quiet", "--no-run", "--test", "sim")
    options.sim = options.sim or cargo(*tests)["sim"]


def make_certificate(directory):
    path = os.path.join(directory, "certificate.pem")
    command = "openssl req -x509 -nodes -newkey ec -pkeyopt ec_paramgen_curve:prime256v1"
    command += f" -subj /CN=localhost -days 2 -keyout {path} -out {path}.crt"
    subprocess.run(command.split(), check=True, capture_output=True)
    with open(path + ".crt", encoding="ascii") as crt, open(path, "a", encoding="ascii") as pem:
        pem.write(crt.read())
    return path


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sessions", type=int, default=200, help="play so many, or a few more")
    parser.add_argument("--from", type=int, default=0, dest="seed", help="the first seed")
    parser.add_argument("--most", type=int, default=6, help="the most clients of a world")
    parser.add_argument("--client", type=int, help="only this client of each world")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--program", help="default: the one of this checkout, built first")
    parser.add_argument("--sim", help="the same for the simulator")
    parser.add_argument("--trace", action="store_true", help="show all that happens")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--clear", action="store_true", help="only worlds without TLS")
    which.add_argument("--tls", action="store_true", help="only worlds with TLS")
    options = parser.parse_args()
    record.run_in_venv("against", "pyOpenSSL")
    os.umask(0o022)
    known = rows()
    used = [x.row for x in RULES] + [row for row, _ in CHANGES]
    unknown = [row for row in used if not any(x.startswith(row) for x in known)]
    if unknown:
        sys.exit(f"ARCHITECTURE.md has no row for {unknown}")
    build(options)
    import pyftpdlib.servers  # noqa: F401

    with tempfile.TemporaryDirectory(prefix="against-") as directory:
        options.certificate = make_certificate(directory)
        sys.exit(play(options))


def seeds(options):
    """Seeds, every fourth one of a world with TLS."""
    clear = (x for x in itertools.count(options.seed) if x % TLS_EVERY != TLS_EVERY - 1)
    tls = (x for x in itertools.count(options.seed) if x % TLS_EVERY == TLS_EVERY - 1)
    if options.client is not None:
        yield options.seed
    for index in itertools.count():
        yield next(tls if options.tls or index % 4 == 3 and not options.clear else clear)


def play(options):
    """Plays sessions. The exit status."""
    started = time.monotonic()
    counts = collections.Counter()
    found = collections.Counter()
    failures = 0
    running, source = set(), seeds(options)
    with concurrent.futures.ProcessPoolExecutor(options.jobs) as pool:
        while running or counts["sessions"] < options.sessions:
            while len(running) < options.jobs and counts["sessions"] < options.sessions:
                running.add(pool.submit(sessions_of, options, next(source)))
            done, running = concurrent.futures.wait(
                running, return_when=concurrent.futures.FIRST_COMPLETED
            )
            for name, tls, units, whole, rows_used, unexplained in sum(
                (x.result() for x in done), []
            ):
                counts["sessions"] += 1
                counts["with TLS"] += tls
                counts["steps"] += units
                counts["whole"] += units == whole
                found.update(rows_used)
                if unexplained:
                    failures += 1
                    print(f"{name}: no row explains the last step\n{unexplained}\n", flush=True)
    seconds = time.monotonic() - started
    for row, count in found.most_common():
        print(f"{count:6} {row}")
    print(
        f"{counts['sessions']} sessions ({counts['with TLS']} with TLS, {counts['whole']} to their "
        f"end), {counts['steps']} steps in {seconds:.0f} s; {sum(found.values())} differences "
        f"that {len(found)} rows explain, {failures} that no row explains"
    )
    return 1 if failures else 0


if __name__ == "__main__":
    main()

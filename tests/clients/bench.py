"""What all clients need: servers, directories for each, and a tally of checks."""

import contextlib
import ftplib
import hashlib
import os
import random
import re
import socket
import subprocess
import sys
import time

USER, PASSWORD = "user", "12345"
DEADLINE = 60
# The status of a client that had to be ended.
TOO_SLOW = 124


class Server:
    """The program with one user, whose home is `home`; `tls` is its section `[tls]`."""

    def __init__(self, binary, address, home, log, tls="", options=()):
        self.address, self.home = address, home
        config = log.with_suffix(".toml")
        config.write_text(
            f'[server]\naddress = "{address}"\nport = 0\n'
            "[handler]\nauth_failed_timeout = 0.1\n"
            f'[[users]]\nname = "{USER}"\npassword = "{PASSWORD}"\n'
            f'home = "{home}"\nperm = "elradfmwMT"\n'
            f'[anonymous]\nhome = "{home}"\n' + (f"[tls]\n{tls}\n" if tls else "")
        )
        self.log = log
        self.process = subprocess.Popen(
            [binary, "--debug", "--config", config, *options],
            stdin=subprocess.DEVNULL,
            stderr=log.open("wb"),
        )
        self.port = self._wait_for_port()

    def _wait_for_port(self):
        end = time.monotonic() + 20
        while time.monotonic() < end:
            started = re.search(r"starting FTP server on \S+:(\d+),", self.log.read_text())
            if started:
                return int(started[1])
            if self.process.poll() is not None:
                break
            time.sleep(0.02)
        self.stop()
        sys.exit("the server did not start:\n" + self.log.read_text())

    def url(self, path="", login=True, scheme="ftp"):
        host = f"[{self.address}]" if ":" in self.address else self.address
        login = f"{USER}:{PASSWORD}@" if login else ""
        return f"{scheme}://{login}{host}:{self.port}/{path}"

    def commands(self, since=0):
        """The commands that it has got, for checks of how a client asked."""
        return re.findall(r"<- (.*)", self.log.read_text(errors="replace")[since:])

    def mark(self):
        return len(self.log.read_text(errors="replace"))

    def has_logged(self, text):
        """Whether it does so in a moment."""
        end = time.monotonic() + 20
        while text not in self.log.read_text(errors="replace"):
            if time.monotonic() > end:
                return False
            time.sleep(0.02)
        return True

    def stop(self):
        self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(5)
            return True
        self.process.kill()
        self.process.wait()
        return False


class Bench:
    """A server, a directory for each client on both sides, and the results."""

    def __init__(self, binary, top):
        self.top = top
        self.passed = self.failed = 0
        self.client = ""
        self.binary = binary
        self.home = top / "home"
        self.home.mkdir()
        self.servers = {}
        self.v4 = self.serve("v4", "127.0.0.1")
        self.v6 = self.serve("v6", "::1") if has_ipv6() else None

    def serve(self, name, address, tls="", options=()):
        """Starts one more server, to be ended with the others."""
        log = self.top / f"{name}.log"
        server = Server(self.binary, address, self.home, log, tls, options)
        self.servers[name] = server
        return server

    def end(self):
        """Ends the servers, which must have lived until now."""
        self.client = "server"
        for name, server in self.servers.items():
            alive = server.process.poll() is None
            self.check(f"{name}: alive, and SIGTERM ends it", server.stop() and alive)
            panics = re.findall(r".*panic.*", server.log.read_text(errors="replace"))
            self.check(f"{name}: no panic", not panics, panics)

    def begin(self, client):
        """Makes the directories of a client: (on the server, here)."""
        self.client = client
        remote, local = self.home / client, self.top / f"local-{client}"
        fill(remote)
        local.mkdir()
        return remote, local

    def check(self, what, good, detail=""):
        if good:
            self.passed += 1
            print(f"ok    {self.client}: {what}", flush=True)
        else:
            self.failed += 1
            print(f"FAIL  {self.client}: {what}", flush=True)
            lines = str(detail).strip().splitlines()
            for line in lines[:5] + lines[5:][-20:]:
                print(f"      {line}")
        return good

    def same(self, what, one, other, run=None):
        """Whether two files (or a file and bytes) are equal."""
        good = content(one) is not None and content(one) == content(other)
        return self.check(what, good, f"{sizes(one, other)}\n{output(run)}")

    def run(self, *command, cwd=None, stdin=""):
        environment = dict(os.environ, HOME=str(self.top), LC_ALL="C.UTF-8")
        for name in list(environment):
            if name.lower().endswith("_proxy"):
                del environment[name]
        try:
            return subprocess.run(
                [str(word) for word in command],
                cwd=cwd,
                input=stdin.encode(),
                capture_output=True,
                timeout=DEADLINE,
                env=environment,
            )
        except subprocess.TimeoutExpired as error:
            return subprocess.CompletedProcess(
                command, TOO_SLOW, error.stdout or b"", (error.stderr or b"") + b"\ntoo slow"
            )

    def has_sent(self, server, since, *verbs):
        """Whether the client has used these commands: the check tests what it says."""
        lines = server.commands(since)
        return all(any(line.split(" ")[0].upper() == verb for line in lines) for verb in verbs)


def fill(remote):
    """What each client finds on the server."""
    (remote / "sub" / "deep").mkdir(parents=True)
    noise = random.Random(1)
    (remote / "big.bin").write_bytes(noise.randbytes(6_000_007))
    (remote / "empty.bin").write_bytes(b"")
    (remote / "lines.txt").write_bytes(b"".join(b"line %d\n" % i for i in range(5000)))
    (remote / "two words.txt").write_bytes(b"two\n")
    (remote / "gr\u00fc\u00dfe.txt").write_bytes(b"gruss\n")
    (remote / "sub" / "one.txt").write_bytes(b"one\n")
    (remote / "sub" / "deep" / "two.bin").write_bytes(noise.randbytes(70_000))


def content(thing):
    if isinstance(thing, bytes):
        return thing
    return thing.read_bytes() if thing.is_file() else None


def sizes(one, other):
    texts = [None if content(thing) is None else len(content(thing)) for thing in (one, other)]
    return f"sizes: {texts[0]} and {texts[1]}"


def fails(run):
    """Whether a client ended with an error before its deadline."""
    return run.returncode not in (0, TOO_SLOW)


def output(run):
    if run is None:
        return ""
    text = run.stdout[-2000:] + b"\n" + run.stderr[-2000:]
    return f"status {run.returncode}\n" + text.decode(errors="replace")


def tree(top):
    """The files below a directory, with digests."""
    files = sorted(path for path in top.rglob("*") if path.is_file())
    return {str(f.relative_to(top)): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}


def crlf(data):
    return data.replace(b"\n", b"\r\n")


def has_ipv6():
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET6) as probe:
        probe.bind(("::1", 0))
        return True
    return False


def refuses(call, code):
    try:
        call()
    except ftplib.Error as error:
        return str(error).startswith(code)
    return False

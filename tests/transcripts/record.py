#!/usr/bin/env python3
"""Record the transcripts of this directory from pyftpdlib 2.2.0, or check them.

    record.py [--check] [FILE...]

README.md describes the files. pyftpdlib comes from PyPI, into a virtual
environment under ${XDG_CACHE_HOME:-~/.cache}.
"""

import argparse
import difflib
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
import venv
import zlib

VERSION = "2.2.0"
HERE = os.path.dirname(os.path.abspath(__file__))
TIMEOUT = 5  # seconds to wait for a reply, or for data
WINDOW = 10  # minutes that are "now"
RECENT = 30 * 86400
PASSWORD = "12345"
ALL = "elradfmwMT"
NOT_TRANSCRIPTS = ("tree.txt",)


def run_in_venv(name="transcripts", *more):
    """Go on in a Python that has pyftpdlib and more, made at first if need be."""
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    home = os.path.join(cache, f"ftpdlib-{name}-{VERSION}")
    python = os.path.join(home, "bin", "python")
    if os.path.realpath(sys.prefix) == os.path.realpath(home):
        return
    if not os.path.exists(os.path.join(home, "complete")):
        venv.create(home, clear=True, with_pip=True)
        pip = [python, "-m", "pip", "install", "--quiet"]
        subprocess.run([*pip, f"pyftpdlib=={VERSION}", *more], check=True)
        open(os.path.join(home, "complete"), "w").close()
    os.execv(python, [python, os.path.abspath(sys.argv[0]), *sys.argv[1:]])


# --- escapes


def unescape(text):
    """The bytes a line of a file stands for."""
    text = re.sub(r"\\\{(\d+)\*([^}]*)\}", lambda m: m[2] * int(m[1]), text)
    raw = text.encode()
    named = {b"r": b"\r", b"n": b"\n", b"\\": b"\\", b"z": b""}
    return re.sub(
        rb"\\(x[0-9a-f]{2}|.)",
        lambda m: named[m[1]] if m[1] in named else bytes([int(m[1][1:], 16)]),
        raw,
    )


def escape(raw):
    """How bytes look in a file."""
    text = raw.replace(b"\\", b"\\\\").decode("utf-8", "backslashreplace")
    text = text.replace("\r", "\\r").replace("\n", "\\n")
    text = re.sub(r"[\0-\x1f\x7f]", lambda m: f"\\x{ord(m[0]):02x}", text)
    return text[:-1] + "\\x20" if text.endswith(" ") else text


def payload(raw):
    """The lines that show received data."""
    if len(raw) > 1_000_000:
        return [f"({len(raw)} bytes)"]
    if len(raw) > 4000:
        return [f"({len(raw)} bytes, CRC-32 {zlib.crc32(raw):08x})"]
    lines = []
    for line in raw.split(b"\n"):
        if line.endswith(b"\r"):
            lines.append(escape(line[:-1]))
        else:
            lines.append(escape(line) + "\\n")
    last = raw.rpartition(b"\n")[2]
    lines.pop()
    if last or not raw:
        lines.append(escape(last) + "\\z")
    return lines


# --- the tree


def make_tree(top, recent):
    directories = []
    with open(os.path.join(HERE, "tree.txt"), encoding="utf-8") as file:
        lines = [x.rstrip("\n") for x in file if x.strip() and x[0] != "#"]
    for line in lines:
        kind, mode, when, rest = re.match(r"(\S+) +(\S+) +(\S+) +(.*)", line).groups()
        name, _, value = re.match(r"(.*?)(?: (=|->) ?(.*))?$", rest).groups()
        path = os.path.join(os.fsencode(top), unescape(name))
        if kind == "l":
            os.symlink(value, path)
        elif kind == "h":
            os.link(os.path.join(os.fsencode(top), unescape(value)), path)
        elif kind == "p":
            os.mkfifo(path)
            os.chmod(path, int(mode, 8))
        elif kind == "d":
            os.mkdir(path)
            os.chmod(path, int(mode, 8))
            directories.append((path, when))
        else:
            with open(path, "wb") as file:
                if value.startswith("sparse "):
                    file.truncate(int(value[7:]))
                else:
                    file.write(content(value))
            os.chmod(path, int(mode, 8))
            set_time(path, when, recent)
    for path, when in reversed(directories):
        set_time(path, when, recent)


def content(text):
    if re.fullmatch(r"\*\d+", text):
        size = int(text[1:])
        return (bytes(range(256)) * (size // 256 + 1))[:size]
    return unescape(text)


def set_time(path, when, recent):
    when = recent if when == "recent" else int(when)
    os.utime(path, (when, when))


def snapshot(top, normaliser):
    """{name: what it is} for all in the tree."""
    tree = {}
    for parent, directories, files in os.walk(os.fsencode(top)):
        for name in directories + files:
            path = os.path.join(parent, name)
            relative = normaliser.unique(escape(os.path.relpath(path, os.fsencode(top))))
            tree[relative] = describe(path, normaliser)
    return tree


def describe(path, normaliser):
    st = os.lstat(path)
    what = stat.filemode(st.st_mode)
    if stat.S_ISLNK(st.st_mode):
        return f"{what} -> {escape(os.fsencode(os.readlink(path)))}"
    if stat.S_ISREG(st.st_mode):
        what += f" {st.st_size} bytes"
        if st.st_size <= 1_000_000:
            with open(path, "rb") as file:
                what += f" {zlib.crc32(file.read()):08x}"
    when = time.strftime("%Y%m%d%H%M%S", time.gmtime(st.st_mtime))
    return f"{what} {normaliser.stamp(when)}"


def changes(before, after):
    names = sorted(set(before) | set(after), key=lambda name: name.encode())
    out = []
    for name in names:
        if name not in after:
            out.append(f"- {name}")
        elif before.get(name) != after[name]:
            out.append(f": {name}: {after[name]}")
    return out


# --- what differs from run to run


class Normaliser:
    def __init__(self, top, port, recent):
        self.home = os.path.join(top, "home")
        self.port = port
        self.recent = time.gmtime(recent)
        self.uniques = []
        self.files = {}
        self.stou = ""

    def reply(self, raw):
        text = escape(raw)
        text = re.sub(r"^(227 .*\(\d+,\d+,\d+,\d+),\d+,\d+\)", r"\1,<PORT>)", text)
        text = re.sub(r"^(229 .*\(\|\|\|)\d+\|\)", r"\1<PORT>|)", text)
        text = re.sub(r"^(426 .* aborted; )\d+ bytes", r"\1<N> bytes", text)
        text = re.sub(r"^( Transfer elapsed time: )\S+ secs", r"\1<SECONDS> secs", text)
        match = re.match(r"1\d\d FILE: (.*(.{8}))$", text)
        if match:
            self.stou = match[1]
            self.uniques.append(match[2])
        return self.line(text)

    def line(self, text):
        """Of a reply or a listing."""
        text = text.replace(self.home, "<HOME>")
        text = text.replace(f"127.0.0.1:{self.port}", "127.0.0.1:<PORT>")
        text = self.unique(text)
        if re.match(r" ?[a-zA-Z.]+=[^ ]*; ", text):
            text = self.facts(text)
        text = self.ls(text)
        return re.sub(r"\b\d{14}\b", lambda m: self.stamp(m[0]), text)

    def unique(self, text):
        for number, unique in enumerate(self.uniques, 1):
            text = text.replace(unique, f"<UNIQUE{number}>")
        return text

    def facts(self, text):
        blank = " " if text.startswith(" ") else ""
        facts, _, name = text[len(blank) :].partition("; ")
        facts = dict(fact.partition("=")[::2] for fact in facts.split(";"))
        if facts.get("type") in ("dir", "cdir", "pdir") and "size" in facts:
            facts["size"] = "<SIZE>"
        for fact, value in (("unix.uid", os.getuid()), ("unix.gid", os.getgid())):
            if facts.get(fact) == str(value):
                facts[fact] = f"<{fact[5:].upper()}>"
        if "unique" in facts:
            number = self.files.setdefault(facts["unique"], len(self.files) + 1)
            facts["unique"] = f"<FILE{number}>"
        facts = ";".join(f"{fact}={value}" for fact, value in facts.items())
        return f"{blank}{facts}; {name}"

    def ls(self, text):
        pattern = (
            r"([-a-z][-a-zA-Z]{9}) +(\d+) (\S+) +(\S+) +(\d+) "
            r"([A-Z][a-z]{2} \d\d [ \d]\d[:\d]\d\d) (.*)$"
        )
        match = re.match(pattern, text)
        if not match:
            return text
        mode, links, owner, group, size, when, name = match.groups()
        if text != f"{mode} {links:>3} {owner:<8} {group:<8} {size:>8} {when} {name}":
            return text
        if when == time.strftime("%b %d %H:%M", self.recent):
            when = "<RECENT>"
        elif when in self.minutes("%b %d %H:%M"):
            when = "<NOW>"
        links, size = f"{links:>3}", f"{size:>8}"
        if mode[0] == "d":
            links, size = "<LINKS>", "<SIZE>"
        return f"{mode} {links} <OWNER> <GROUP> {size} {when} {name}"

    def stamp(self, digits):
        if digits == time.strftime("%Y%m%d%H%M%S", self.recent):
            return "<RECENT>"
        return "<NOW>" if digits[:12] in self.minutes("%Y%m%d%H%M") else digits

    @staticmethod
    def minutes(form):
        now = time.time()
        return [time.strftime(form, time.gmtime(now - 60 * x)) for x in range(-1, WINDOW)]


# --- the server


def serve(top, settings, pipe):
    """pyftpdlib in a process of its own; writes its port to the pipe."""
    import logging

    from pyftpdlib.authorizers import DummyAuthorizer
    from pyftpdlib.handlers import FTPHandler
    from pyftpdlib.servers import FTPServer

    logging.basicConfig(level=logging.CRITICAL)
    home = os.path.join(top, "home")
    users = {"user": {"perm": ALL}}
    overrides = []
    attributes = {"banner": "ready.", "auth_failed_timeout": 0.01}
    for key, value in settings:
        value = unescape(value).decode()
        name, _, rest = value.partition(" ")
        if key == "user":
            users[name] = {"perm": rest}
        elif key == "anonymous":
            users["anonymous"] = {"perm": value}
        elif key in ("msg_login", "msg_quit"):
            users[name][key] = rest
        elif key == "override":
            overrides.append((name, rest.split()))
        elif key == "max_login_attempts":
            attributes[key] = int(value)
        elif key in ("permit_foreign_addresses", "use_sendfile"):
            attributes[key] = value == "yes"
        elif key in ("banner", "masquerade_address", "encoding"):
            attributes[key] = value
        else:
            raise ValueError(f"unknown setting: {key}")
    authorizer = DummyAuthorizer()
    for name, options in users.items():
        if name == "anonymous":
            authorizer.add_anonymous(home, **options)
        else:
            authorizer.add_user(name, PASSWORD, home, **options)
    for name, (directory, perm, *recursive) in overrides:
        path = os.path.join(home, directory)
        authorizer.override_perm(name, path, perm, recursive == ["recursive"])
    handler = type("Handler", (FTPHandler,), {**attributes, "authorizer": authorizer})
    server = FTPServer(("127.0.0.1", 0), handler)
    os.write(pipe, b"%d\n" % server.address[1])
    server.serve_forever()


class Server:
    def __init__(self, top, settings):
        reader, writer = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                serve(top, settings, writer)
            finally:
                os._exit(1)
        os.close(writer)
        with os.fdopen(reader) as file:
            self.port = int(file.readline())

    def stop(self):
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


# --- the client


class Step:
    """A line that makes the client do something, and what came of it."""

    def __init__(self, kind, text, number):
        self.kind, self.text, self.number = kind, text, number
        self.head = []  # comments and blank lines before it
        self.ours = []  # S: and D< lines of the file
        self.better = None  # the reason why they are not pyftpdlib's
        self.theirs = []  # P: and P< lines of the file
        self.seen = []  # what pyftpdlib has just said


class Client:
    def __init__(self, port, normaliser):
        self.port = port
        self.normaliser = normaliser
        self.sock = self.data = self.listener = self.pending = self.step = None
        self.buffer = b""
        self.late = self.wanted = False
        self.last = ""

    def run(self, steps):
        for step, following in zip(steps, [*steps[1:], None]):
            self.step = step
            getattr(self, f"do_{step.kind}")(step.text, following)

    def connect(self):
        self.sock = socket.create_connection(("127.0.0.1", self.port), TIMEOUT)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        return self.read_reply()

    def read_line(self):
        while b"\r\n" not in self.buffer:
            chunk = self.sock.recv(65536)
            if not chunk:
                raise EOFError("the server has closed")
            self.buffer += chunk
        line, _, self.buffer = self.buffer.partition(b"\r\n")
        return line

    def read_reply(self):
        lines = [self.read_line()]
        if lines[0][3:4] == b"-":
            while lines[-1][:4] != lines[0][:3] + b" ":
                lines.append(self.read_line())
        return lines

    def show(self, lines):
        self.step.seen += [f": {self.normaliser.reply(line)}" for line in lines]
        return lines[-1]

    def show_data(self, raw, command=""):
        lines = payload(raw)
        if command[:4].upper() == "MLSD":
            lines.sort(key=lambda line: line.partition("; ")[2].encode())
        self.step.seen += [f"< {self.normaliser.line(line)}" for line in lines]

    def do_C(self, text, following):
        text = text.replace("<STOU>", self.normaliser.stou)
        listening = "LISTEN>" in text
        if listening:
            self.listener = socket.create_server(("127.0.0.1", 0))
            self.listener.settimeout(TIMEOUT)
            port = self.listener.getsockname()[1]
            text = text.replace("<LISTEN>", f"127,0,0,1,{port // 256},{port % 256}")
            text = text.replace("<ELISTEN>", f"|1|127.0.0.1|{port}|")
        self.sock.sendall(unescape(text) + b"\r\n")
        try:
            last = self.show(self.read_reply())
        except (EOFError, ConnectionResetError):
            if not self.step.better:
                raise
            self.step.seen.append(": <EOF>")
            self.sock = None
            return
        self.wanted = last[:1] == b"1"
        if last[:3] in (b"227", b"229"):
            numbers = [int(x) for x in re.findall(rb"\d+", last)[1:]]
            self.pending = numbers[-1] if len(numbers) == 1 else numbers[-2] * 256 + numbers[-1]
            late, self.late = self.late, False
            if late:
                self.data = None
            else:
                self.connect_data()
                self.command("NOOP")  # it has accepted by now
        elif listening and last[:1] == b"2":
            self.data = self.listener.accept()[0]
            self.data.settimeout(TIMEOUT)
        elif self.wanted and self.data and not (following and following.kind[0] == "D"):
            self.receive_all(text)
        self.last = text

    def command(self, text):
        self.sock.sendall(text.encode() + b"\r\n")
        return self.read_reply()[-1]

    def connect_data(self):
        self.data = socket.create_connection(("127.0.0.1", self.pending), TIMEOUT)

    def receive(self, size):
        chunks = []
        while size is None or size > 0:
            try:
                chunk = self.data.recv(min(65536, size or 65536))
            except ConnectionResetError:
                break
            if not chunk:
                break
            chunks.append(chunk)
            size = size and size - len(chunk)
        return b"".join(chunks)

    def receive_all(self, command):
        self.show_data(self.receive(None), command)
        self.close_data()
        self.show(self.read_reply())

    def close_data(self):
        self.data.close()
        self.data = None

    def do_raw(self, text, _):
        self.sock.sendall(unescape(text))

    def do_urgent(self, text, _):
        self.sock.sendall(unescape(text), socket.MSG_OOB)

    def do_D_payload(self, text, _):
        if not self.wanted:
            return
        self.data.sendall(content(text))
        self.close_data()
        self.show(self.read_reply())

    def do_D_directive(self, text, _):
        word, _, rest = text.partition(" ")
        if word == "late":
            self.late = True
        elif word == "connect":
            self.connect_data()
        elif word == "accept":
            self.data = self.listener.accept()[0]
            self.data.settimeout(TIMEOUT)
        elif word == "receive" and rest:
            self.show_data(self.receive(int(rest)))
        elif word == "receive":
            self.receive_all(self.last)
        elif word == "send":
            self.data.sendall(content(rest))
        elif word == "close":
            self.close_data()
        elif word == "reset":
            linger = b"\1\0\0\0\0\0\0\0"
            self.data.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.close_data()
        else:
            raise ValueError(f"unknown: D: {text}")

    def do_directive(self, text, _):
        word, _, rest = text.partition(" ")
        if word == "connect":
            self.show(self.connect())
        elif word == "login":
            if self.sock is None:
                self.connect()
            replies = self.command(f"USER {rest}")[:3] + self.command(f"PASS {PASSWORD}")[:3]
            if replies != b"331230":
                raise ValueError(f"no login: {replies}")
        elif word == "reply":
            self.show(self.read_reply())
        elif word == "sync":
            self.sock.sendall(b"SYST\r\n")
            while True:
                lines = self.read_reply()
                if lines[-1][:3] == b"215":
                    break
                self.show(lines)
        elif word == "eof":
            try:
                while True:
                    self.show(self.read_reply())
            except (EOFError, ConnectionResetError):
                self.step.seen.append(": <EOF>")
            self.sock = None
        elif word == "pause":
            time.sleep(float(rest))
        else:
            raise ValueError(f"unknown: ! {text}")


# --- files

KINDS = {
    "C:": "C",
    "C-": "raw",
    "C^": "urgent",
    "D>": "D_payload",
    "D:": "D_directive",
    "!": "directive",
}


class Transcript:
    def __init__(self, path):
        self.path = path
        self.settings = []
        self.top = []  # the lines of the header
        self.steps = []
        with open(path, encoding="utf-8", newline="\n") as file:
            self.text = file.read()
        self.tree = Step("tree", "", 0)
        head = []
        for number, line in enumerate(self.text.split("\n"), 1):
            mark, _, rest = line.partition(" ")
            last = self.steps[-1] if self.steps else None
            if mark in KINDS:
                step = Step(KINDS[mark], rest, number)
                step.head, head = head, []
                step.line = line
                self.steps.append(step)
            elif mark == "@":
                key, value = rest.split(" = ", 1) if " = " in rest else (rest[:-2], "")
                self.settings.append((key, value))
                self.top += [*head, line]
                head = []
            elif mark in ("S:", "D<"):
                last.ours.append(line[1:])
            elif mark in ("P:", "P<"):
                last.theirs.append(line[1:])
            elif mark in ("B:", "BT:"):
                target = last if mark == "B:" else self.tree
                target.better = line
            elif mark in ("T:", "T-"):
                self.tree.ours.append(line[1:])
            elif mark in ("PT:", "PT-"):
                self.tree.theirs.append(line[2:])
            elif not line or line[0] == "#":
                head.append(line)
            else:
                raise ValueError(f"{path}:{number}: what is this? {line}")
        self.tail = head

    def record(self):
        recent = int(time.time()) // 60 * 60 - RECENT
        top = os.path.realpath(tempfile.mkdtemp(prefix="transcript-"))
        try:
            make_tree(top, recent)
            server = Server(top, self.settings)
            try:
                normaliser = Normaliser(top, server.port, recent)
                before = snapshot(top, normaliser)
                client = Client(server.port, normaliser)
                try:
                    client.run(self.steps)
                except (OSError, EOFError, ValueError, AttributeError) as err:
                    number = client.step.number
                    raise SystemExit(f"{self.path}:{number}: {client.step.line}: {err!r}")
                self.tree.seen = changes(before, snapshot(top, normaliser))
            finally:
                server.stop()
        finally:
            shutil.rmtree(top)

    def render(self):
        out = list(self.top)
        for step in self.steps:
            out += [*step.head, step.line]
            for line in step.ours if step.better else step.seen:
                out.append(("S" if line[0] == ":" else "D") + line)
            if step.better:
                out.append(step.better)
                out += [f"P{line}" for line in step.seen]
        while self.tail and not self.tail[-1]:
            self.tail.pop()
        out += self.tail
        if self.tree.seen or self.tree.better:
            out.append("")
        out += [f"T{line}" for line in (self.tree.ours if self.tree.better else self.tree.seen)]
        if self.tree.better:
            out.append(self.tree.better)
            out += [f"PT{line}" for line in self.tree.seen]
        return "\n".join(out) + "\n"

    def needless(self):
        """Where pyftpdlib now says what was thought to be only ours."""
        return [x.number for x in self.steps if x.better and x.ours == x.seen]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--check", action="store_true", help="only compare")
    parser.add_argument("file", nargs="*", help="default: all")
    args = parser.parse_args()
    run_in_venv()
    os.umask(0o022)
    names = [os.path.basename(x) for x in args.file] or sorted(
        x for x in os.listdir(HERE) if x.endswith(".txt") and x not in NOT_TRANSCRIPTS
    )
    differences = commands = 0
    for name in names:
        transcript = Transcript(os.path.join(HERE, name))
        transcript.record()
        commands += sum(x.kind == "C" for x in transcript.steps)
        for number in transcript.needless():
            print(f"{name}:{number}: B: is not needed any more")
        text = transcript.render()
        if text == transcript.text:
            continue
        differences += 1
        if args.check:
            lines = [x.split("\n") for x in (transcript.text, text)]
            print("\n".join(difflib.unified_diff(*lines, name, "pyftpdlib", lineterm="")))
        else:
            with open(transcript.path, "w", encoding="utf-8", newline="\n") as file:
                file.write(text)
    verb = "differ" if args.check else "changed"
    print(f"{len(names)} transcripts with {commands} commands; {differences} {verb}")
    sys.exit(1 if args.check and differences else 0)


if __name__ == "__main__":
    main()

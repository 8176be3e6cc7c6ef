"""The client of one server. The same code plays for both."""

import re
import socket
import ssl
import struct
import time

from .units import TRANSFERS, UPLOADS, verb_of
from .worlds import number

STALL = 4  # seconds after which a reply does not come


class Data:
    """A data connection, or what is needed to make it."""

    def __init__(self):
        self.sock = self.listener = self.port = None
        self.ended = False

    def close(self, end="Fin"):
        self.ended = True
        if self.listener:
            self.listener.close()
            self.listener = None
        if not self.sock:
            self.port = None
            return
        try:
            if end == "Half":
                if isinstance(self.sock, ssl.SSLSocket):
                    # Sends close_notify, and does not wait for the one of the server.
                    self.sock.settimeout(0)
                    try:
                        self.sock.unwrap()
                    except ssl.SSLWantReadError:
                        pass
                    self.sock.settimeout(STALL)
                    return
                self.sock.shutdown(socket.SHUT_WR)
                return
            if end == "Reset":
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            elif isinstance(self.sock, ssl.SSLSocket):
                self.sock.settimeout(0.5)
                self.sock = self.sock.unwrap()
        except (OSError, ValueError):
            pass
        self.sock.close()


class Outcome:
    """What came of a unit: events in their order, received data, final replies."""

    def __init__(self):
        self.events, self.texts, self.data, self.finals = [], [], [], 0

    def codes(self):
        return [x for x in self.events if isinstance(x, int)]


class Peer:
    """The client of one server."""

    def __init__(self, name, host, port, tls):
        self.name, self.host, self.port, self.tls = name, host, port, tls
        self.buffer = b""
        self.is_over = self.quits = False
        self.private = self.always_private = False
        self.data = None  # the data connection for the next transfer
        self.promised = None  # the verb of a transfer that has got 150 without one
        self.passive_port = None
        self.made_up = []
        self.out = Outcome()
        self.sock = socket.create_connection((host, port), STALL)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def names(self, raw):
        """Replaces names that STOU has made up."""
        for index, name in enumerate(self.made_up):
            raw = raw.replace(name, b"<STOU%d>" % index)
        return raw

    # The control connection.

    def read_line(self):
        deadline = time.monotonic() + STALL
        while b"\r\n" not in self.buffer:
            self.sock.settimeout(max(0.01, deadline - time.monotonic()))
            try:
                chunk = self.sock.recv(65536)
            except socket.timeout:
                return None
            except OSError:
                chunk = b""
            if not chunk:
                self.is_over = True
                self.out.events.append("EOF")
                return None
            self.buffer += chunk
        line, _, self.buffer = self.buffer.partition(b"\r\n")
        return line

    def read_reply(self):
        """The code of the next reply; None if none comes."""
        if self.is_over:
            return None
        lines = [self.read_line()]
        if lines[0] is None:
            return None
        if lines[0][3:4] == b"-":
            while lines[-1] is not None and lines[-1][:4] != lines[0][:3] + b" ":
                lines.append(self.read_line())
            if lines[-1] is None:
                self.out.events.append("half a reply")
                return None
        match = re.match(rb"1\d\d FILE: (.*\.(.{8}))$", lines[0])
        if match:
            self.made_up.append(match[2])
        code = int(lines[0][:3])
        self.last = lines
        return code

    def keep(self, code):
        """Records a reply."""
        self.out.events.append(code)
        self.out.texts.append([self.names(x) for x in self.last])
        if code >= 200:
            self.out.finals += 1

    def expect(self, count):
        """Reads replies until there are so many final ones. Returns the last code."""
        code = None
        while self.out.finals < count:
            code = self.read_reply()
            if code is None:
                if not self.is_over:
                    self.out.events.append("no reply")
                return None
            self.keep(code)
            if code < 200:
                return code
        return code

    def sync(self):
        """Reads the replies that nobody has waited for, and lets the server notice all."""
        self.write(b"SYST\r\n")
        while True:
            code = self.read_reply()
            if code is None:
                if not self.is_over:
                    self.out.events.append("no reply to SYST")
                return
            if code == 215:
                return
            self.keep(code)

    def write(self, blob):
        try:
            self.sock.settimeout(STALL)
            self.sock.sendall(blob)
        except OSError:
            pass

    # Units.

    def run(self, unit):
        self.out = Outcome()
        if not self.is_over:
            getattr(self, "do_" + unit.kind.replace(" ", "_"))(unit)
        if not (self.is_over or unit.partial or self.quits or unit.kind == "close"):
            self.sync()
        return self.out

    def do_greeting(self, _):
        self.expect(1)

    def do_send(self, unit):
        data = unit.data or {}
        self.write(unit.blob)
        if data.get("eager") == "true" and self.data and self.data.sock:
            self.send_data(self.data, data)
        expected, verb = unit.expected, b""
        while True:
            code = self.expect(expected)
            if code == 426 and self.promised:
                # That is the reply of the transfer before.
                self.promised = None
                expected += 1
                continue
            if code is None or code >= 200:
                break
            verbs = [verb_of(x) for x in unit.lines()]
            verb = next((x for x in verbs if x in TRANSFERS), b"")
            if self.data is None:
                self.promised = verb
                expected -= 1
            else:
                expected += self.transfer(verb, data, unit.meanwhile)
        if self.out.finals > expected:
            self.promised = None
        elif self.out.events[-2:] == [150, "no reply"]:
            self.promised = verb
        for line in unit.lines():
            self.learn(line)

    def learn(self, line):
        """What a client knows after a command has succeeded."""
        verb, _, argument = line.upper().partition(b" ")
        codes = self.out.codes()
        if verb == b"QUIT" and 221 in codes:
            self.quits = True
            while self.expect(self.out.finals + 1):
                pass
        elif verb == b"AUTH" and codes == [234]:
            try:
                self.sock.settimeout(STALL)
                self.sock = self.tls.wrap_socket(self.sock)
            except OSError:
                self.out.events.append("no handshake")
                self.is_over = True
            if argument in (b"SSL", b"TLS-P"):
                self.private = self.always_private = True
        elif verb == b"PROT" and 200 in codes:
            self.private = argument == b"P"
        elif verb == b"REIN" and 230 in codes:
            self.private = self.always_private

    def do_open(self, unit):
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        new = Data()
        if unit.way in ("Pasv", "Epsv", "EpsvFamily"):
            line = {"Pasv": "PASV", "Epsv": "EPSV"}.get(unit.way)
            line = line or ("EPSV 2" if ":" in self.host else "EPSV 1")
        else:
            new.listener = socket.create_server((self.host, 0), family=family)
            new.listener.settimeout(STALL)
            port = new.listener.getsockname()[1]
            if unit.connect == "Never":
                new.close()
            if unit.way == "Port" and ":" not in self.host:
                line = f"PORT 127,0,0,1,{port // 256},{port % 256}"
            else:
                line = f"EPRT |{2 if ':' in self.host else 1}|{self.host}|{port}|"
        self.write(line.encode() + b"\r\n")
        code = self.expect(1)
        if code == 426 and self.promised:
            self.promised = None
            code = self.expect(2)
        if code is None or not 200 <= code < 300:
            new.close()
            return
        numbers = [int(x) for x in re.findall(rb"\d+", self.last[-1])[1:]]
        if code == 229:
            new.port = numbers[-1]
        elif code == 227:
            new.port = numbers[-2] * 256 + numbers[-1]
        self.passive_port = new.port or self.passive_port
        if unit.connect == "Never":
            new.port = None
            new.ended = True
        elif unit.connect == "Now" or self.promised or new.listener:
            self.establish(new)
        old, self.data = self.data, new
        if old:
            old.close()
        if self.promised and unit.connect != "Never":
            verb, self.promised = self.promised, None
            self.expect(self.out.finals + 1 + self.transfer(verb, {}, []))

    def establish(self, data):
        """Makes the connection, if it can be made."""
        if data.sock:
            return
        try:
            if data.listener:
                data.sock = data.listener.accept()[0]
                data.listener.close()
                data.listener = None
            elif data.port:
                data.sock = socket.create_connection((self.host, data.port), STALL)
            else:
                return
            data.sock.settimeout(STALL)
            data.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.private:
                data.sock = self.tls.wrap_socket(data.sock)
        except OSError:
            self.out.events.append("no data connection")
            data.close()

    def transfer(self, verb, plan, meanwhile):
        """Uses the data connection. Returns how many more final replies there must be."""
        data, self.data = self.data, None
        if data.port and not data.sock and not data.ended:
            self.establish(data)
            self.sync()  # the server has accepted it
        self.establish(data)
        more = 0
        if meanwhile and data.sock and len(plan["bytes"]) > 1 and plan["cut"] == "-":
            # A transfer is in progress once the server has read something.
            half = len(plan["bytes"]) // 2
            data.sock.sendall(plan["bytes"][:half])
            plan = {**plan, "bytes": plan["bytes"][half:]}
            self.sync()
            self.sync()
        for blob in meanwhile:
            if self.is_over or self.quits:
                break
            before = self.out.finals
            self.write(blob)
            self.expect(before + 1)
            more += 1
            self.learn(blob.strip())
            if not self.quits:
                self.sync()
        if data.sock is None:
            self.promised = verb
            return more - 1
        if plan.get("data") == "Upload":
            if not data.ended:
                self.send_data(data, plan)
        elif verb in UPLOADS:
            data.close()
        else:
            self.receive(data, plan)
        return more

    def send_data(self, data, plan):
        rest = plan["bytes"]
        cut = number(plan["cut"])
        rest = rest if cut is None else rest[:cut]
        sizes = [] if plan["pieces"] == "-" else [int(x) for x in plan["pieces"].split(",")]
        try:
            for index in range(len(rest)):
                if not rest:
                    break
                size = sizes[index % len(sizes)] if sizes else len(rest)
                data.sock.sendall(rest[:size])
                rest = rest[size:]
        except OSError:
            pass
        data.close(plan["end"])
        if plan["end"] == "Half":
            self.read_all(data)

    def receive(self, data, plan):
        limit = number(plan.get("read", "-"))
        whole = limit is None or plan["end"] == "Half"
        if plan.get("end") == "Half" and limit is not None:
            self.read_all(data, limit)
            data.close("Half")
        got = self.read_all(data, None if whole else limit)
        if whole and not (plan.get("end") == "Half" and limit is not None):
            self.out.data.append(self.names(got))
        data.close("Fin" if whole else plan["end"])

    def read_all(self, data, limit=None):
        chunks = []
        while limit is None or limit > 0:
            try:
                chunk = data.sock.recv(min(limit or 65536, 65536))
            except socket.timeout:
                self.out.events.append("no data")
                break
            except (OSError, ValueError):
                break
            if not chunk:
                break
            chunks.append(chunk)
            limit = limit and limit - len(chunk)
        return b"".join(chunks)

    def do_close_data(self, unit):
        if self.data:
            self.establish(self.data)
            self.data.close(unit.end)

    def do_close(self, unit):
        if unit.end == "Half":
            self.sock.shutdown(socket.SHUT_WR)
            self.expect(1)
        else:
            data = Data()
            data.sock = self.sock
            data.close(unit.end)
        self.is_over = True

    def do_time_out(self, _):
        self.expect(1)
        self.expect(2)

    def do_stranger(self, unit):
        if self.passive_port and self.data and ":" not in self.host:
            try:
                address = ("127.0.0.2", 0)
                to = (self.host, self.passive_port)
                with socket.create_connection(to, STALL, source_address=address) as sock:
                    sock.sendall(unit.blob)
            except OSError:
                pass

    def heal(self):
        """Gives up the data connection."""
        self.out = Outcome()
        if self.data and not self.is_over:
            self.data.close()
            self.data = None
            self.write(b"ABOR\r\n")
            self.sync()

    def leave(self):
        if self.data:
            self.data.close()
        self.sock.close()

"""What a client does, as both servers can be asked to do it."""

from .worlds import pairs

TRANSFERS = (b"RETR", b"STOR", b"STOU", b"APPE", b"LIST", b"NLST", b"MLSD")
LONGEST = 2048  # bytes of a line
UPLOADS = (b"STOR", b"STOU", b"APPE")
# What a client may do during its own upload, with a certain result.
MEANWHILE = b"ABOR STAT NOOP SIZE DELE RNFR RNTO MDTM MLST USER PASS REIN QUIT".split()


class Unit:
    """Bytes for the control connection and what belongs to them."""

    def __init__(self, kind, blob=b"", expected=0, **more):
        self.kind, self.blob, self.expected = kind, blob, expected
        self.data = more.get("data")
        self.meanwhile = more.get("meanwhile", [])
        self.way, self.connect = more.get("way"), more.get("connect")
        self.end = more.get("end")
        self.partial = more.get("partial", b"")

    def __str__(self):
        text = f"{self.kind} {self.way or ''} {self.connect or ''} {self.end or ''}"
        text = " ".join(text.split())
        if self.blob:
            text += f" {short(self.blob)}"
        if self.data:
            text += f" { ({k: short(v) for k, v in self.data.items()}) }"
        for blob in self.meanwhile:
            text += f" meanwhile {short(blob)}"
        return text

    def lines(self):
        return [x.strip() for x in self.blob.split(b"\n") if x.strip()]


def short(value):
    text = str(value) if not isinstance(value, bytes) else repr(value)[1:]
    return text if len(text) < 200 else f"{text[:150]}.. ({len(value)})"


def verb_of(line):
    return line.strip().split(b" ")[0].upper()


class Units:
    """Makes units of the steps of a client.

    Commands that are not waited for are sent at once, up to one that uses the data
    connection: what a server does with commands during a download depends on the time.
    During an upload the client holds its data back.
    """

    def __init__(self, steps, temper, settings):
        self.steps, self.temper = list(steps), temper
        self.foreign = settings["permit_foreign"] == "true"
        self.six = settings["address"].startswith("[")
        self.burst = b""
        self.line = b""  # the start of a line
        self.out = []

    def flush(self, **more):
        if self.burst:
            lines = (self.line + self.burst).split(b"\n")
            self.line = lines.pop()
            partial, self.burst, blob = self.line, b"", self.burst
            # The rest of an over-long line does not count again.
            self.out.append(Unit("send", blob, len(lines), partial=partial, **more))

    def make(self):
        while self.steps:
            kind, rest = self.steps.pop(0)
            getattr(self, kind)(rest)
        self.flush()
        return self.out

    def Command(self, rest):
        fields = pairs(rest)
        line = fields["line"]
        if self.foreign and verb_of(line) in (b"PORT", b"EPRT"):
            return  # a connection that leaves this machine
        alone = verb_of(line) in (b"AUTH", b"QUIT", *TRANSFERS)
        if alone:
            self.flush()
        self.burst += line + b"\r\n"
        # Only hostile clients go on before the delayed reply.
        alone = alone or line == b"PASS wrong" and self.temper != "Hostile"
        if alone or fields["wait"] == "true":
            self.flush()

    def Raw(self, rest):
        self.burst += rest[0]
        if rest[0].endswith(b"\n"):
            self.flush()

    def Open(self, rest):
        self.flush()
        fields = pairs(rest)
        way = fields["way"]
        if self.six and way == "Pasv" and len(self.out) % 8:
            way = "Epsv"  # few sessions end at the same row
        self.out.append(Unit("open", expected=1, way=way, connect=fields["connect"]))

    def Transfer(self, rest):
        fields = pairs(rest)
        simple = (b"", b"TYPE", b"REST", b"NOOP", b"PWD", b"CWD", b"CDUP")
        if not all(verb_of(x) in simple for x in self.burst.split(b"\n") if x):
            self.flush()
        self.burst += fields["line"] + b"\r\n"
        meanwhile = []
        if fields["data"] == "Upload" and fields["wait"] == "false" and fields["eager"] == "false":
            while self.steps and self.steps[0][0] == "Command":
                line = pairs(self.steps[0][1])["line"]
                if verb_of(line) not in MEANWHILE or meanwhile[-1:] == [b"QUIT\r\n"]:
                    break
                meanwhile.append(line + b"\r\n")
                self.steps.pop(0)
        self.flush(data=fields, meanwhile=meanwhile)

    def Await(self, rest):
        self.flush()

    def Pause(self, rest):
        self.flush()
        if float(rest[0]) > 300:
            self.out.append(Unit("time out"))

    def Stranger(self, rest):
        self.flush()
        self.out.append(Unit("stranger", pairs(rest)["bytes"]))

    def CloseData(self, rest):
        self.flush()
        self.out.append(Unit("close data", end=rest[0]))

    def Close(self, rest):
        self.flush()
        self.out.append(Unit("close", end=rest[0]))

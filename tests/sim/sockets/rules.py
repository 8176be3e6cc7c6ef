"""What must be the same, and which row of ARCHITECTURE.md explains a difference."""

import collections
import itertools
import os
import re
import time

from .units import LONGEST, TRANSFERS, verb_of
from .worlds import RECENT, number

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..", ".."))


def facts(line):
    """A line of MLSD or MLST without what differs from run to run."""
    head, space, name = line.lstrip(b" ").partition(b"; ")
    kept = []
    for fact in head.split(b";"):
        key, _, value = fact.partition(b"=")
        if key == b"unique":
            continue
        if key == b"modify" and value[:8] >= TODAY:
            value = b"now"
        kept.append(key + b"=" + value)
    return b";".join(kept) + space + name


TODAY = time.strftime("%Y%m%d", time.gmtime(time.time() - RECENT)).encode()


def plain(line):
    """A line of a listing or a reply without what differs from run to run."""
    if re.match(rb" ?[a-zA-Z.]+=[^ ]*; ", line):
        return facts(line)
    line = re.sub(rb"(?<= )[A-Z][a-z]{2} [ \d]\d \d\d:\d\d(?= )", b"(recent)", line)
    line = re.sub(rb"^(227 .*),\d+,\d+\)", rb"\1,(port))", line)
    line = re.sub(rb"^(229 .*\|)\d+\|\)", rb"\1(port)|)", line)
    line = re.sub(rb"(aborted; )\d+ bytes", rb"\1(n) bytes", line)
    line = re.sub(rb"^( Connected to: .*:)\d+$", rb"\1(port)", line)
    line = re.sub(rb"^(1\d\d FILE: .*\.).{8}$", rb"\1(unique)", line)
    line = re.sub(rb"^( Total bytes (sent|received): )\d+$", rb"\1(n)", line)
    line = re.sub(rb"(?<=elapsed time: )\S+ secs", b"(n) secs", line)
    line = re.sub(
        rb"^(213 )(\d{8})\d{6}$", lambda m: m[1] + (b"now" if m[2] >= TODAY else m[2]), line
    )
    return line


def agree(ours, theirs):
    """The rows that explain how two texts differ; None if they do not."""
    ours, theirs = [[plain(x) for x in lines] for lines in (ours, theirs)]
    used = set()
    for row, change in CHANGES:
        if ours == theirs:
            break
        changed = change(ours, theirs)
        if changed != (ours, theirs):
            used.add(row)
            ours, theirs = changed
    return used if sorted(ours) == sorted(theirs) else None


def each(pattern, by):
    """A change to each line."""
    return lambda *texts: tuple([re.sub(pattern, by, x) for x in text] for text in texts)


def without_links(ours, theirs):
    """Without the entries that are links in one of the two."""
    both = [[(x, *x.partition(b"; ")[::2]) for x in text] for text in (ours, theirs)]
    names = {name for _, head, name in both[0] if b"type=OS.unix=symlink" in head}
    return tuple([x for x, head, name in text if name not in names] for text in both)


# Rows of the table that a change to both texts undoes.
CHANGES = [
    ("`unix.mode`", each(rb"unix\.mode=0o?", b"unix.mode=")),
    ("times in LIST and STAT", each(rb"(?<= [A-Z][a-z]{2}) [ 0](?=\d )", b" ")),
    ("control characters in names", each(rb"[\0-\x1f\x7f]", b"?")),
    (
        "the reply for a path that leads outside",
        each(rb"^550 .* (points to a path which is outside)", rb"550 \1"),
    ),
    ("MLSD and MLST of a link that leads", without_links),
]


def data_agrees(ours, theirs):
    """The rows that explain how the received data differ; None if they do not."""
    used = set()
    if len(ours.data) != len(theirs.data):
        return None
    for a, b in zip(ours.data, theirs.data):
        found = set() if a == b else agree(*[sorted(x.split(b"\r\n")) for x in (a, b)])
        if found is None:
            return None
        used |= found
    return used


class Case:
    """What a rule looks at: a unit, what came of it, and what was before."""

    def __init__(self, unit, ours, theirs, tree, before, session):
        self.unit, self.ours, self.theirs = unit, ours, theirs
        self.tree, self.before, self.session = tree, before, session
        self.a, self.b = ours.events, theirs.events
        self.lines = unit.lines() + [x.strip() for x in unit.meanwhile]
        self.verbs = {verb_of(x) for x in self.lines}
        self.arguments = [x.partition(b" ")[2] for x in self.lines]

    def said(self, pattern):
        """Whether a line matches."""
        return any(re.search(pattern, x, re.IGNORECASE | re.DOTALL) for x in self.lines)

    def swaps(self, *pairs):
        """Whether only these codes stand for others, ours first."""
        both = list(zip(self.a, self.b))
        is_same = len(self.a) == len(self.b) and self.a != self.b
        return is_same and all(x == y or (x, y) in pairs for x, y in both)

    def texts(self, part=b""):
        """Whether only texts of replies differ, and ours have this part."""
        if self.a != self.b or self.tree or data_agrees(self.ours, self.theirs) is None:
            return False
        both = [(x, y) for x, y in zip(self.ours.texts, self.theirs.texts) if agree(x, y) is None]
        return all(part in b"\n".join(x) for x, _ in both)

    def only_data(self):
        """Whether the replies are the same, but the data are not."""
        return self.a == self.b and data_agrees(self.ours, self.theirs) is None

    def again(self):
        """Whether the session has logged in more than once."""
        return self.session.again or any(x[0][:12] == b"331 Previous" for x in self.ours.texts)

    def sent(self):
        """What the client has uploaded."""
        data = self.unit.data or {}
        return data.get("bytes", b"")[: number(data.get("cut", "-"))]

    def first(self):
        """The first two events that differ; None where one has no more."""
        longest = itertools.zip_longest(self.a, self.b)
        return next((pair for pair in longest if pair[0] != pair[1]), (None, None))

    def extra(self, *codes):
        """Whether we send these, and else the same."""
        rest = list(self.a)
        for code in codes:
            if code not in rest:
                return False
            rest.remove(code)
        theirs = [x for x in self.b if not isinstance(x, str)]
        return [x for x in rest if not isinstance(x, str)] == theirs

    def silent(self):
        """Whether pyftpdlib owes a reply."""
        return "no reply" in self.b and "no reply" not in self.a

    def links(self):
        """Whether the home has links."""
        return any(kind == "Link" for kind, *_ in self.session.home.values())

    def meanwhile(self, *verbs):
        """Whether one of these came during the upload."""
        return any(verb_of(x) in verbs for x in self.unit.meanwhile)


RULES = []
Rule = collections.namedtuple("Rule", "row then test")


def rule(row, then):
    """A function that knows a difference by the name of its row, and what to do then:
    `goes on`, `heals` (the client gives up its data connections) or `ends`."""

    def add(test):
        RULES.append(Rule(row, then, test))
        return test

    return add


def is_utf8(raw):
    return raw.decode(errors="replace").encode() == raw


def explain(case):
    """The rule for a difference."""
    return next((rule for rule in RULES if rule.test(case)), None)


rule("a line that ends in LF alone", "ends")(
    lambda c: c.said(rb"\n") or re.search(rb"(?<!\r)\n", c.unit.blob)
)
rule("a line over 2,048 bytes", "ends")(lambda c: len(c.unit.blob) > LONGEST and 500 in c.a)
rule("HTTP on the port", "ends")(lambda c: b"HTTP/1.1" in c.unit.blob)
rule("NUL or CR in an argument", "heals")(lambda c: c.said(rb"[\0\r]"))
rule("PASV over IPv6; PORT over IPv6", "ends")(
    lambda c: ":" in c.session.servers.host and 425 in c.a
)
rule("MFMT of a malformed time", "goes on")(
    lambda c: b"MFMT" in c.verbs and c.swaps((501, 550)) and not c.tree
)
rule("MFMT with a fraction, or second 60", "goes on")(
    lambda c: c.said(rb"^MFMT \d+(\.|60 )") and c.texts(b" is not retrievable")
)
rule("MFMT with a fraction, or second 60", "ends")(
    lambda c: c.said(rb"^MFMT \d+(\.|60 )") and c.swaps((213, 550), (501, 550))
)
rule("MFMT and SITE CHMOD with an empty path", "ends")(
    lambda c: c.said(rb"^(MFMT|SITE CHMOD) \S*$") and c.swaps((501, 213), (501, 200))
)
rule("SITE CHMOD with a mode beyond 0777", "ends")(
    lambda c: c.said(rb"^SITE CHMOD [1-7]\d{3} ") and c.swaps((501, 200), (501, 550))
)
rule("MFMT of directories", "ends")(lambda c: b"MFMT" in c.verbs and c.swaps((213, 550)))
rule("MFMT with a time that", "ends")(lambda c: b"MFMT" in c.verbs and c.swaps((550, 213)))
rule("`TYPE A N`", "ends")(lambda c: c.said(rb"^TYPE A N") and c.swaps((200, 504)))
rule("`REST 0` in TYPE A", "goes on")(lambda c: c.said(rb"^REST 0") and c.swaps((350, 501)))
rule("`OPTS UTF8 ON` with another `encoding`", "goes on")(
    lambda c: c.said(rb"^OPTS UTF-?8") and c.swaps((501, 200))
)
rule("`OPTS UTF8 ON` with another `encoding`", "goes on")(
    lambda c: c.said(rb"^OPTS UTF-?8") and c.texts(b"200 Never in UTF8 mode.")
)
rule("`OPTS UTF8 ON` before login", "goes on")(
    lambda c: c.said(rb"^OPTS UTF-?8") and c.swaps((200, 530))
)
rule("MLSD of a missing path", "goes on")(
    lambda c: b"MLSD" in c.verbs and c.swaps((550, 501)) and not c.tree
)
rule("`STAT -la`, flags of `LIST` and `NLST`", "heals")(
    lambda c: c.said(rb"^(STAT|LIST|NLST) -") and not c.tree
)
rule("patterns: ", "heals")(lambda c: c.said(rb"^(LIST|NLST) .*[*?[]") and not c.tree)
rule("STAT of a name with", "goes on")(
    lambda c: c.said(rb"^STAT .*[*?[]") and c.swaps((213, 550), (212, 550))
)
rule("`STOR d1/`, and names that end in", "ends")(
    lambda c: c.said(rb"^(STOR|APPE|STOU|RNTO) (.*/)?(\.?\.?)$") and 553 in c.a
)
rule("`RETR f/`, SIZE, MDTM, DELE and others", "heals")(
    lambda c: c.said(rb"/\.?$") and c.first()[0] == 550 and not c.tree
)
rule("`RETR f/`, SIZE, MDTM, DELE and others", "ends")(
    lambda c: c.said(rb"/\.?$") and c.first()[0] == 550
)
rule("DELE, RNFR, RNTO with a link that leads outside", "ends")(
    lambda c: c.verbs & {b"DELE", b"RNFR", b"RNTO"} and c.swaps((250, 550), (350, 550), (250, 503))
)
rule("MLSD and MLST of a link that leads", "goes on")(
    lambda c: b"MLST" in c.verbs and c.swaps((250, 550)) and c.links()
)
rule("a TYPE A upload whose last byte is CR", "ends")(
    lambda c: c.a == c.b and c.tree and c.sent().endswith(b"\r")
)
rule("an upload cut by a reset", "goes on")(
    lambda c: c.unit.data and c.unit.data.get("end") == "Reset" and c.swaps((426, 226))
)
rule("delay of a failed login", "ends")(
    lambda c: 530 in c.a and b"PASS" in c.verbs and len(c.lines) > 1 and c.a != c.b
)
rule("a line that cannot be decoded", "ends")(lambda c: c.a.count(501) < c.b.count(501))
rule("REST with a number of more than 63 bits", "goes on")(
    lambda c: c.texts(b"(9223372036854775807)")
)
rule("REST, then a transfer that is refused, or TYPE A", "ends")(
    lambda c: c.session.rest and c.verbs & set(TRANSFERS)
)
rule("RNTO after a RNFR that was refused", "ends")(
    lambda c: b"RNTO" in c.verbs and c.first()[0] == 503
)
rule("RNTO after a RNTO whose rename has failed", "ends")(
    lambda c: b"RNTO" in c.verbs and c.first()[1] == 503
)
rule("RNTO of a name that exists", "goes on")(
    lambda c: b"RNTO" in c.verbs and c.texts(b"550 Not enough privileges.")
)
rule("RNTO of the home itself", "goes on")(
    lambda c: b"RNTO" in c.verbs and c.texts(b"550 Device or resource busy.")
)
rule("a path that leads outside, without the permission", "goes on")(
    lambda c: c.links() and c.texts(b"550 Not enough privileges.")
)
rule("RNTO of a name that exists", "ends")(lambda c: b"RNTO" in c.verbs and c.first() == (550, 250))
rule("USER during a session", "ends")(
    lambda c: (
        c.again()
        and (c.unit.kind in ("open", "time out") or c.verbs & {*TRANSFERS, b"SIZE", b"ABOR"})
    )
)
rule("USER during a session", "goes on")(
    lambda c: c.again() and c.said(rb"STAT$") and c.texts(b"FTP server status:")
)
rule("AUTH after a login in clear", "ends")(lambda c: c.session.auth and c.first()[0] == 530)
rule("AUTH after a login in clear", "ends")(
    lambda c: c.before.promised and b"AUTH" in c.verbs and "no reply" in c.a
)
rule("a foreign host at the passive port", "ends")(
    lambda c: c.unit.kind == "stranger" and c.b.count(425) > c.a.count(425)
)
rule("AUTH SSL and TLS-P", "ends")(
    lambda c: c.session.implied and (c.unit.kind == "open" or c.verbs & set(TRANSFERS))
)
rule("a transfer in clear with `tls_data_required`", "ends")(lambda c: c.first()[0] == 521)
rule("PBSZ with something that is no number", "goes on")(
    lambda c: b"PBSZ" in c.verbs and c.swaps((501, 200))
)
rule("STOU without the permission to write", "ends")(
    lambda c: b"STOU" in c.verbs and (c.first()[0] == 550 or 550 in c.a and c.tree)
)
rule("the size of a file during its upload", "goes on")(
    lambda c: (
        c.unit.meanwhile and not c.tree and c.verbs & {b"STAT", b"SIZE", b"MLST"} and c.texts()
    )
)
rule("names that are not in the encoding, in listings", "ends")(
    lambda c: c.said(rb"\?") and c.session.has_odd_names()
)
rule("names that are not valid UTF-8", "ends")(
    lambda c: c.said(rb"[\x80-\xff]") and any(not is_utf8(x) for x in c.lines)
)
rule("ABOR after 150 without a data connection", "ends")(
    lambda c: c.before.promised and b"ABOR" in c.verbs and 426 in c.a
)
rule("ABOR after a transfer in active mode", "goes on")(
    lambda c: c.said(rb"ABOR$") and c.texts(b"225 No transfer to abort.")
)
rule("ABOR, USER and REIN during a transfer that has moved no byte", "ends")(
    lambda c: c.meanwhile(b"ABOR", b"USER", b"REIN") and (c.silent() or c.first()[0] == 426)
)
rule("REIN", "ends")(
    lambda c: (c.before.promised or 150 in c.a) and b"REIN" in c.verbs and c.extra(426)
)
rule("QUIT while a transfer waits", "ends")(
    lambda c: b"QUIT" in c.verbs and c.before.promised and c.extra(426)
)
rule("QUIT with an idle data connection", "ends")(
    lambda c: b"QUIT" in c.verbs and c.before.has_data and c.first() == ("EOF", "no reply")
)
rule("PASV after PASV and a transfer that was promised", "ends")(
    lambda c: c.before.promised and c.unit.kind == "open" and 426 in c.a and c.a != c.b
)
rule("a listing that waits for its data connection", "ends")(
    lambda c: c.before.promised and c.unit.kind == "open" and c.only_data()
)
rule("a transfer before PORT or EPRT", "ends")(
    lambda c: (
        c.before.promised
        and c.unit.way in ("Port", "Eprt")
        and ("no data" in c.b or c.b.count(425) > c.a.count(425))
    )
)
rule("a second transfer while one waits (150) for the connection of a PASV", "ends")(
    lambda c: c.before.promised and c.verbs & set(TRANSFERS) and "no reply" in c.a
)
rule("a second transfer after one that got 150", "ends")(
    lambda c: c.before.promised and c.verbs & set(TRANSFERS) and 426 in c.a
)
rule("STOR without a data connection", "ends")(
    lambda c: (c.before.promised or c.after.promised or {150, 522} & set(c.a)) and c.tree
)
rule("a data connection that is closed or reset before its command", "ends")(
    lambda c: c.before.ended and c.verbs & set(TRANSFERS) and c.silent()
)
rule("a data connection that is closed or reset before its command", "goes on")(
    lambda c: c.before.ended and b"ABOR" in c.verbs and c.texts(b"225 ABOR command successful")
)
rule("a data connection that is closed or reset before its command", "ends")(
    lambda c: c.before.ended and c.texts(b"211-FTP server status:")
)
rule("a data connection that is closed or reset before its command", "heals")(
    lambda c: c.unit.data and c.unit.data.get("eager") == "true" and c.first()[0] == "no data"
)


def rows():
    """The first cells of the table."""
    with open(os.path.join(ROOT, "ARCHITECTURE.md"), encoding="utf-8") as file:
        text = file.read().partition("## Where ftpdlib differs from pyftpdlib on purpose")[2]
    return re.findall(r"^\| (.*?) \| ", text, re.MULTILINE)

"""FTP over TLS (RFC 4217): explicit and implicit, TLS 1.2 and 1.3."""

import contextlib
import ftplib
import itertools
import re
import shutil
import signal
import socket
import ssl

from bench import DEADLINE, PASSWORD, USER
from bench import content, fails, output, refuses, tree
from plain import python_files, python_rest, rclone_jobs


class Servers:
    """The servers that have TLS, and the certificates, made when first asked for."""

    def __init__(self, bench):
        self.bench = bench
        self.directory = bench.top / "certificates"
        if not self.directory.exists():
            self.directory.mkdir()
            self._make_certificates()

    def __call__(self, name):
        if f"tls-{name}" not in self.bench.servers:
            address, more = SERVERS[name]
            tls = f'certfile = "{self.file("chain.pem")}"\nkeyfile = "{self.file("server.key")}"\n'
            tls += more.replace("DIR", str(self.directory))
            options = ["--concurrency", "pre-fork", "--workers", "2"] if name == "workers" else []
            self.bench.serve(f"tls-{name}", address, tls, options)
        return self.bench.servers[f"tls-{name}"]

    def file(self, name):
        return self.directory / name

    @property
    def root(self):
        """What clients trust."""
        return self.file("root.pem")

    def _make_certificates(self):
        """A chain of three, as from a public authority, and one for users."""
        authority = "basicConstraints=critical,CA:TRUE"
        self.make("root", None, authority)
        self.make("between", "root", authority)
        self.make("server", "between", f"subjectAltName={HOST}")
        self.make("other", "root", "subjectAltName=DNS:ftp.example")
        self.make("user", "root", "extendedKeyUsage=clientAuth")
        both = [content(self.file(f"{name}.pem")) for name in ("server", "between")]
        self.file("chain.pem").write_bytes(b"".join(both))

    def make(self, name, issuer, extension):
        """Makes NAME.key and NAME.pem."""
        config = self.file("openssl.cnf")
        config.write_text("[req]\ndistinguished_name = name\n[name]\n")
        command = ["openssl", "req", "-x509", "-config", config, "-days", "2", "-nodes"]
        command += ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
        command += ["-keyout", self.file(f"{name}.key"), "-out", self.file(f"{name}.pem")]
        command += ["-subj", f"/CN=ftpdlib's {name}", "-addext", extension]
        if issuer:
            command += ["-CA", self.file(f"{issuer}.pem"), "-CAkey", self.file(f"{issuer}.key")]
        run = self.bench.run(*command)
        self.bench.check(f"certificate {name}", run.returncode == 0, output(run))


# Names of servers: the address, and what stands in [tls] besides the certificate.
SERVERS = {
    "explicit": ("127.0.0.1", ""),
    "ipv6": ("::1", ""),
    "implicit": ("127.0.0.1", "implicit = true\n"),
    "strict": ("127.0.0.1", "tls_control_required = true\ntls_data_required = true\n"),
    "reuse": ("127.0.0.1", 'session_reuse = "require"\n'),
    "off": ("127.0.0.1", 'session_reuse = "off"\n'),
    "workers": ("127.0.0.1", ""),
    "users": (
        "127.0.0.1",
        'client_auth = "required"\nclient_ca = "DIR/root.pem"\n',
    ),
    "names": (
        "127.0.0.1",
        'certificates = [{ certfile = "DIR/other.pem", keyfile = "DIR/other.key" }]\n',
    ),
}
HOST = "DNS:localhost,IP:127.0.0.1,IP:::1"


def has_shaken(server, since, version):
    """Whether a control connection has come to use this version."""
    return f"TLS established: {version}" in server.log.read_text(errors="replace")[since:]


# --- curl


def curl(bench):
    remote, local = bench.begin("curl-tls")
    servers = Servers(bench)
    base = ("curl", "-sS", "--max-time", DEADLINE, "--noproxy", "*")
    base += ("--cacert", servers.root)

    def url(name="", server="explicit", login=True):
        scheme = "ftps" if server == "implicit" else "ftp"
        return servers(server).url("curl-tls/" + name, login, scheme)

    def curl_run(*command):
        return bench.run(*base, "--ssl-reqd", *command)

    # Not active: curl 7.88 fails there over TLS, whatever the server.
    two, three = ["--tls-max", "1.2"], ["--tlsv1.3"]
    modes = [
        ("TLS 1.2", "explicit", two, "TLSv1_2", ["AUTH", "PBSZ", "PROT", "EPSV"]),
        ("TLS 1.3", "explicit", three, "TLSv1_3", ["AUTH", "PBSZ", "PROT", "EPSV"]),
        ("PASV", "explicit", ["--disable-epsv"], "", ["PASV"]),
        ("TLS required", "strict", [], "", ["PROT"]),
        ("without tickets", "off", [], "", ["PROT"]),
        ("reuse required, TLS 1.2", "reuse", two, "TLSv1_2", ["PROT"]),
        ("reuse required, TLS 1.3", "reuse", three, "TLSv1_3", ["PROT"]),
        ("implicit, TLS 1.2", "implicit", two, "TLSv1_2", ["EPSV"]),
        ("implicit, TLS 1.3", "implicit", three, "TLSv1_3", ["EPSV"]),
    ]
    if bench.v6:
        modes.append(("IPv6", "ipv6", ["-g"], "", ["EPSV"]))
    for name, server, flags, version, verbs in modes:
        since = servers(server).mark()
        run = curl_run(*flags, "-o", local / "got", url("big.bin", server))
        bench.same(f"get, {name}", local / "got", remote / "big.bin", run)
        run = curl_run(*flags, "-T", remote / "big.bin", url("up.bin", server))
        bench.same(f"put, {name}", remote / "up.bin", remote / "big.bin", run)
        run = curl_run(*flags, url(server=server))
        bench.check(f"list, {name}", b"big.bin" in run.stdout, output(run))
        good = bench.has_sent(servers(server), since, *verbs)
        good = good and has_shaken(servers(server), since, version)
        bench.check(f"{name} it was", good, servers(server).commands(since))
        (local / "got").unlink(missing_ok=True)
        (remote / "up.bin").unlink(missing_ok=True)

    big = content(remote / "big.bin")
    (local / "part.bin").write_bytes(big[:1_000_003])
    run = curl_run("-C", "-", "-o", local / "part.bin", url("big.bin"))
    bench.same("resume a download", local / "part.bin", big, run)
    (remote / "part.bin").write_bytes(big[:2_000_005])
    run = curl_run("-C", "-", "-T", local / "part.bin", url("part.bin"))
    bench.same("resume an upload", remote / "part.bin", big, run)
    run = curl_run("-a", "-T", remote / "lines.txt", url("sub/one.txt"))
    bench.same("append", remote / "sub/one.txt", b"one\n" + content(remote / "lines.txt"), run)
    run = curl_run("-T", remote / "empty.bin", url("none.bin"))
    bench.same("put of nothing", remote / "none.bin", b"", run)
    run = curl_run("-o", local / "none.bin", url("empty.bin"))
    bench.check("get of nothing", run.returncode == 0, output(run))
    run = curl_run("-r", "1000-1999", url("big.bin"))
    bench.same("a range", run.stdout, big[1000:2000], run)
    run = curl_run("-T", remote / "lines.txt", url("ascii.txt") + ";type=a")
    bench.same("put with ;type=a", remote / "ascii.txt", remote / "lines.txt", run)
    quote = ["-Q", "MKD curl-tls/made", "-Q", "-RNFR ascii.txt", "-Q", "-RNTO moved.txt"]
    run = curl_run(*quote, "-Q", "-DELE part.bin", "-l", url())
    made = (remote / "made").is_dir() and (remote / "moved.txt").is_file()
    bench.check("make and rename", made, output(run))
    bench.check("delete", not (remote / "part.bin").exists(), output(run))
    curl_series(bench, servers, curl_run, url, remote, local)
    run = curl_run("--ftp-ssl-ccc", "-v", url("lines.txt"))
    good = run.stdout == content(remote / "lines.txt") and b"< 500 Command \"CCC\"" in run.stderr
    bench.check("CCC is refused, and TLS goes on", good, output(run))
    run = bench.run(*base, "--ftp-ssl-control", url("big.bin"))
    bench.same("data in clear", run.stdout, big, run)
    run = bench.run(*base, "--ftp-ssl-control", url("big.bin", "strict"))
    bench.check("data in clear where TLS is required", fails(run), output(run))
    run = bench.run(*base, url("big.bin"))
    bench.same("all in clear", run.stdout, big, run)
    run = bench.run(*base, url("big.bin", "strict"))
    bench.check("no login in clear where TLS is required", run.returncode == 67, output(run))
    run = curl_run("--cacert", servers.file("user.pem"), url("big.bin"))
    bench.check("an unknown authority is 60", run.returncode == 60, output(run))
    run = curl_run("-u", f"{USER}:wrong", url(login=False))
    bench.check("wrong password is 67", run.returncode == 67, output(run))
    run = curl_run("--tlsv1.0", "--tls-max", "1.1", "--ciphers", "ALL:@SECLEVEL=0", url())
    bench.check("no TLS 1.1", run.returncode == 35, output(run))
    user = ["--cert", servers.file("user.pem"), "--key", servers.file("user.key")]
    run = curl_run(*user, url("big.bin", "users"))
    bench.same("with a certificate", run.stdout, big, run)
    run = curl_run(url("big.bin", "users"))
    bench.check("without the certificate that is required", fails(run), output(run))


def curl_series(bench, servers, curl_run, url, remote, local):
    """Several files on one connection, while curl uses each ticket once only."""
    names = ["sub/one.txt", "sub/deep/two.bin", "big.bin"]
    wanted = b"".join(content(remote / name) for name in names)
    for name in ("1", "2", "3"):
        (local / f"s{name}.bin").write_bytes(wanted[: -int(name)])
    for version, server in itertools.product(("1.2", "1.3"), ("explicit", "reuse", "off", "implicit")):
        bench.client = f"curl-tls {server}, TLS {version}"
        since = servers(server).mark()
        flags = ["--tls-max", version]
        run = curl_run(*flags, *(url(name, server) for name in names))
        bench.same("three downloads on one connection", run.stdout, wanted, run)
        logins = sum(line.startswith("USER") for line in servers(server).commands(since))
        bench.check("one login for the three", logins == 1, f"{logins} logins")
        if (version, server) == ("1.3", "reuse"):
            # None of its tickets is left after the first upload.
            continue
        run = curl_run(*flags, "-T", f"{local}/s[1-3].bin", url("", server))
        good = all(content(remote / f"s{n}.bin") == wanted[:-n] for n in (1, 2, 3))
        bench.check("three uploads on one connection", good, output(run))
        curl_mixed(bench, curl_run, flags, url, server, remote, local)
        for uploaded in remote.glob("s?.bin"):
            uploaded.unlink()
    bench.client = "curl-tls"


def curl_mixed(bench, curl_run, flags, url, server, remote, local):
    """Five downloads, an upload and a listing on one connection; then several at once."""
    names = ["sub/one.txt", "sub/deep/two.bin", "lines.txt", "two%20words.txt", "big.bin"]
    wanted = b"".join(content(remote / name.replace("%20", " ")) for name in names)
    following = ["--next", "-sS", "--cacert", bench.top / "certificates/root.pem", "--ssl-reqd", *flags]
    upload = [*following, "-T", local / "s1.bin", url("s1.bin", server)]
    run = curl_run(*flags, *(url(name, server) for name in names), *upload, *following, url("", server))
    good = run.returncode == 0 and run.stdout.startswith(wanted)
    good = good and b"big.bin" in run.stdout[len(wanted) :]
    bench.check("five downloads, an upload and a listing", good, output(run))
    bench.same("the upload of these", remote / "s1.bin", local / "s1.bin", run)
    if server == "reuse":
        # Its parallel sessions keep the last ticket of all of them.
        return
    several = [("-o", local / f"z{number}", url(name, server)) for number, name in enumerate(names)]
    run = curl_run(*flags, "-Z", *(word for words in several for word in words))
    got = b"".join(content(local / f"z{number}") or b"" for number in range(len(names)))
    bench.check("five downloads at once", run.returncode == 0 and got == wanted, output(run))
    run = curl_run(*flags, "-Z", "-T", f"{local}/s[1-3].bin", url("", server))
    same = all(content(remote / f"s{n}.bin") == content(local / f"s{n}.bin") for n in (1, 2, 3))
    bench.check("three uploads at once", run.returncode == 0 and same, output(run))


# --- lftp


def lftp(bench):
    remote, local = bench.begin("lftp-tls")
    servers = Servers(bench)
    preamble = "set cmd:fail-exit yes; set net:max-retries 1; set net:timeout 20; "
    preamble += "set ftp:ssl-force true; set ftp:ssl-protect-data true; set xfer:clobber yes; "
    preamble += f"set ssl:ca-file {servers.root}; "

    def lftp_run(script, server="explicit", settings=""):
        scheme = "ftps" if server == "implicit" else "ftp"
        opening = f"open {servers(server).url('lftp-tls', scheme=scheme)}"
        return bench.run("lftp", "-c", f"{preamble}{settings}{opening}; {script}", cwd=local)

    two, three = (f"set ssl:priority NORMAL:-VERS-ALL:+VERS-TLS{v}; " for v in ("1.2", "1.3"))
    wanted = tree(remote)
    modes = [
        ("TLS 1.2", "explicit", two, "TLSv1_2", "PASV"),
        ("TLS 1.3", "explicit", three, "TLSv1_3", "PASV"),
        ("active", "explicit", "set ftp:passive-mode no; ", "", "PORT"),
        ("with MLSD", "explicit", "set ftp:use-mlsd yes; ", "", "MLSD"),
        ("without sync", "explicit", "set ftp:sync-mode no; ", "", "PROT"),
        ("AUTH TLS-P", "explicit", "set ftp:ssl-auth TLS-P; ", "", "AUTH"),
        ("CCC is refused", "explicit", "set ftp:ssl-use-ccc yes; ", "", "CCC"),
        ("TLS required", "strict", "", "", "PROT"),
        ("reuse required, TLS 1.2", "reuse", two, "TLSv1_2", "PROT"),
        ("reuse required, TLS 1.3", "reuse", three, "TLSv1_3", "PROT"),
        ("implicit, TLS 1.2", "implicit", two, "TLSv1_2", "PASS"),
        ("implicit, TLS 1.3", "implicit", three, "TLSv1_3", "PASS"),
    ]
    if bench.v6:
        modes.append(("IPv6", "ipv6", "", "", "EPSV"))
    for number, (name, server, settings, version, verb) in enumerate(modes):
        since = servers(server).mark()
        run = lftp_run(f"mirror --parallel=2 . m{number}", server, settings)
        bench.check(f"mirror, {name}", tree(local / f"m{number}") == wanted, output(run))
        run = lftp_run(f"mirror -R --parallel=2 m{number} up", server, settings)
        bench.check(f"mirror back, {name}", tree(remote / "up") == wanted, output(run))
        good = bench.has_sent(servers(server), since, verb)
        good = good and has_shaken(servers(server), since, version)
        bench.check(f"{name} it was", good, servers(server).commands(since))
        shutil.rmtree(remote / "up", ignore_errors=True)

    run = lftp_run("ls; cls -1 *.txt; find .")
    listed = all(name in run.stdout for name in (b"two words.txt", b"sub/deep/two.bin"))
    bench.check("ls, cls, find", listed, output(run))
    run = lftp_run("pget -n 4 big.bin -o pget.bin")
    bench.same("pget", local / "pget.bin", remote / "big.bin", run)
    (local / "reget.bin").write_bytes(content(remote / "big.bin")[:777_777])
    run = lftp_run("reget big.bin -o reget.bin")
    bench.same("reget", local / "reget.bin", remote / "big.bin", run)
    (remote / "reput.bin").write_bytes(content(remote / "big.bin")[:888_888])
    run = lftp_run("reput pget.bin -o reput.bin")
    bench.same("reput", remote / "reput.bin", remote / "big.bin", run)
    run = lftp_run("mkdir -p x/y; mv reput.bin x/y/moved.bin; chmod 640 x/y/moved.bin")
    bench.same("mkdir, mv, chmod", remote / "x/y/moved.bin", remote / "big.bin", run)
    run = lftp_run("rm -r x")
    bench.check("rm -r", not (remote / "x").exists(), output(run))
    run = lftp_run("cat sub/deep/two.bin", settings="set ftp:ssl-protect-data no; ")
    bench.same("data in clear", run.stdout, remote / "sub/deep/two.bin", run)
    # Not `cat`, which does not end after an error.
    run = lftp_run("get sub/deep/two.bin", "reuse", "set ftp:ssl-copy-sid no; ")
    bench.check("no resumption where it is required", fails(run), output(run))
    run = lftp_run("ls", settings="set ssl:ca-file /dev/null; ")
    bench.check("an unknown authority is an error", fails(run), output(run))


# --- wget


def wget(bench):
    remote, local = bench.begin("wget-tls")
    servers = Servers(bench)
    base = ("wget", "-nv", "--tries=1", f"--timeout={DEADLINE}", "--no-proxy")
    base += (f"--ca-certificate={servers.root}",)

    def url(name="", server="explicit"):
        return servers(server).url("wget-tls/" + name, scheme="ftps")

    two, three = (f"--ciphers=NORMAL:-VERS-ALL:+VERS-TLS{v}" for v in ("1.2", "1.3"))
    modes = [
        ("passive", "explicit", [], "PASV"),
        ("active", "explicit", ["--no-passive-ftp"], "PORT"),
        ("TLS 1.2", "explicit", [two], "PASV"),
        ("TLS required", "strict", [], "PROT"),
        ("implicit", "implicit", ["--ftps-implicit"], "PASV"),
        ("reuse required, TLS 1.2", "reuse", [two], "PROT"),
        ("reuse required, TLS 1.3", "reuse", [three], "PROT"),
    ]
    if bench.v6:
        modes.append(("IPv6", "ipv6", [], "EPSV"))
    wanted = tree(remote)
    for number, (name, server, flags, verb) in enumerate(modes):
        since = servers(server).mark()
        run = bench.run(*base, *flags, "-O", local / "got", url("big.bin", server))
        bench.same(f"get, {name}", local / "got", remote / "big.bin", run)
        top = local / f"r{number}"
        run = bench.run(*base, *flags, "-r", "-nH", "--cut-dirs=1", "-P", top, url("", server))
        bench.check(f"recursion, {name}", tree(top) == wanted, output(run))
        good = bench.has_sent(servers(server), since, verb)
        bench.check(f"{name}: {verb} it was", good, servers(server).commands(since))
    big = content(remote / "big.bin")
    (local / "big.bin").write_bytes(big[:1_234_567])
    run = bench.run(*base, "-c", url("big.bin"), cwd=local)
    bench.same("-c", local / "big.bin", big, run)
    run = bench.run(*base, "--ftps-clear-data-connection", "-O", "-", url("big.bin"))
    bench.same("data in clear", run.stdout, big, run)
    run = bench.run(*base, "--no-ftps-resume-ssl", "-O", "-", url("lines.txt"))
    bench.same("without resumption", run.stdout, remote / "lines.txt", run)
    run = bench.run(*base, "-O", "-", url("missing.bin"))
    bench.check("missing file is an error", run.returncode == 8, output(run))


# --- ftplib


class Ftps(ftplib.FTP_TLS):
    """With what ftplib lacks: implicit TLS, and data connections that resume."""

    def __init__(self, context, implicit=False):
        super().__init__(context=context, timeout=DEADLINE)
        self.implicit = implicit
        # What TLS session data connections resume.
        self.resumes = lambda: None
        self.was_resumed = False
        # That of the last data connection which was refused.
        self.refused = None

    def connect(self, host, port):
        if not self.implicit:
            return super().connect(host, port)
        self.host, self.port = host, port
        sock = socket.create_connection((host, port), self.timeout)
        self.af = sock.family
        self.sock = self.context.wrap_socket(sock, server_hostname=host)
        self.file = self.sock.makefile("r", encoding=self.encoding)
        self.welcome = self.getresp()
        # As many clients do: without PROT P.
        self._prot_p = True
        return self.welcome

    def ntransfercmd(self, cmd, rest=None):
        conn, size = ftplib.FTP.ntransfercmd(self, cmd, rest)
        if self._prot_p:
            session = self.resumes()
            conn = self.context.wrap_socket(conn, server_hostname=self.host, session=session)
            self.was_resumed = conn.session_reused
        return conn, size

    def own(self):
        """The TLS session of the control connection."""
        return self.sock.session

    def is_refused(self, command):
        """Whether a transfer is answered with 522, once its handshake is done."""
        with contextlib.suppress(OSError), self.transfercmd(command) as sock:
            sock.recv(1)
            self.refused = sock.session
        return refuses(self.voidresp, "522")


def python(bench):
    remote, _ = bench.begin("ftplib-tls")
    servers = Servers(bench)
    versions = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]
    contexts = {version: context_for(servers.root, version) for version in versions}

    @contextlib.contextmanager
    def session(server, version, mode="passive", protection="P", resumes=True):
        with Ftps(contexts[version], server == "implicit") as ftp:
            ftp.connect(servers(server).address, servers(server).port)
            ftp.login(USER, PASSWORD)
            ftp.set_pasv(mode == "passive")
            if protection == "P" and server != "implicit":
                ftp.prot_p()
            ftp.cwd("ftplib-tls")
            if resumes:
                ftp.resumes = ftp.own
            how = f", {'' if resumes else 'not '}resumed" if protection == "P" else ""
            bench.client = f"ftplib {version.name} {server} {mode} PROT {protection}{how}"
            yield ftp

    ways = [("P", True), ("P", False), ("C", False)]
    for version, mode, way in itertools.product(versions, ("passive", "active"), ways):
        with session("explicit", version, mode, *way) as ftp:
            python_files(bench, ftp, remote)
            python_rest(bench, ftp, remote)
    others = ["strict", "reuse", "implicit", "off"] + (["ipv6"] if bench.v6 else [])
    for version, mode, server in itertools.product(versions, ("passive", "active"), others):
        with session(server, version, mode) as ftp:
            python_files(bench, ftp, remote)
            bench.check("resumed or not", ftp.was_resumed == (server != "off"))
    for version in versions:
        python_refusals(bench, lambda *rest: session(rest[0], version, *rest[1:]))
    bench.client = "ftplib-tls"
    with Ftps(contexts[versions[1]]) as ftp:
        ftp.connect(servers("strict").address, servers("strict").port)
        bench.check("no USER in clear", refuses(lambda: ftp.login(USER, PASSWORD, secure=False), "550"))
        ftp.login(USER, PASSWORD)
        bench.check("no PASV before PROT P", refuses(lambda: ftp.nlst(), "550"))


def context_for(root, version):
    context = ssl.create_default_context(cafile=root)
    context.minimum_version = context.maximum_version = version
    return context


def python_refusals(bench, session):
    """Data connections that cannot show whose they are; then all goes on."""
    with session("reuse", "passive", "P", False) as ftp:
        for command in ("RETR big.bin", "STOR stolen.bin", "LIST"):
            bench.check(f"522 for {command}", ftp.is_refused(command))
        ftp.resumes = lambda: ftp.refused
        bench.check("522 for what a refused one was given", ftp.is_refused("RETR big.bin"))
        ftp.resumes = ftp.own
        bench.check("then resumed", "big.bin" in ftp.nlst())
        with session("reuse") as other:
            ftp.resumes = other.own
            bench.check("522 for another session of the user", ftp.is_refused("RETR big.bin"))
    with session("explicit", "passive", "P", False) as ftp:
        bench.check("not resumed, as none was", "big.bin" in ftp.nlst())
        ftp.resumes = ftp.own
        bench.check("the first that is", "big.bin" in ftp.nlst())
        ftp.resumes = lambda: None
        bench.check("522 from then on", ftp.is_refused("RETR big.bin"))
        bench.check("CCC is refused", refuses(lambda: ftp.sendcmd("CCC"), "500"))
        bench.check("AUTH is refused", refuses(lambda: ftp.sendcmd("AUTH TLS"), "503"))
        bench.check("quit", ftp.quit().startswith("221"))


# --- openssl


def openssl(bench):
    bench.begin("openssl")
    servers = Servers(bench)
    for name in ("explicit", "implicit", "ipv6") if bench.v6 else ("explicit", "implicit"):
        bench.client = f"openssl {name}"
        login = [f"USER {USER}", f"PASS {PASSWORD}", "PWD", "QUIT"]
        run = s_client(servers, name, "-showcerts", lines=login)
        chain = re.findall(rb"^ \d s:CN = ftpdlib's (\w+)", run.stdout, re.M)
        bench.check("the chain", chain == [b"server", b"between"], output(run))
        bench.check("is trusted", b"Verify return code: 0 (ok)" in run.stdout, output(run))
        # They may come between the lines that s_client writes of each ticket.
        replies = re.findall(rb"(331 User|230 Login|257 \"|221 Good)", run.stdout)
        bench.check("a session", len(replies) == 4 and replies[0] == b"331 User", output(run))
        for version in ("-tls1_2", "-tls1_3"):
            run = s_client(servers, name, version)
            bench.check(version, run.returncode == 0, output(run))
        run = s_client(servers, name, "-tls1_1", "-cipher", "ALL:@SECLEVEL=0")
        good = fails(run) and b"SSL alert number" in run.stderr
        bench.check("not -tls1_1", good, output(run))
        for offered in ("ftp", "http/1.1,ftp"):
            run = s_client(servers, name, "-alpn", offered)
            good = run.returncode == 0 and b"ALPN protocol: ftp" in run.stdout
            bench.check(f"ALPN {offered}", good, output(run))
        run = s_client(servers, name, "-alpn", "http/1.1")
        good = fails(run) and b"alert no application protocol" in run.stderr
        bench.check("not ALPN http/1.1", good, output(run))
    bench.client = "openssl"
    openssl_certificates(bench, servers)


def openssl_certificates(bench, servers):
    """Those of users, those chosen by name, new ones, and one that is made."""
    user = ["-cert", servers.file("user.pem"), "-key", servers.file("user.key")]
    for version in ("-tls1_2", "-tls1_3"):
        run = s_client(servers, "users", version, *user)
        bench.check(f"with a certificate, {version}", b"221 Goodbye." in run.stdout, output(run))
        run = s_client(servers, "users", version)
        bench.check(f"without one, {version}", b"221 Goodbye." not in run.stdout, output(run))

    def name_shown(*flags):
        run = s_client(servers, "names", *flags)
        found = re.search(rb"subject=CN = ftpdlib's (\w+)", run.stdout)
        return found and found[1]

    bench.check("the name of another certificate", name_shown("-servername", "ftp.example") == b"other")
    bench.check("an unknown name", name_shown("-servername", "localhost") == b"server")
    bench.check("no name", name_shown("-noservername") == b"server")

    def fingerprint(server, *flags):
        shown = s_client(servers, server, *flags).stdout.decode()
        command = ("openssl", "x509", "-noout", "-fingerprint", "-sha256")
        return bench.run(*command, stdin=shown).stdout.decode().strip().split("=")[-1]

    server = servers("names")
    before = fingerprint("names", "-servername", "ftp.example")
    with Ftps(context_for(servers.root, ssl.TLSVersion.TLSv1_3)) as ftp:
        ftp.connect(server.address, server.port)
        ftp.login(USER, PASSWORD)
        ftp.prot_p()
        servers.make("other", "root", "subjectAltName=DNS:ftp.example")
        server.process.send_signal(signal.SIGHUP)
        bench.check("SIGHUP is logged", server.has_logged("certificates read again"))
        after = fingerprint("names", "-servername", "ftp.example")
        bench.check("a new certificate", len(before) == len(after) == 95 and before != after)
        bench.check("an open session goes on", "openssl" in ftp.nlst())
    made = bench.serve("tls-made", "127.0.0.1", options=["--tls-self-signed"])
    shown = fingerprint("made")
    logged = f"SHA-256 fingerprint {shown}" in made.log.read_text()
    bench.check("the fingerprint of a self-signed one", logged and len(shown) == 95, shown)


def s_client(servers, name, *flags, lines=("QUIT",)):
    server = servers(name)
    host = f"[{server.address}]" if ":" in server.address else server.address
    command = ["openssl", "s_client", "-connect", f"{host}:{server.port}"]
    command += ["-CAfile", servers.root, "-nocommands", "-ign_eof", "-crlf"]
    command += [] if name == "implicit" else ["-starttls", "ftp"]
    return servers.bench.run(*command, *flags, stdin="".join(f"{line}\n" for line in lines))


# --- Net::FTP and rclone, which never read on the data connections of uploads


def perl(bench):
    remote, local = bench.begin("perl-tls")
    servers = Servers(bench)
    for name, version in itertools.product(("explicit", "implicit", "reuse"), ("TLSv1_2", "TLSv1_3")):
        bench.client = f"Net::FTP {name} {version}"
        server = servers(name)
        way = (server.address, server.port, int(name == "implicit"), version, servers.root)
        run = bench.run("perl", "-e", PERL, *way, USER, PASSWORD, remote / "big.bin", cwd=local)
        bench.check("a session", run.returncode == 0, output(run))
        for number in range(3):
            bench.same(f"put {number}", remote / f"up{number}.bin", remote / "big.bin", run)
            (remote / f"up{number}.bin").unlink(missing_ok=True)
        bench.same("get", local / "got.bin", remote / "big.bin", run)
        bench.check("ls", b"two words.txt" in run.stdout, output(run))
        (local / "got.bin").unlink(missing_ok=True)


PERL = r"""
use Net::FTP;
my ($host, $port, $implicit, $version, $root, $user, $password, $file) = @ARGV;
my $ftp = Net::FTP->new($host, Port => $port, SSL => $implicit, Timeout => 30,
    SSL_ca_file => $root, SSL_version => $version) or die "new: $@";
sub good { my ($what, $good) = @_; $good or die "$what: ", $ftp->message; }
good("starttls", $implicit || $ftp->starttls);
good("login", $ftp->login($user, $password));
good("prot", $ftp->prot("P"));
good("cwd", $ftp->cwd("perl-tls"));
good("binary", $ftp->binary);
good("put", $ftp->put($file, "up$_.bin")) for 0 .. 2;
good("get", $ftp->get("big.bin", "got.bin"));
print "$_\n" for $ftp->ls;
good("quit", $ftp->quit);
"""


def rclone(bench):
    servers = Servers(bench)
    base = ["--ftp-no-check-certificate"]
    rclone_jobs(bench, "rclone-tls", [
        ("explicit", servers("explicit"), [*base, "--ftp-explicit-tls"]),
        ("implicit", servers("implicit"), [*base, "--ftp-tls"]),
        ("strict", servers("strict"), [*base, "--ftp-explicit-tls"]),
        ("off", servers("off"), [*base, "--ftp-explicit-tls"]),
        # Its parallel sessions keep no tickets.
        ("no cache", servers("explicit"), [*base, "--ftp-explicit-tls", "--ftp-tls-cache-size", "0"]),
        ("workers", servers("workers"), [*base, "--ftp-explicit-tls"]),
    ])


CLIENTS = {
    "curl-tls": (curl, ["curl", "openssl"]),
    "lftp-tls": (lftp, ["lftp", "openssl"]),
    "wget-tls": (wget, ["wget", "openssl"]),
    "ftplib-tls": (python, ["openssl"]),
    "openssl": (openssl, ["openssl"]),
    "perl-tls": (perl, ["perl Net::FTP IO::Socket::SSL", "openssl"]),
    "rclone-tls": (rclone, ["rclone", "openssl"]),
}

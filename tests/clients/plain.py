"""FTP in clear."""

import ftplib
import io
import os
import re
import shutil
import socket
import threading

from bench import DEADLINE, PASSWORD, USER
from bench import content, crlf, output, refuses, tree


# --- curl


def curl(bench):
    remote, local = bench.begin("curl")
    base = ("curl", "-sS", "--max-time", DEADLINE, "--noproxy", "*")

    def url(name="", server=bench.v4):
        return server.url("curl/" + name)

    modes = [
        ("EPSV", [], bench.v4, ["EPSV"]),
        ("PASV", ["--disable-epsv"], bench.v4, ["PASV"]),
        ("EPRT", ["-P", "-"], bench.v4, ["EPRT"]),
        ("PORT", ["-P", "127.0.0.1", "--disable-eprt"], bench.v4, ["PORT"]),
    ]
    if bench.v6:
        modes.append(("EPSV over IPv6", ["-g"], bench.v6, ["EPSV"]))
        modes.append(("EPRT over IPv6", ["-g", "-P", "-"], bench.v6, ["EPRT"]))
    for name, flags, server, verbs in modes:
        since = server.mark()
        run = bench.run(*base, *flags, "-o", local / "got", url("big.bin", server))
        bench.same(f"get by {name}", local / "got", remote / "big.bin", run)
        run = bench.run(*base, *flags, "-T", remote / "big.bin", url("up.bin", server))
        bench.same(f"put by {name}", remote / "up.bin", remote / "big.bin", run)
        run = bench.run(*base, *flags, url(server=server))
        bench.check(f"list by {name}", b"big.bin" in run.stdout, output(run))
        bench.check(f"{name} it was", bench.has_sent(server, since, *verbs))
        (local / "got").unlink(missing_ok=True)
        (remote / "up.bin").unlink(missing_ok=True)

    for name in ("empty.bin", "two%20words.txt", "gr%C3%BC%C3%9Fe.txt", "sub/deep/two.bin"):
        run = bench.run(*base, "-o", local / "got", url(name))
        plain = name.replace("%20", " ").replace("%C3%BC%C3%9F", "\u00fc\u00df")
        if name == "empty.bin":
            bench.check(f"get {name}", run.returncode == 0, output(run))
        else:
            bench.same(f"get {name}", local / "got", remote / plain, run)
    run = bench.run(*base, "-T", remote / "empty.bin", url("none.bin"))
    bench.same("put of nothing", remote / "none.bin", b"", run)
    for method in ("multicwd", "nocwd", "singlecwd"):
        run = bench.run(*base, "--ftp-method", method, url("sub/deep/two.bin"))
        bench.same(f"get with {method}", run.stdout, remote / "sub/deep/two.bin", run)

    big = (remote / "big.bin").read_bytes()
    (local / "part.bin").write_bytes(big[:1_000_003])
    run = bench.run(*base, "-C", "-", "-o", local / "part.bin", url("big.bin"))
    bench.same("resume a download", local / "part.bin", big, run)
    (remote / "part.bin").write_bytes(big[:2_000_005])
    run = bench.run(*base, "-C", "-", "-T", local / "part.bin", url("part.bin"))
    bench.same("resume an upload", remote / "part.bin", big, run)
    run = bench.run(*base, "-a", "-T", remote / "lines.txt", url("sub/one.txt"))
    bench.same("append", remote / "sub/one.txt", b"one\n" + content(remote / "lines.txt"), run)
    for name, flag, wanted in (
        ("a range", "1000-1999", big[1000:2000]),
        ("a range from", "5000000-", big[5_000_000:]),
        ("the last bytes", "-500", big[-500:]),
    ):
        run = bench.run(*base, "-r", flag, url("big.bin"))
        bench.same(name, run.stdout, wanted, run)
    # curl translates the ends of lines at its side.
    since = bench.v4.mark()
    run = bench.run(*base, url("lines.txt") + ";type=a")
    bench.same("get with ;type=a", run.stdout, remote / "lines.txt", run)
    run = bench.run(*base, "-T", remote / "lines.txt", url("ascii.txt") + ";type=a")
    bench.same("put with ;type=a", remote / "ascii.txt", remote / "lines.txt", run)
    bench.check(";type=a: TYPE A it was", "TYPE A" in bench.v4.commands(since))
    run = bench.run(*base, "-l", url())
    names = run.stdout.decode().splitlines()
    bench.check("names only", {"big.bin", "two words.txt", "sub"} <= set(names), output(run))
    run = bench.run(*base, "-I", url("big.bin"))
    head = b"Content-Length: 6000007" in run.stdout and b"Last-Modified" in run.stdout
    bench.check("size and time", head, output(run))
    quote = ["-Q", "MKD curl/made", "-Q", "-RNFR ascii.txt", "-Q", "-RNTO moved.txt"]
    run = bench.run(*base, *quote, "-l", url())
    made = (remote / "made").is_dir() and (remote / "moved.txt").is_file()
    bench.check("quoted commands", made, output(run))
    run = bench.run(*base, "--ftp-create-dirs", "-T", remote / "lines.txt", url("new/dir/l.txt"))
    bench.same("make directories", remote / "new/dir/l.txt", remote / "lines.txt", run)
    since = bench.v4.mark()
    run = bench.run(*base, url("sub/one.txt"), url("sub/deep/two.bin"), url("big.bin"))
    wanted = b"".join(content(remote / n) for n in ("sub/one.txt", "sub/deep/two.bin", "big.bin"))
    bench.same("three files on one connection", run.stdout, wanted, run)
    logins = sum(line.startswith("PASS") for line in bench.v4.commands(since))
    bench.check("one login for the three", logins == 1, f"{logins} logins")
    run = bench.run(*base, bench.v4.url("curl/lines.txt", login=False))
    bench.same("anonymous", run.stdout, remote / "lines.txt", run)
    run = bench.run(*base, "-u", f"{USER}:wrong", bench.v4.url("curl/", login=False))
    bench.check("wrong password is 67", run.returncode == 67, output(run))
    run = bench.run(*base, url("missing.bin"))
    bench.check("missing file is 78", run.returncode == 78, output(run))


# --- lftp


def lftp(bench):
    remote, local = bench.begin("lftp")
    preamble = "set cmd:fail-exit yes; set net:max-retries 1; set net:timeout 20; "
    preamble += "set ftp:ssl-allow no; set xfer:clobber yes; "

    def lftp_run(script, server=bench.v4):
        return bench.run("lftp", "-c", f"{preamble}open {server.url('lftp')}; {script}", cwd=local)

    run = lftp_run("ls")
    bench.check("ls", b"two words.txt" in run.stdout, output(run))
    run = lftp_run("cls -1 *.txt")
    bench.check("cls with a pattern", b"lines.txt" in run.stdout, output(run))
    run = lftp_run("nlist sub")
    bench.check("nlist", b"one.txt" in run.stdout, output(run))
    run = lftp_run("find .")
    bench.check("find", b"sub/deep/two.bin" in run.stdout, output(run))

    wanted = tree(remote)
    modes = [
        ("passive", "", bench.v4, "EPSV"),
        ("PASV", "set ftp:prefer-epsv no; ", bench.v4, "PASV"),
        ("active", "set ftp:passive-mode no; ", bench.v4, "PORT"),
        ("without MLSD", "set ftp:use-mlsd no; ", bench.v4, "LIST"),
        ("with MLSD", "set ftp:use-mlsd yes; ", bench.v4, "MLSD"),
        ("without sync", "set ftp:sync-mode no; ", bench.v4, "RETR"),
    ]
    if bench.v6:
        # Not active: for IPv6, lftp names `::` as its own address in EPRT.
        modes.append(("IPv6", "", bench.v6, "EPSV"))
    for number, (name, settings, server, verb) in enumerate(modes):
        since = server.mark()
        run = lftp_run(f"{settings}mirror --parallel=2 . m{number}", server)
        bench.check(f"mirror, {name}", tree(local / f"m{number}") == wanted, output(run))
        run = lftp_run(f"{settings}mirror -R m{number} up", server)
        bench.check(f"mirror back, {name}", tree(remote / "up") == wanted, output(run))
        if verb not in ("EPSV", "PASV"):
            bench.check(f"{name}: {verb} it was", bench.has_sent(server, since, verb))
        shutil.rmtree(remote / "up", ignore_errors=True)

    for name in ("a.txt", "b.txt", "c c.txt"):
        (local / name).write_bytes(name.encode() * 100)
    shutil.copy(remote / "big.bin", local / "put.bin")
    run = lftp_run("put put.bin")
    bench.same("put", remote / "put.bin", local / "put.bin", run)
    run = lftp_run("mput a.txt b.txt 'c c.txt'")
    bench.same("mput", remote / "c c.txt", local / "c c.txt", run)
    (local / "many").mkdir()
    run = lftp_run("mget -O many *.txt")
    bench.same("mget", local / "many/c c.txt", local / "c c.txt", run)
    run = lftp_run("pget -n 4 big.bin -o pget.bin")
    bench.same("pget", local / "pget.bin", remote / "big.bin", run)
    (local / "reget.bin").write_bytes(content(remote / "big.bin")[:777_777])
    since = bench.v4.mark()
    run = lftp_run("reget big.bin -o reget.bin")
    bench.same("reget", local / "reget.bin", remote / "big.bin", run)
    bench.check("reget: REST it was", bench.has_sent(bench.v4, since, "REST"))
    (remote / "reput.bin").write_bytes(content(remote / "big.bin")[:888_888])
    run = lftp_run("reput put.bin -o reput.bin")
    bench.same("reput", remote / "reput.bin", remote / "big.bin", run)
    run = lftp_run("get -a lines.txt -o ascii.txt")
    bench.same("get in ASCII", local / "ascii.txt", remote / "lines.txt", run)
    run = lftp_run("cat sub/deep/two.bin")
    bench.same("cat", run.stdout, remote / "sub/deep/two.bin", run)
    run = lftp_run("mv put.bin moved.bin")
    bench.same("mv", remote / "moved.bin", local / "put.bin", run)
    run = lftp_run("chmod 640 moved.bin")
    mode = (remote / "moved.bin").stat().st_mode & 0o777
    bench.check("chmod", mode == 0o640, output(run))
    run = lftp_run("mkdir -p x/y; cd x/y; pwd; put a.txt")
    bench.same("mkdir, cd, put", remote / "x/y/a.txt", local / "a.txt", run)
    run = lftp_run("rm moved.bin; rm -r x")
    gone = not (remote / "moved.bin").exists() and not (remote / "x").exists()
    bench.check("rm and rm -r", gone, output(run))
    for name, target in (("gone", "nowhere"), ("out", "/etc/passwd"), ("loop", "loop")):
        (remote / "links").mkdir(exist_ok=True)
        (remote / "links" / name).symlink_to(target)
    run = lftp_run("rm -r links")
    bench.check("rm -r of links that lead nowhere", not (remote / "links").exists(), output(run))
    (remote / "modes").mkdir()
    for name, mode in (("a", 0o640), ("b", 0o444), ("c", 0o755)):
        (remote / "modes" / name).write_bytes(b"x")
        (remote / "modes" / name).chmod(mode)
    run = lftp_run("mirror modes")
    seen = [(local / "modes" / name).stat().st_mode & 0o777 for name in "abc"]
    bench.check("mirror keeps modes", seen == [0o640, 0o444, 0o755], output(run))
    shutil.rmtree(remote / "modes")
    os.utime(local / "a.txt", (1_500_000_000, 1_500_000_000))
    run = lftp_run("mirror -R --only-newer . times; ls -l times")
    stamp = remote / "times/a.txt"
    kept = stamp.exists() and int(stamp.stat().st_mtime) == 1_500_000_000
    bench.check("mirror back keeps times (MFMT)", kept, output(run))
    run = lftp_run("get missing.bin")
    bench.check("missing file is an error", run.returncode != 0, output(run))


# --- wget


def wget(bench):
    remote, local = bench.begin("wget")
    base = ("wget", "-nv", "--tries=1", f"--timeout={DEADLINE}", "--no-proxy")

    def url(name="", server=bench.v4):
        return server.url("wget/" + name)

    modes = [
        ("passive", [], bench.v4, "PASV"),
        ("active", ["--no-passive-ftp"], bench.v4, "PORT"),
    ]
    if bench.v6:
        modes.append(("passive over IPv6", [], bench.v6, "EPSV"))
        modes.append(("active over IPv6", ["--no-passive-ftp"], bench.v6, "EPRT"))
    wanted = {k: v for k, v in tree(remote).items()}
    for number, (name, flags, server, verb) in enumerate(modes):
        since = server.mark()
        run = bench.run(*base, *flags, "-O", local / "got", url("big.bin", server))
        bench.same(f"get, {name}", local / "got", remote / "big.bin", run)
        top = local / f"r{number}"
        run = bench.run(*base, *flags, "-r", "-nH", "--cut-dirs=1", "-P", top, url(server=server))
        bench.check(f"recursion, {name}", tree(top) == wanted, output(run))
        bench.check(f"{name}: {verb} it was", bench.has_sent(server, since, verb))
    big = content(remote / "big.bin")
    (local / "big.bin").write_bytes(big[:1_234_567])
    since = bench.v4.mark()
    run = bench.run(*base, "-c", url("big.bin"), cwd=local)
    bench.same("-c", local / "big.bin", big, run)
    bench.check("-c: REST it was", bench.has_sent(bench.v4, since, "REST"))
    run = bench.run(*base, "-P", local / "glob", url("*.txt"))
    names = {path.name for path in remote.glob("*.txt")}
    bench.check("pattern", set(tree(local / "glob")) == names, output(run))
    run = bench.run(*base, "-N", "-P", local / "glob", url("lines.txt"))
    bench.check("-N", run.returncode == 0, output(run))
    run = bench.run(*base, "-O", "-", url("lines.txt") + ";type=a")
    ascii_ok = run.stdout in (crlf(content(remote / "lines.txt")), content(remote / "lines.txt"))
    bench.check(";type=a", ascii_ok and run.returncode == 0, output(run))
    run = bench.run(*base, "-O", "-", bench.v4.url("wget/lines.txt", login=False))
    bench.same("anonymous", run.stdout, remote / "lines.txt", run)
    run = bench.run(*base, "-O", "-", url("missing.bin"))
    bench.check("missing file is an error", run.returncode == 8, output(run))


# --- tnftp


def tnftp(bench):
    remote, local = bench.begin("tnftp")
    program = shutil.which("tnftp") or "ftp"

    def script(lines, *flags, server=bench.v4):
        opening = [f"open {server.address} {server.port}", f"user {USER} {PASSWORD}"]
        opening += ["cd tnftp", f"lcd {local}"]
        text = "\n".join(opening + lines + ["quit", ""])
        return bench.run(program, "-n", "-i", "-v", *flags, cwd=local, stdin=text)

    modes = [
        ("passive", ["-p"], bench.v4, "EPSV", []),
        ("PASV", ["-p"], bench.v4, "PASV", ["epsv4 off"]),
        ("active", ["-A"], bench.v4, "EPRT", []),
        ("PORT", ["-A"], bench.v4, "PORT", ["epsv4 off"]),
    ]
    if bench.v6:
        modes.append(("passive over IPv6", ["-p"], bench.v6, "EPSV", []))
        modes.append(("active over IPv6", ["-A"], bench.v6, "EPRT", []))
    for name, flags, server, verb, first in modes:
        since = server.mark()
        lines = ["binary", "get big.bin got.bin", "put got.bin up.bin", "ls", "nlist"]
        run = script(first + lines, *flags, server=server)
        bench.same(f"get, {name}", local / "got.bin", remote / "big.bin", run)
        bench.same(f"put, {name}", remote / "up.bin", remote / "big.bin", run)
        bench.check(f"ls, {name}", b"two words.txt" in run.stdout, output(run))
        sent = bench.has_sent(server, since, verb)
        bench.check(f"{name}: {verb} it was", sent, server.commands(since))
        (local / "got.bin").unlink(missing_ok=True)
        (remote / "up.bin").unlink(missing_ok=True)

    run = script(["binary", "mget *.txt"], "-p")
    got = tree(local)
    wanted = {name: sum_ for name, sum_ in tree(remote).items() if re.fullmatch(r"[^/]*\.txt", name)}
    bench.check("mget *.txt", got == wanted, f"{sorted(got)}\n{output(run)}")
    for name in ("p1.dat", "p2.dat"):
        (local / name).write_bytes(name.encode() * 1000)
    run = script(["binary", "mput p?.dat"], "-p")
    put = all(content(remote / n) == content(local / n) for n in ("p1.dat", "p2.dat"))
    bench.check("mput", put, output(run))
    run = script(["mdelete p?.dat"], "-p")
    bench.check("mdelete", not list(remote.glob("p?.dat")), output(run))
    (local / "big.bin").write_bytes(content(remote / "big.bin")[:999_999])
    since = bench.v4.mark()
    run = script(["binary", "reget big.bin"], "-p")
    bench.same("reget", local / "big.bin", remote / "big.bin", run)
    bench.check("reget: REST it was", bench.has_sent(bench.v4, since, "REST"))
    os.utime(local / "lines.txt", (0, 0))
    (local / "lines.txt").write_bytes(b"old")
    os.utime(local / "lines.txt", (1, 1))
    run = script(["binary", "newer lines.txt"], "-p")
    bench.same("newer", local / "lines.txt", remote / "lines.txt", run)
    run = script(["binary", "size big.bin", "modtime big.bin"], "-p")
    bench.check("size", b"6000007" in run.stdout, output(run))
    bench.check("modtime", bench.has_sent(bench.v4, since, "MDTM"), output(run))
    run = script(["ascii", "get lines.txt ascii.txt", "put ascii.txt"], "-p")
    bench.same("get in ASCII", local / "ascii.txt", remote / "lines.txt", run)
    bench.same("put in ASCII", remote / "ascii.txt", remote / "lines.txt", run)
    run = script(["binary", "append ascii.txt sub/one.txt"], "-p")
    bench.same("append", remote / "sub/one.txt", b"one\n" + content(local / "ascii.txt"), run)
    run = script(["mkdir made", "rename ascii.txt made/moved.txt", "chmod 600 made/moved.txt"], "-p")
    moved = remote / "made/moved.txt"
    bench.same("mkdir and rename", moved, remote / "lines.txt", run)
    mode = moved.exists() and moved.stat().st_mode & 0o777
    bench.check("chmod", mode == 0o600, output(run))
    run = script(["delete made/moved.txt", "rmdir made", "pwd", "system", "rstatus", "rhelp"], "-p")
    bench.check("delete and rmdir", not (remote / "made").exists(), output(run))
    bench.check("pwd, system, rstatus", b"215 " in run.stdout, output(run))
    run = script(["mls . listing", "mlsd", "mlst big.bin", "quote STAT", "features"], "-p")
    bench.check("mlsd and mlst", b"big.bin" in run.stdout, output(run))
    run = bench.run(program, "-o", local / "url.bin", bench.v4.url("tnftp/big.bin"))
    bench.same("get of a URL", local / "url.bin", remote / "big.bin", run)


# --- ncftp


def ncftp(bench):
    remote, local = bench.begin("ncftp")

    def ncftp_run(program, flags, *rest, server=bench.v4):
        login = ("-u", USER, "-p", PASSWORD, "-P", server.port)
        return bench.run(program, *login, *flags, server.address, *rest, cwd=local)

    # ncftp: -F is passive, -E is active; it speaks no IPv6.
    for name, flag, verb in (("passive", "-F", "PASV"), ("active", "-E", "PORT")):
        since = bench.v4.mark()
        run = ncftp_run("ncftpget", ["-V", flag], ".", "ncftp/big.bin")
        bench.same(f"get, {name}", local / "big.bin", remote / "big.bin", run)
        shutil.copy(remote / "big.bin", local / "up.bin")
        run = ncftp_run("ncftpput", ["-V", flag], "ncftp", "up.bin")
        bench.same(f"put, {name}", remote / "up.bin", remote / "big.bin", run)
        run = bench.run("ncftpls", flag, bench.v4.url("ncftp/"))
        bench.check(f"ls, {name}", b"big.bin" in run.stdout, output(run))
        bench.check(f"{name}: {verb} it was", bench.has_sent(bench.v4, since, verb))
        (local / "big.bin").unlink(missing_ok=True)
        (remote / "up.bin").unlink(missing_ok=True)

    top = bench.v4.url("ncftp/")
    run = bench.run("ncftpls", "-l", top)
    bench.check("ls -l", b"6000007" in run.stdout, output(run))
    run = bench.run("ncftpls", "-1", top)
    bench.check("ls -1", b"two words.txt" in run.stdout, output(run))
    run = bench.run("ncftpls", "-x", "-CF", top)
    bench.check("ls -CF", b"lines.txt" in run.stdout, output(run))
    run = bench.run("ncftpls", "-R", top)
    bench.check("ls -R", b"big.bin" in run.stdout, output(run))
    wanted = tree(remote)
    run = ncftp_run("ncftpget", ["-V", "-R", "-T"], ".", "ncftp")
    bench.check("get -R", tree(local / "ncftp") == wanted, output(run))
    (local / "ncftp").rename(local / "back")
    run = ncftp_run("ncftpput", ["-V", "-R", "-m"], "ncftp/new", "back")
    bench.check("put -R", tree(remote / "new/back") == wanted, output(run))
    run = ncftp_run("ncftpget", ["-V"], ".", "ncftp/*.txt")
    names = {path.name for path in remote.glob("*.txt")}
    got = {path.name for path in local.glob("*.txt")}
    bench.check("get with a pattern", got == names, f"{got}\n{output(run)}")
    (local / "big.bin").write_bytes(content(remote / "big.bin")[:1_111_111])
    since = bench.v4.mark()
    run = ncftp_run("ncftpget", ["-V", "-z"], ".", "ncftp/big.bin")
    bench.same("resume", local / "big.bin", remote / "big.bin", run)
    bench.check("resume: REST it was", bench.has_sent(bench.v4, since, "REST"))
    run = ncftp_run("ncftpput", ["-V", "-A"], "ncftp/sub", "back/sub/one.txt")
    bench.same("append", remote / "sub/one.txt", b"one\none\n", run)
    run = ncftp_run("ncftpget", ["-V", "-a"], ".", "ncftp/lines.txt")
    bench.same("get in ASCII", local / "lines.txt", remote / "lines.txt", run)


# --- ftplib


def python(bench):
    remote, local = bench.begin("ftplib")
    servers = [("IPv4", bench.v4)] + ([("IPv6", bench.v6)] if bench.v6 else [])
    for family, server in servers:
        for mode in ("passive", "active"):
            with ftplib.FTP(timeout=DEADLINE, encoding="utf-8") as ftp:
                ftp.connect(server.address, server.port)
                ftp.login(USER, PASSWORD)
                ftp.set_pasv(mode == "passive")
                ftp.cwd("ftplib")
                bench.client = f"ftplib {family} {mode}"
                python_files(bench, ftp, remote)
                python_rest(bench, ftp, remote)
    bench.client = "ftplib"
    python_pipeline(bench)
    with ftplib.FTP(timeout=DEADLINE) as ftp:
        ftp.connect(bench.v4.address, bench.v4.port)
        bench.check("wrong password", refuses(lambda: ftp.login(USER, "wrong"), "530"))
        bench.check("unknown command", refuses(lambda: ftp.sendcmd("FOO"), "500"))
        bench.check("anonymous login", ftp.login().startswith("230"))
        cannot = refuses(lambda: ftp.storbinary("STOR x", io.BytesIO(b"x")), "550")
        bench.check("anonymous may not write", cannot)
    local.rmdir()


def python_files(bench, ftp, remote):
    big, lines = content(remote / "big.bin"), content(remote / "lines.txt")
    got = bytearray()
    ftp.retrbinary("RETR big.bin", got.extend)
    bench.same("retrbinary", bytes(got), big)
    got = bytearray()
    ftp.retrbinary("RETR big.bin", got.extend, rest=5_000_000)
    bench.same("retrbinary from an offset", bytes(got), big[5_000_000:])
    got = []
    ftp.retrlines("RETR lines.txt", got.append)
    bench.same("retrlines", "".join(f"{line}\n" for line in got).encode(), lines)
    ftp.storbinary("STOR stored.bin", io.BytesIO(big))
    bench.same("storbinary", remote / "stored.bin", big)
    ftp.storbinary("STOR stored.bin", io.BytesIO(b"x" * 100), rest=1000)
    wanted = big[:1000] + b"x" * 100 + big[1100:]
    bench.same("storbinary from an offset", remote / "stored.bin", wanted)
    ftp.storbinary("APPE stored.bin", io.BytesIO(b"tail"))
    bench.same("append", remote / "stored.bin", wanted + b"tail")
    ftp.storlines("STOR stored.txt", io.BytesIO(lines))
    bench.same("storlines", remote / "stored.txt", lines)
    ftp.voidcmd("TYPE I")
    before = set(os.listdir(remote))
    with ftp.transfercmd("STOU") as sock:
        sock.sendall(b"unique")
    ftp.voidresp()
    made = set(os.listdir(remote)) - before
    unique = len(made) == 1 and content(remote / made.pop()) == b"unique"
    bench.check("STOU", unique)
    for name in ("two words.txt", "gr\u00fc\u00dfe.txt", "empty.bin", "sub/deep/two.bin"):
        got = bytearray()
        ftp.retrbinary(f"RETR {name}", got.extend)
        bench.same(f"retrbinary {name}", bytes(got), remote / name)


def python_rest(bench, ftp, remote):
    bench.check("size", ftp.size("big.bin") == 6_000_007)
    bench.check("nlst", {"big.bin", "sub", "gr\u00fc\u00dfe.txt"} <= set(ftp.nlst()))
    bench.check("nlst of a directory", any("one.txt" in name for name in ftp.nlst("sub")))
    listing = []
    ftp.dir(listing.append)
    bench.check("dir", any(line.endswith(" two words.txt") for line in listing), listing)
    facts = dict(ftp.mlsd(facts=["type", "size", "perm"]))
    good = facts["big.bin"]["size"] == "6000007" and facts["sub"]["type"] == "dir"
    bench.check("mlsd", good, facts)
    here = ftp.pwd()
    ftp.mkd("made")
    ftp.cwd("made")
    bench.check("mkd and cwd", ftp.pwd() == f"{here}/made" and (remote / "made").is_dir())
    ftp.cwd("..")
    ftp.rename("stored.bin", "made/renamed.bin")
    bench.check("rename", (remote / "made/renamed.bin").is_file())
    ftp.delete("made/renamed.bin")
    ftp.rmd("made")
    bench.check("delete and rmd", not (remote / "made").exists())
    bench.check("rmd of nothing", refuses(lambda: ftp.rmd("made"), "550"))
    ftp.sendcmd("SITE CHMOD 600 stored.txt")
    bench.check("SITE CHMOD", (remote / "stored.txt").stat().st_mode & 0o777 == 0o600)
    ftp.sendcmd("MFMT 20010203040506 stored.txt")
    bench.check("MFMT and MDTM", ftp.sendcmd("MDTM stored.txt") == "213 20010203040506")
    feat = ftp.sendcmd("FEAT")
    bench.check("FEAT", "REST STREAM" in feat and "UTF8" in feat, feat)
    bench.check("STAT", ftp.sendcmd("STAT").startswith("211"))
    bench.check("HELP", ftp.sendcmd("HELP").startswith("214"))
    ftp.voidcmd("TYPE I")
    with ftp.transfercmd("RETR big.bin") as sock:
        sock.recv(1000)
        reply = ftp.abort()
    # What it has sent already, or a 426, comes before the reply to ABOR.
    if not reply.startswith("226") or "ABOR" not in reply:
        reply = ftp.getmultiline()
    bench.check("abort", reply.startswith("22"), reply)
    bench.check("noop after it", ftp.sendcmd("NOOP").startswith("200"))
    got = bytearray()
    ftp.retrbinary("RETR sub/deep/two.bin", got.extend)
    bench.same("a transfer after it", bytes(got), remote / "sub/deep/two.bin")
    bench.check("missing file", refuses(lambda: ftp.size("missing"), "550"))
    bench.check("quit", ftp.quit().startswith("221"))


def python_pipeline(bench):
    """Commands sent at once are answered in order; two downloads run side by side."""
    with socket.create_connection((bench.v4.address, bench.v4.port), timeout=DEADLINE) as sock:
        sock.sendall(f"USER {USER}\r\nPASS {PASSWORD}\r\nPWD\r\nNOOP\r\nQUIT\r\n".encode())
        replies = sock.makefile("rb").read().split(b"\r\n")
    codes = [reply[:3] for reply in replies if reply]
    bench.check("pipelined commands", codes == [b"220", b"331", b"230", b"257", b"200", b"221"], codes)
    results = []

    def fetch():
        with ftplib.FTP(timeout=DEADLINE) as ftp:
            ftp.connect(bench.v4.address, bench.v4.port)
            ftp.login(USER, PASSWORD)
            got = bytearray()
            ftp.retrbinary("RETR ftplib/big.bin", got.extend)
            results.append(bytes(got) == content(bench.home / "ftplib/big.bin"))

    threads = [threading.Thread(target=fetch) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE)
    bench.check("20 downloads at once", results == [True] * 20, results)


def dual_stack(bench):
    """The program without an address: one socket for IPv4 and IPv6."""
    bench.begin("dual")
    if bench.v6 is None:
        return
    server = bench.serve("dual", "")
    for address in ("127.0.0.1", "::1"):
        for passive in (True, False):
            with ftplib.FTP(timeout=DEADLINE) as ftp:
                ftp.connect(address, server.port)
                ftp.login(USER, PASSWORD)
                ftp.set_pasv(passive)
                got = bytearray()
                ftp.retrbinary("RETR dual/sub/deep/two.bin", got.extend)
                mode = "passive" if passive else "active"
                wanted = bench.home / "dual/sub/deep/two.bin"
                bench.same(f"{address}, {mode}", bytes(got), wanted)


# --- aria2, which has FTP in clear only


def aria2(bench):
    remote, local = bench.begin("aria2")
    base = ("aria2c", "--no-conf", "--quiet", "--allow-overwrite", "--max-tries=1")

    def aria2_run(*command):
        return bench.run(*base, "-d", local, *command)

    def url(name, server=bench.v4, login=True):
        return server.url("aria2/" + name, login)

    for name, flags, verb in (
        ("passive", [], "PASV"),
        ("active", ["--ftp-pasv=false"], "PORT"),
        ("in four pieces", ["-s4", "-x4", "-k1M"], "REST"),
    ):
        since = bench.v4.mark()
        run = aria2_run(*flags, "-o", "got", url("big.bin"))
        bench.same(f"get, {name}", local / "got", remote / "big.bin", run)
        bench.check(f"{name}: {verb} it was", bench.has_sent(bench.v4, since, verb))
        (local / "got").unlink(missing_ok=True)
    for name in ("lines.txt", "two%20words.txt", "sub/deep/two.bin"):
        run = aria2_run("-o", "got", url(name))
        bench.same(f"get {name}", local / "got", remote / name.replace("%20", " "), run)
    run = aria2_run("-o", "none", url("empty.bin"))
    bench.check("get of nothing", run.returncode == 0, output(run))
    run = aria2_run("-o", "got", url("lines.txt", login=False))
    bench.same("anonymous", local / "got", remote / "lines.txt", run)
    (local / "part").write_bytes(content(remote / "big.bin")[:1_048_576])
    since = bench.v4.mark()
    run = aria2_run("-c", "-o", "part", url("big.bin"))
    bench.same("resume a download", local / "part", remote / "big.bin", run)
    bench.check("resume: REST it was", bench.has_sent(bench.v4, since, "REST"))
    run = aria2_run("-o", "missing", url("missing.bin"))
    bench.check("missing file is 3", run.returncode == 3, output(run))
    if bench.v6:
        run = aria2_run("-o", "six", url("big.bin", bench.v6))
        bench.same("get over IPv6", local / "six", remote / "big.bin", run)
    aria2_small_files(bench, remote, local)


def aria2_small_files(bench, remote, local):
    """aria2 reads 150 and 226 at once if it can, and then waits for a 226 until its timeout."""
    (remote / "small").mkdir()
    for number in range(SMALL_FILES):
        (remote / "small" / f"{number}.txt").write_bytes(b"small %d\n" % number)
    names = sorted(tree(remote / "small"))
    urls = "".join(bench.v4.url(f"aria2/small/{name}") + "\n" for name in names)
    (local / "urls").write_text(urls)
    # Five files at a time, as aria2 does by default; a file that hangs fails after five seconds.
    command = ["aria2c", "--no-conf", "-t5", "--max-tries=1", "--console-log-level=warn"]
    command += ["--log-level=notice", "-l", local / "log", "-i", local / "urls", "-d", local / "small"]
    run = bench.run(*command)
    good = tree(local / "small") == tree(remote / "small")
    bench.check(f"{SMALL_FILES} small files", good, output(run))
    times = []
    for line in (local / "log").read_text(errors="replace").splitlines():
        stamp = re.match(r"\S+ (\d+):(\d+):(\d+\.\d+) \[NOTICE\].*Download complete", line)
        if stamp:
            times.append(int(stamp[1]) * 3600 + int(stamp[2]) * 60 + float(stamp[3]))
    # Midnight may be between two of them.
    took = [(after - before) % 86400 for before, after in zip(times, times[1:])]
    good = len(times) == SMALL_FILES and max(took) < 1
    bench.check("none takes a second", good, f"{len(times)} files, {max(took, default=0):.3f} s")


SMALL_FILES = 200


# --- rclone


def rclone(bench):
    servers = [("IPv4", bench.v4, [])] + ([("IPv6", bench.v6, [])] if bench.v6 else [])
    servers.append(("PASV", bench.v4, ["--ftp-disable-epsv"]))
    rclone_jobs(bench, "rclone", servers)


def rclone_jobs(bench, directory, servers):
    """The jobs of rclone with its own settings: parallel sessions, which come and go."""
    remote, local = bench.begin(directory)
    obscured = bench.run("rclone", "obscure", PASSWORD).stdout.decode().strip()
    wanted = tree(remote)
    (local / "small").mkdir()
    for number in range(60):
        (local / "small" / f"{number}.txt").write_bytes(b"small %d\n" % number)
    for name, server, flags in servers:
        bench.client = f"{directory} {name}"
        base = ["rclone", "--config", "/dev/null", "--retries", "1", "--low-level-retries", "1"]
        # rclone puts a colon and the port behind it.
        host = f"[{server.address}]" if ":" in server.address else server.address
        base += ["--ftp-host", host, "--ftp-port", server.port, "--ftp-user", USER]
        base += ["--ftp-pass", obscured, *flags]
        far, near = f":ftp:{directory}", local / name

        def rclone_run(*command):
            return bench.run(*base, *command)

        run = rclone_run("copy", far, near)
        bench.check("copy from it", run.returncode == 0 and tree(near) == wanted, output(run))
        run = rclone_run("copy", near, f"{far}/up")
        bench.check("copy to it", run.returncode == 0 and tree(remote / "up") == wanted, output(run))
        run = rclone_run("check", near, f"{far}/up", "--download")
        bench.check("check", run.returncode == 0, output(run))
        run = rclone_run("cat", f"{far}/sub/deep/two.bin")
        bench.same("cat", run.stdout, remote / "sub/deep/two.bin", run)
        run = rclone_run("rcat", f"{far}/up/rcat.bin")
        bench.same("rcat", remote / "up/rcat.bin", b"", run)
        run = rclone_run("lsf", "-R", far)
        bench.check("lsf", b"sub/deep/two.bin" in run.stdout, output(run))
        run = rclone_run("sync", local / "small", f"{far}/small", "--transfers", "8")
        good = run.returncode == 0 and tree(remote / "small") == tree(local / "small")
        bench.check("sync of small files, eight at once", good, output(run))
        run = rclone_run("copy", f"{far}/small", near / "small", "--transfers", "8")
        good = run.returncode == 0 and tree(near / "small") == tree(local / "small")
        bench.check("copy of small files, eight at once", good, output(run))
        run = rclone_run("moveto", f"{far}/up/lines.txt", f"{far}/up/moved.txt")
        bench.same("moveto", remote / "up/moved.txt", remote / "lines.txt", run)
        run = rclone_run("move", f"{far}/up", f"{far}/moved", "--delete-empty-src-dirs")
        good = (remote / "moved/moved.txt").exists() and not (remote / "up").exists()
        bench.check("move", good, output(run))
        for made in ("small", "moved"):
            run = rclone_run("purge", f"{far}/{made}")
            bench.check(f"purge of {made}", not (remote / made).exists(), output(run))
        run = rclone_run("cat", f"{far}/missing.bin")
        bench.check("missing file is 3 or 4", run.returncode in (3, 4), output(run))


CLIENTS = {
    "curl": (curl, ["curl"]),
    "lftp": (lftp, ["lftp"]),
    "wget": (wget, ["wget"]),
    "tnftp": (tnftp, ["tnftp"]),
    "ncftp": (ncftp, ["ncftpget", "ncftpput", "ncftpls"]),
    "aria2": (aria2, ["aria2c"]),
    "rclone": (rclone, ["rclone"]),
    "ftplib": (python, []),
    "dual": (dual_stack, []),
}

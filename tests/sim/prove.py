#!/usr/bin/env python3
"""Puts faults into a copy of the source, one at a time, and lets the simulator hunt each.

    tests/sim/prove.py                 all faults, and a table of how many worlds each took
    tests/sim/prove.py NAME ...        some of them
    tests/sim/prove.py --list          what they are
    tests/sim/prove.py --check         only whether each still fits the source

A fault that is not found within a minute of a processor makes the exit status 1. The copy and its build are kept
below the directory that PROVE_DIR names, so that the next run is faster; without it they are
temporary.
"""

import json
import os
import pathlib
import re
import resource
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
# Of a processor, for each fault: a busy machine hunts as long as a quiet one.
SECONDS = int(os.environ.get("PROVE_SECONDS", "60"))
# How many worlds are run at once.
WORLDS = 500

# Name, what goes wrong, file, the text that is replaced, and its replacement. The text must occur
# once in its file. Where two places guard the same thing, three more for the second one.
FAULTS = [
    ("dropped-reply", "SIZE of what is no file gets no reply",
     "src/handlers/commands/files.rs",
     """                respond_name(s, 550, "", shown.as_bytes(), " is not retrievable.");
""",
     """                let _ = shown;
"""),
    ("two-final-replies", "DELE of a name that does not exist is replied to twice",
     "src/handlers/commands/files.rs",
     """        fs.remove(state, &path)?;
        Ok(Reply::new(250, "File removed."))
    });
""",
     """        fs.remove(state, &path)?;
        Ok(Reply::new(250, "File removed."))
    });
    if s.has_refused() {
        s.respond(Reply::new(550, "Again."));
    }
"""),
    ("leaked-slot", "the slot of a listener that times out is never given back",
     "src/handlers/dispatchers/passive.rs",
     """    s.data = DataState::None;
    let reply = Reply::new(421, "Passive data channel timed out.");
""",
     """    std::mem::forget(std::mem::take(&mut s.data));
    let reply = Reply::new(421, "Passive data channel timed out.");
"""),
    ("unchecked-rename", "RNTO replaces a file without the permission to delete it",
     "src/handlers/commands/files.rs",
     "let may_replace = permits(Perm::Delete, path);",
     "let may_replace = true || permits(Perm::Delete, path);"),
    ("lost-cr", "a CR at the end of a chunk is lost if no LF follows it",
     "src/proto/ascii.rs",
     "if self.held_cr && first != b'\\n' {",
     "if self.held_cr && first == b'\\r' {"),
    ("lost-last-cr", "a CR that ends an upload is lost",
     "src/proto/ascii.rs",
     "if std::mem::take(&mut self.held_cr) {",
     "if std::mem::take(&mut self.held_cr) && out.len() > 1 << 20 {"),
    ("doubled-cr", "an LF behind a CR of the chunk before gets another CR",
     "src/proto/ascii.rs",
     "None => lf == 0 && self.after_cr,",
     "None => false,"),
    ("ticket-of-another-user", "a ticket is accepted from every user",
     "src/tls/registry.rs",
     "let standing = self.with(|table| table.standing(id, owner));",
     "let standing = self.with(|table| table.standing(id, owner)).map(|_| Standing::Kin);"),
    ("lost-wake-up", "a session whose replies were not read never looks at its commands again",
     "src/handlers/connection.rs",
     "if more || (s.waits_for_room && has_room(s)) {",
     "if more {"),
    ("lost-second-turn", "commands beyond the budget of a turn wait for another event",
     "src/handlers/connection.rs",
     """        io.again();
        Ok(())
    }

    /// Moves data, with the loop's buffer and pipe.""",
     """        Ok(())
    }

    /// Moves data, with the loop's buffer and pipe."""),
    ("surviving-timer", "a channel that is gone keeps its place and its deadline",
     "src/ioloop/core.rs",
     """        self.slots.remove(id);
        drop_guarded("a channel", channel);""",
     """        let until = channel.next_timeout();
        self.slots.put_back(id, channel, false, until);"""),
    ("skipped-entry", "a sorted listing skips the first name of each run but the first",
     "src/handlers/commands/listing/names.rs",
     "None => PeekMut::pop(top).0.0,",
     """None => {
                        let last = PeekMut::pop(top).0.0;
                        if runs.len() > 1 && index == 0 && last.len() > 3 {
                            return self.next(dir);
                        }
                        last
                    }"""),
    ("lost-entry", "a step of a listing that is full loses a name",
     "src/handlers/commands/listing/lines.rs",
     """            if out.len() - start > LINES_SIZE {
                break;
            }
""",
     """            if out.len() - start > LINES_SIZE / 16 {
                let _ = self.names.next(dir);
                break;
            }
"""),
    ("repeated-entry", "a listing shows the last name of a step twice",
     "src/handlers/commands/listing/lines.rs",
     """                Some(name) => self.line(fs, dir, &name?, out),
""",
     """                Some(name) => {
                    let name = name?;
                    self.line(fs, dir, &name, out);
                    if out.len() - start > LINES_SIZE / 16 {
                        self.line(fs, dir, &name, out);
                        break;
                    }
                }
"""),
    ("early-truncation", "STOR empties its file before the data connection is there",
     "src/handlers/commands/transfer.rs",
     """        let claim = locking.lock(&*file)?;
""",
     """        let claim = locking.lock(&*file)?;
        let _ = file.begin();
"""),
    ("early-226", "the final reply of a download comes while bytes are still to be sent",
     "src/handlers/data/drive.rs",
     """                    let finished = d.stream.finish().map_err(TransferError::Connection)?;
                    return Ok(match finished {""",
     """                    let finished = d.stream.finish().map_err(TransferError::Connection)?;
                    return Ok(match finished || d.stream.is_secure() {"""),
    ("lost-tail", "a download ends when the socket takes no more",
     "src/handlers/data/drive.rs",
     """            if d.is_sleeping() || d.ending.is_some() || !d.stream.is_writable() {
                return Ok(Drive::Wait);
            }
            match d.fill""",
     """            if !d.stream.is_writable() && d.tot_bytes_sent > 50_000 {
                return Ok(Drive::Finished(Outcome::Complete));
            }
            if d.is_sleeping() || d.ending.is_some() || !d.stream.is_writable() {
                return Ok(Drive::Wait);
            }
            match d.fill"""),
    ("forgotten-rest", "RETR ignores the position of REST",
     "src/handlers/commands/transfer.rs",
     "move |fs, state| open_at(fs, state, &path, OpenMode::Read, rest),",
     "move |fs, state| open_at(fs, state, &path, OpenMode::Read, 0),"),
    ("kept-rest", "the position of REST also counts for the next transfer",
     "src/handlers/commands/transfer.rs",
     """    let rest = s.take_rest();
    let path = path.to_owned();
    files::open(""",
     """    let rest = s.rest;
    let path = path.to_owned();
    files::open(""",
     "src/handlers/dispatch.rs",
     "    if mem::take(&mut s.rest_is_old) {\n        s.rest = 0;\n    }\n",
     "    let _ = mem::take(&mut s.rest_is_old);\n"),
    ("kept-rnfr", "a RNFR that the checks refuse leaves the one before it armed",
     "src/handlers/dispatch.rs",
     """        s.rnfr = None;
    }
    match check::line""",
     """    }
    match check::line"""),
    ("foreign-connection", "a data connection of another host is accepted",
     "src/handlers/dispatchers/passive.rs",
     "if !s.permits_foreign_addresses() {",
     "if !s.permits_foreign_addresses() && peer.port() % 2 == 7 {"),
    ("abor-without-426", "ABOR ends a transfer without its own final reply",
     "src/handlers/commands/transfer.rs",
     "transfers::finish(h, s, Outcome::Ended(VIA_ABOR));",
     "transfers::finish(h, s, Outcome::Silent);"),
    ("one-too-many", "one connection more than max_cons_per_ip is admitted",
     "src/limits/slots.rs",
     "            of_ip: self.max_cons_per_ip(),",
     "            of_ip: self.max_cons_per_ip() + usize::from(self.max_cons_per_ip() > 0),"),
    ("one-user-too-many", "max_cons_per_user is not enforced",
     "src/limits/slots.rs",
     "count.map_or(max.load(Relaxed) == 0, |count| fits(count, max));",
     "count.map_or(max.load(Relaxed) == 0, |count| fits(count.min(2), max));"),
    ("forgotten-failures", "USER forgets how often a login has failed",
     "src/handlers/commands/login.rs",
     "    line.clone_into(&mut s.username);\n",
     "    line.clone_into(&mut s.username);\n    s.attempted_logins = 0;\n"),
    ("two-callbacks", "an upload that is cut counts as received, too",
     "src/handlers/transfers/report.rs",
     "(true, false) => h.on_incomplete_file_received(s, filename),",
     """(true, false) => {
            h.on_incomplete_file_received(s, filename);
            h.on_file_received(s, filename);
        }"""),
    ("kept-type", "REIN keeps the representation type",
     "src/handlers/session/state.rs",
     "        self.transfer_type = TransferType::default();\n        self.facts",
     "        self.facts"),
    ("throttle-for-ever", "a throttled data connection sleeps, and nothing wakes it up",
     "src/handlers/throttled.rs",
     ".map(|early| early * 2)",
     ".map(|_| Duration::from_secs(1 << 40))"),
    ("cut-is-complete", "an upload whose connection is reset is reported as complete",
     "src/handlers/data/drive.rs",
     "TransferError::Connection(_) => Outcome::Cut,",
     "TransferError::Connection(_) => Outcome::Complete,"),
    ("append-at-the-start", "APPE writes from the start of the file",
     "src/handlers/commands/transfer.rs",
     "h.ftp_stor(s, path, OpenMode::Append);",
     "h.ftp_stor(s, path, OpenMode::Update);"),
    ("two-writers", "two sessions store to one file at a time",
     "src/handlers/commands/transfer.rs",
     "    locking.check_path(path)?;\n",
     "    if path.as_os_str().is_empty() {\n        locking.check_path(path)?;\n    }\n",
     # The entry in the table would keep the second one away, too.
     "src/uploads.rs",
     "Some(_) if !is_locked => return Err(()),",
     "Some(_) if !is_locked && number == 0 => return Err(()),"),
    ("two-claims", "an upload is not found in the table of uploads",
     "src/uploads.rs",
     ".position(|entry| entry[FILE] == file)",
     ".position(|entry| entry[FILE] == file && (file == 0 || entry[SEEN] % 2 == 1))"),
    ("foreign-take-over", "a silent upload is taken over by whoever stores to its file",
     "src/uploads.rs",
     "let asks = entry[OWNER] == owner && is_silent;",
     "let asks = is_silent;"),
    ("unchecked-delete", "DELE needs no permission",
     "src/handlers/check.rs",
     "if !s.authorizer().has_perm(&s.username, self.perm, Some(&path)) =>",
     "if self.perm != Perm::Delete && !s.authorizer().has_perm(&s.username, self.perm, Some(&path)) =>"),
    ("above-the-root", "the parent of the root is above it",
     "src/filesystems/path.rs",
     """            b".." => {
                let parent""",
     """            b".." if normal.is_empty() || normal.ends_with(b"/..") => {
                normal.extend_from_slice(b"/..");
            }
            b".." => {
                let parent"""),
    ("kept-prot", "USER ends the protection of data connections",
     "src/handlers/commands/login.rs",
     "    line.clone_into(&mut s.username);\n",
     "    line.clone_into(&mut s.username);\n    s.prot = false;\n"),
    ("epsv-all-forgotten", "PASV works after EPSV ALL",
     "src/handlers/dispatchers/passive.rs",
     "    if s.epsv_all {\n",
     "    if s.epsv_all && s.rest > 0 {\n"),
    ("quit-cuts", "QUIT ends a transfer in progress",
     "src/handlers/commands/login.rs",
     """        s.leaving = Leaving::Quit;
    } else if""",
     """        s.leaving = Leaving::Quit;
        s.close_when_done();
    } else if"""),
    ("idle-for-ever", "the idle time-out does not begin again after a transfer",
     "src/handlers/transfers/report.rs",
     "    s.restart_idle();\n}\n\n/// The reply of the handler",
     "    s.idle = None;\n}\n\n/// The reply of the handler"),
    ("late-login", "a login that the authorizer refuses later is granted",
     "src/handlers/commands/login.rs",
     "answer(h, s, &asked.password, result, asked.attempt);",
     "answer(h, s, &asked.password, Ok(()), asked.attempt);"),
    ("late-job-lost", "the result of a job is dropped",
     "src/handlers/commands/login.rs",
     "        self.remote.send(self.session, Box::new(answer));",
     "        if self.number % 4 != 3 {\n            self.remote.send(self.session, Box::new(answer));\n        }"),
    ("wrong-time", "MFMT sets the time a second late",
     "src/handlers/commands/files.rs",
     "    fs.utime(state, path, seconds)?;\n    let after",
     "    let seconds = seconds + 1;\n    fs.utime(state, path, seconds)?;\n    let after"),
    ("unbounded-turn", "a turn of a session goes on as long as its client sends",
     "src/handlers/connection.rs",
     "for _ in 0..ROUNDS {",
     "for _ in 0..usize::MAX - ROUNDS {"),
    ("swapped-replies", "commands that need the data connection do not wait for its transfer",
     "src/handlers/turn.rs",
     "matches!(role(), Role::Transfers | Role::Connects | Role::Secures)\n        }\n        // Another",
     "matches!(role(), Role::Secures)\n        }\n        // Another"),
    ("late-preliminary", "the preliminary reply leaves with the final one",
     "src/handlers/transfers.rs",
     "    s.announced = None;\n    is_announced(s);\n",
     "    s.announced = Some(clock(s));\n"),
    ("swallowed-error", "a write to the file that fails is not noticed",
     "src/handlers/transfers.rs",
     "Err(err) if completed => Outcome::failed(&err),\n                    _ => outcome,",
     "Err(err) if completed && err.raw_os_error().is_none() => Outcome::failed(&err),\n                    _ => outcome,"),
    ("missed-logout", "USER of a session that is logged in does not call on_logout",
     "src/handlers/commands/login.rs",
     "    if s.authenticated() && !s.username.is_empty() {\n        let username = s.username.clone();\n        h.on_logout(s, &username);\n    }\n    s.forget_user();",
     "    let _ = &h;\n    s.forget_user();"),
]


def main():
    arguments = sys.argv[1:]
    if "--list" in arguments:
        for name, text, file, *_ in FAULTS:
            print(f"{name:24} {text} ({file})")
        return 0
    misfits = [fault[0] for fault in FAULTS
               if any((ROOT / file).read_text().count(old) != 1 for file, old, _ in edits_of(fault))]
    if misfits:
        print("these faults do not fit the source any more:", ", ".join(misfits), file=sys.stderr)
        return 1
    if "--check" in arguments:
        print(f"{len(FAULTS)} faults fit the source")
        return 0
    chosen = [fault for fault in FAULTS if not arguments or fault[0] in arguments]
    if len(chosen) < len(set(arguments)):
        unknown = set(arguments) - {fault[0] for fault in chosen}
        print("no such fault:", ", ".join(sorted(unknown)), file=sys.stderr)
        return 2
    where = os.environ.get("PROVE_DIR")
    if where:
        return hunt_all(chosen, pathlib.Path(where))
    with tempfile.TemporaryDirectory(prefix="ftpdlib-prove-") as temporary:
        return hunt_all(chosen, pathlib.Path(temporary))


def edits_of(fault):
    """The edits of a fault: file, old text, new text."""
    return [fault[at:at + 3] for at in range(2, len(fault), 3)]


def hunt_all(faults, where):
    """Hunts the faults in a copy below `where`, and prints the table."""
    copy = where / "copy"
    copy.mkdir(parents=True, exist_ok=True)
    for name in ("Cargo.toml", "Cargo.lock", "README.md", "ARCHITECTURE.md", "PORTING.md", "CONTRIBUTING.md"):
        shutil.copy2(ROOT / name, copy / name)
    for name in ("src", "tests", "examples", "benches", "docs"):
        shutil.rmtree(copy / name, ignore_errors=True)
        shutil.copytree(ROOT / name, copy / name)
    print("| fault | what goes wrong | worlds | sessions | seconds | what the judge said |")
    print("|---|---|---|---|---|---|", flush=True)
    # A world that also fails without the fault proves nothing.
    sound = where / "sound"
    shutil.copy2(build("the source", copy, where / "target"), sound)
    missed = 0
    for fault in faults:
        missed += not hunt(fault, copy, where / "target", sound)
    print(f"\n{len(faults) - missed} of {len(faults)} faults found within {SECONDS} s", flush=True)
    return int(missed > 0)


def build(name, copy, target):
    """Builds the simulator of a copy, and returns the path of its program."""
    env = dict(os.environ, CARGO_TARGET_DIR=str(target))
    # Building takes longer than hunting most faults.
    command = ["cargo", "test", "--quiet", "--profile", "sim", "--test", "sim", "--no-run",
               "--config", "profile.sim.incremental=true", "--message-format=json"]
    built = subprocess.run(command, cwd=copy, env=env, capture_output=True, text=True)
    if built.returncode != 0:
        print(built.stdout, built.stderr, file=sys.stderr)
        sys.exit(f"{name} cannot be built")
    for line in built.stdout.splitlines():
        message = json.loads(line)
        if message.get("executable") and message["target"]["name"] == "sim":
            return message["executable"]
    sys.exit(f"{name}: no program was built")


def hunt(fault, copy, target, sound):
    """Builds the copy with one fault, and runs it. Returns whether the fault was found."""
    name, text = fault[:2]
    # The source itself may change meanwhile.
    sources = {file: (copy / file).read_text() for file, _, _ in edits_of(fault)}
    for file, old, new in edits_of(fault):
        (copy / file).write_text((copy / file).read_text().replace(old, new, 1))
    try:
        program = build(name, copy, target)
    finally:
        for file, source in sources.items():
            (copy / file).write_text(source)
    seconds, seed, worlds, sessions = 0.0, 0, 0, 0
    verdict = None
    while verdict is None and seconds < SECONDS:
        before = time_of_children()
        output = run(program, copy, 600, "--from", str(seed), "--to", str(seed + WORLDS))
        seconds += time_of_children() - before
        if tally := re.search(r"(\d+) worlds, (\d+) sessions in", output):
            worlds += int(tally.group(1))
            sessions += int(tally.group(2))
        failure = re.search(r"seed (\d+) has failed: (.*)", output)
        if failure is None and tally:
            seed += WORLDS
            continue
        if failure is None:
            verdict = "the program has not ended as it should"
            break
        seed = int(failure.group(1)) + 1
        if "has failed" not in run(sound, copy, 60, "--from", str(seed - 1), "--to", str(seed)):
            verdict = failure.group(2)[:120]
    shown = (verdict or "not found").replace("|", "\\|")
    print(f"| {name} | {text} | {worlds} | {sessions} | {seconds:.1f} | {shown} |", flush=True)
    return bool(verdict)


def time_of_children():
    """The seconds of a processor that the programs have used which were run so far."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def run(program, directory, patience, *range_of_seeds):
    """Runs worlds, and returns what the program prints; nothing if it has to be ended."""
    command = [program, "run", "--jobs", "1", *range_of_seeds]
    try:
        done = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=patience)
    except subprocess.TimeoutExpired:
        return ""
    return done.stdout + done.stderr


if __name__ == "__main__":
    sys.exit(main())

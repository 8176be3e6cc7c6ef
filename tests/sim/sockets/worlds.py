"""Worlds of the simulator: what `print` of its command line prints, and homes made of it."""

import os
import re
import stat
import time

RECENT = 86400  # seconds: times that are not older are those of the run


def words(line):
    """The words of a line of a transcript: str, or bytes if it is in quotes."""
    named = {b"n": b"\n", b"r": b"\r", b"t": b"\t"}

    def value(match):
        if match[2] is None:
            return match[0]
        return re.sub(
            rb"\\(x..|.)",
            lambda m: bytes([int(m[1][1:], 16)]) if m[1][:1] == b"x" else named.get(m[1], m[1]),
            match[2].encode(),
        )

    return [value(m) for m in re.finditer(r'("((?:[^"\\]|\\.)*)")|\S+', line)]


def pairs(items):
    return dict(zip(items[::2], items[1::2]))


def number(word):
    return None if word == "-" else int(word)


class World:
    def __init__(self, text):
        self.users, self.homes, self.clients = [], [], []
        for line in text.splitlines():
            what, *rest = words(line)
            if what == "settings":
                self.settings = {x: y for x, y in zip(rest, rest[1:]) if isinstance(x, str)}
            elif what == "home":
                self.homes.append({})
            elif what == "node":
                path, _, kind, *rest = rest
                content = rest.pop(0) if kind != "Dir" else b""
                numbers = pairs(rest)
                node = (kind, content, int(numbers["mode"]), int(numbers["mtime"]))
                self.homes[-1][path] = node
            elif what == "user":
                self.users.append(pairs(rest))
            elif what == "client":
                self.clients.append((rest[2], []))
            elif what == "step":
                self.clients[-1][1].append((rest[0], rest[1:]))


def furnish(top, tree):
    os.mkdir(top)
    for path, (kind, content, mode, mtime) in sorted(tree.items()):
        path = os.fsencode(top) + path
        if kind == "Dir":
            os.mkdir(path)
        elif kind == "Link":
            os.symlink(content, path)
        else:
            with open(path, "wb") as file:
                file.write(content)
    for path, (kind, _, mode, mtime) in sorted(tree.items(), reverse=True):
        path = os.fsencode(top) + path
        if kind != "Link":
            os.chmod(path, mode)
            os.utime(path, (mtime, mtime))


def snapshot(top, names):
    """{path: what it is}; names that the server has made up are replaced."""
    tree = {}
    for parent, directories, files in os.walk(os.fsencode(top)):
        for name in directories + files:
            path = os.path.join(parent, name)
            st = os.lstat(path)
            when = int(st.st_mtime) if st.st_mtime < time.time() - RECENT else "now"
            mode = stat.filemode(st.st_mode)
            if stat.S_ISLNK(st.st_mode):
                what = (mode, os.readlink(path))
            elif stat.S_ISREG(st.st_mode):
                with open(path, "rb") as file:
                    what = (mode, when, file.read())
            else:
                what = (mode, when)
            tree[names(os.path.relpath(path, os.fsencode(top)))] = what
    return tree

#!/usr/bin/env python3
"""Prints what a filter of Fail2Ban finds in each line of standard input: an address, or `-`.

The argument is the filter. As Fail2Ban does, this cuts the date out of a line, and puts its own
expression in place of <ADDR>.
"""
import configparser
import re
import sys

ADDR = (
    r"(?:(?:::f{4,6}:)?(?P<ip4>(?:\d{1,3}\.){3}\d{1,3})"
    r"|\[?(?P<ip6>(?:[0-9a-fA-F]{1,4}::?|::){1,7}(?:[0-9a-fA-F]{1,4}\b|(?<=:):))\]?)"
)
DATE = {"Y": r"\d{4}", "m": r"\d\d", "d": r"\d\d", "H": r"\d\d", "M": r"\d\d", "S": r"\d\d"}

filters = configparser.ConfigParser()
with open(sys.argv[1], encoding="utf-8") as file:
    filters.read_file(file)
definition = filters["Definition"]
date = re.compile(re.sub("%([YmdHMS])", lambda match: DATE[match[1]], definition["datepattern"]))
patterns = [line for line in definition["failregex"].splitlines() if line]
patterns = [re.compile(line.replace("<ADDR>", ADDR)) for line in patterns]
assert patterns
for line in sys.stdin.buffer:
    line = line.decode("utf-8", "replace").rstrip("\n")
    line, count = date.subn("", line, count=1)
    found = [match for match in (pattern.search(line) for pattern in patterns) if match]
    address = found[0]["ip4"] or found[0]["ip6"] if found and count else None
    print(address or "-")
